/* SPDX-License-Identifier: Apache-2.0
 *
 * node.h - the files that the guest knows, by the numbers it knows them by
 *
 * Theory of operation
 *   A node is a parent and a name, and which file that was (device and inode): no descriptor, because the guest's kernel may remember a
 *   hundred thousand files while we may have a thousand descriptors. Only folders have some, as many as NODE_FOLDERS_OPEN_MAX, those that were
 *   needed last; one that was closed is found again from its parent, name by name and never through a link, and if another file is there
 *   now the node is stale (ESTALE, upon which the guest's kernel looks the name up anew). So neither the guest nor somebody on the host can
 *   make a node mean a file outside of the volume.
 *   A node lives as long as the guest's kernel remembers it (lookups) or it is another node's parent.
 *   A file that has no name any more can be reached through whoever has it open (handle.h).
 */
#ifndef FILES_NODE_H
#define FILES_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Descriptors of folders, besides the root's. */
#define NODE_FOLDERS_OPEN_MAX 128u
/* What a guest's kernel of some gigabytes can remember; as memory here some 300 MB at most, for which it must make as many files. */
#define NODES_MAX (2u << 20)
/* Longer ways down than PATH_MAX allows do not exist on the host's side either, other than by tricks. */
#define NODE_DEPTH_MAX 4096u
/* linux/fuse.h: the root's number */
#define NODE_ROOT 1u

typedef struct node node;
typedef struct handle handle;

struct node {
    uint64_t number;
    dev_t device;
    ino_t inode;
    mode_t type;
    node *parent;                        /* NULL: the root */
    char *name;                          /* in it */
    uint64_t lookups;                    /* references that the guest holds */
    uint32_t children;                   /* nodes whose parent this is */
    int fd;                              /* a folder's, O_PATH, or -1 */
    node *recent_next, *recent_previous; /* among those with an open fd */
    node *hash_next;
    handle *handles; /* open ones of this file */
};

/* @root  O_PATH descriptor of the volume's folder, or file; taken over. 0, or -1 with errno. */
int nodes_init(int root);
void nodes_done(void);

/* NULL: the guest knows none of this number. */
node *node_find(uint64_t number);

/* The node of the file that @status describes, found as @name in @parent: known or new; the guest then holds a reference more to it.
 * NULL with errno. */
node *node_remember(node *parent, const char *name, const struct stat *status);
void node_forget(node *n, uint64_t lookups);

/* The file has moved. */
void node_moved(node *parent, const char *name);

/* The folder's descriptor, valid until the next call of this module; -1 with errno. */
int node_folder(node *n);

/* Where a file is reached: @ret_name in the folder of @ret_fd, a folder by "" in itself; both valid until the next call of this module. That the
 * name still means this file is checked by node_stat() and whoever opens it. 0, or -1 with errno. */
int node_place(node *n, int *ret_fd, const char **ret_name);

/* fstatat(2) of exactly this file. 0, or -1 with errno (ESTALE: another file is there now). */
int node_stat(node *n, struct stat *ret_status);

/* An O_PATH descriptor of exactly this file, for the caller to close; -1 with errno. */
int node_open_path(node *n);

static inline bool node_is(const node *n, const struct stat *status) {
    return n->device == status->st_dev && n->inode == status->st_ino && n->type == (status->st_mode & S_IFMT);
}

#endif
