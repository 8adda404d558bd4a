/* SPDX-License-Identifier: Apache-2.0
 *
 * volume.h - what the operations on a volume share
 *
 * One process serves one volume, one request after the other. Each operation answers its request exactly once, and none follows a link, looks a
 * name with a slash up, or takes a number for a file that the guest was not given.
 */
#ifndef FILES_VOLUME_H
#define FILES_VOLUME_H

#define FUSE_USE_VERSION 314

#include "files/handle.h"
#include "files/node.h"

#include <fuse3/fuse_lowlevel.h>
#include <stdbool.h>
#include <sys/types.h>

/* How long the guest may believe what it was told: whoever changes files on the host is seen within this. */
#define VOLUME_VALID_SECONDS 1.0

typedef struct volume {
    bool read_only;
    bool close_tells; /* close(2) may say that a write has failed */
    bool mapped;      /* we are not root: our user and group are the guest's root, all others nobody */
    uid_t user;       /* ours */
    gid_t group;
    int descriptors; /* O_PATH of /proc/self/fd: the way to open a file anew that an O_PATH descriptor means */
} volume;

extern volume volume_served;

/* Number as text in /proc/self/fd. */
typedef struct descriptor_name {
    char text[16];
} descriptor_name;
descriptor_name volume_descriptor(int fd);

/* "name" of a request: what a kernel sends is neither "", ".", ".." nor a path. */
bool volume_name_is_good(const char *name);
/* The node and its descriptor, or the request is answered: -1. */
int volume_folder(fuse_req_t request, fuse_ino_t number, const char *name, node **ret_node);
/* NULL: the request is answered. */
node *volume_node(fuse_req_t request, fuse_ino_t number);
handle *volume_handle(fuse_req_t request, const struct fuse_file_info *info);

/* Answers EROFS on a volume that is only read. */
bool volume_refuses_write(fuse_req_t request);

/* As the guest sees it. */
struct stat volume_shown(const struct stat *status);
/* What a file may be changed to: the set-id bits of files do not leave the box. */
mode_t volume_mode(mode_t mode, bool folder);
/* -1: there is no such user, or group, on this side. */
int volume_owner_of(uid_t shown_user, gid_t shown_group, uid_t *ret_user, gid_t *ret_group);

/* What is made until volume_end_as() belongs to who asked for it. */
void volume_begin_as(fuse_req_t request);
void volume_end_as(void);

/* Fills an entry for a file that was found or made. 0, or -1 with errno. */
int volume_entry(node *parent, const char *name, const struct stat *status, struct fuse_entry_param *ret_entry);
/* Looks a name up and answers with the entry. */
void volume_reply_entry(fuse_req_t request, node *parent, const char *name);
void volume_reply_attributes(fuse_req_t request, node *n);

/* The operations, by kind. */
void tree_operations(struct fuse_lowlevel_ops *ops);
void attribute_operations(struct fuse_lowlevel_ops *ops);
void content_operations(struct fuse_lowlevel_ops *ops);
void folder_operations(struct fuse_lowlevel_ops *ops);

#endif
