/* SPDX-License-Identifier: Apache-2.0
 *
 * volume.c - what the operations on a volume share
 */
#include "files/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>

/* Debian's nobody and nogroup, and the kernel's own for whom it cannot map. */
#define NOBODY 65534u

volume volume_served;

descriptor_name volume_descriptor(int fd) {
    descriptor_name name;
    (void) snprintf(name.text, sizeof(name.text), "%d", fd);
    return name;
}

bool volume_name_is_good(const char *name) {
    return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/');
}

node *volume_node(fuse_req_t request, fuse_ino_t number) {
    node *n = node_find(number);
    if (!n)
        (void) fuse_reply_err(request, ESTALE);
    return n;
}

int volume_folder(fuse_req_t request, fuse_ino_t number, const char *name, node **ret_node) {
    node *n = volume_node(request, number);
    if (!n)
        return -1;
    if (!volume_name_is_good(name)) {
        (void) fuse_reply_err(request, EINVAL);
        return -1;
    }
    int fd = node_folder(n);
    if (fd < 0)
        (void) fuse_reply_err(request, errno);
    *ret_node = n;
    return fd;
}

handle *volume_handle(fuse_req_t request, const struct fuse_file_info *info) {
    handle *h = handle_find(info->fh);
    if (!h)
        (void) fuse_reply_err(request, EBADF);
    return h;
}

bool volume_refuses_write(fuse_req_t request) {
    if (volume_served.read_only)
        (void) fuse_reply_err(request, EROFS);
    return volume_served.read_only;
}

struct stat volume_shown(const struct stat *status) {
    struct stat shown = *status;
    if (volume_served.mapped) {
        shown.st_uid = status->st_uid == volume_served.user ? 0 : NOBODY;
        shown.st_gid = status->st_gid == volume_served.group ? 0 : NOBODY;
    }
    return shown;
}

mode_t volume_mode(mode_t mode, bool folder) {
    return mode & (folder ? 03777 : 01777);
}

int volume_owner_of(uid_t shown_user, gid_t shown_group, uid_t *ret_user, gid_t *ret_group) {
    const uid_t keep_user = (uid_t) -1;
    const gid_t keep_group = (gid_t) -1;
    *ret_user = shown_user;
    *ret_group = shown_group;
    if (!volume_served.mapped)
        return 0;
    if ((shown_user != 0 && shown_user != keep_user) || (shown_group != 0 && shown_group != keep_group))
        return -1;
    *ret_user = shown_user == 0 ? volume_served.user : keep_user;
    *ret_group = shown_group == 0 ? volume_served.group : keep_group;
    return 0;
}

void volume_begin_as(fuse_req_t request) {
    if (volume_served.mapped)
        return;
    const struct fuse_ctx *context = fuse_req_ctx(request);
    (void) setfsgid(context->gid); /* the group first: without root's identity it could not be changed */
    (void) setfsuid(context->uid);
}

void volume_end_as(void) {
    if (volume_served.mapped)
        return;
    (void) setfsuid(volume_served.user);
    (void) setfsgid(volume_served.group);
}

int volume_entry(node *parent, const char *name, const struct stat *status, struct fuse_entry_param *ret_entry) {
    node *n = node_remember(parent, name, status);
    if (!n)
        return -1;
    *ret_entry = (struct fuse_entry_param){
        .ino = n->number,
        .attr = volume_shown(status),
        .attr_timeout = VOLUME_VALID_SECONDS,
        .entry_timeout = VOLUME_VALID_SECONDS,
    };
    return 0;
}

void volume_reply_entry(fuse_req_t request, node *parent, const char *name) {
    struct fuse_entry_param entry;
    struct stat status;
    int fd = node_folder(parent);
    if (fd < 0 || fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || volume_entry(parent, name, &status, &entry) < 0) {
        (void) fuse_reply_err(request, errno);
        return;
    }
    if (fuse_reply_entry(request, &entry) == -ENOENT)
        node_forget(node_find(entry.ino), 1); /* interrupted: the guest does not have it */
}

void volume_reply_attributes(fuse_req_t request, node *n) {
    struct stat status;
    if (node_stat(n, &status) < 0) {
        (void) fuse_reply_err(request, errno);
        return;
    }
    struct stat shown = volume_shown(&status);
    (void) fuse_reply_attr(request, &shown, VOLUME_VALID_SECONDS);
}
