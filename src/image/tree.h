/* SPDX-License-Identifier: Apache-2.0
 *
 * tree.h - the merged file tree of an image, in memory, with its data on the disk
 *
 * A node is a name in a folder; an inode is what the name stands for, shared by its hard links. Layers are applied one after the
 * other (image-spec, layer.md, "Applying Changesets"): what a layer brings replaces what was there, and whiteouts take away what came
 * from the layers below. Replaced files give their blocks back at once.
 */
#ifndef IMAGE_TREE_H
#define IMAGE_TREE_H

#include "base/cleanup.h"
#include "image/disk.h"
#include "image/limits.h"

#include <nestbox/error.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

typedef struct tree_xattr {
    struct tree_xattr *next;
    uint32_t length;
    char *name;      /* with its namespace: "user.x" */
    uint8_t value[]; /* the name follows it */
} tree_xattr;

typedef struct tree_inode {
    uint32_t references; /* nodes that stand for it, and whoever holds it besides */
    uint32_t mode;       /* S_IFMT and permissions */
    uint32_t uid, gid;
    uint32_t mtime_ns;
    int64_t mtime_s;
    uint32_t major, minor; /* of devices */
    uint64_t size;         /* of regular files */
    char *target;          /* of symbolic links; owned */
    tree_xattr *xattrs;    /* owned, in the order given */
    disk_map map;          /* regular files' data; the writer adds folders and long targets */

    /* Set by the writer of the disk. */
    uint32_t number;
    uint32_t folders;    /* a folder's: how many folders are in it */
    disk_map index;      /* blocks that hold its extent tree */
    uint8_t *index_root; /* the 60 bytes of an extent tree that has such blocks; owned */
} tree_inode;

typedef struct tree_node {
    struct tree_node *parent; /* NULL: the root */
    tree_inode *inode;
    void *children; /* folders: a tsearch(3) tree of nodes, by name */
    uint32_t child_count;
    uint32_t layer;   /* the last layer that named it */
    uint32_t depth;   /* 0: the root */
    const char *name; /* within the node's own block */
} tree_node;

typedef struct tree {
    disk *disk; /* borrowed */
    tree_node *root;
    uint32_t layer; /* the one that is being applied; the first is 1 */
    uint32_t node_count;
    uint64_t max_nodes;
} tree;

/* @max_nodes  how many names it may have. NULL: out of memory. */
tree *tree_new(disk *d, uint64_t max_nodes);
void tree_free(tree *t); /* leaves the disk alone */
CLEANUP_DEFINE(tree, tree_free)

/* An inode with one reference, which the caller holds; NULL: out of memory. */
tree_inode *tree_inode_new(uint32_t mode);
/* Gives one reference back; the last frees the inode and releases its blocks on @d (NULL: they stay). */
void tree_inode_release(tree_inode *inode, disk *d);
/* Whether Linux has a place for an attribute of this name on ext4; unpackers skip the others (say, com.apple.provenance). */
bool tree_xattr_is_storable(const char *name);
/* 0, -NB_E_NO_MEMORY, or -NB_E_IMAGE when name or value are beyond their maxima. */
int tree_inode_add_xattr(tree_inode *inode, const char *name, const void *value, size_t length, nb_error *err);

static inline bool tree_node_is_folder(const tree_node *node) {
    return S_ISDIR(node->inode->mode);
}

/* Where a path leads: the folder and the last component, which is not followed. name is empty for the root itself. */
typedef struct tree_place {
    tree_node *parent;
    char name[IMAGE_NAME_MAX_BYTES + 1];
} tree_place;

/* Resolves @path in the image as chroot(2) would: leading slashes do not count, '..' ends at the root, symbolic links among the
 * folders on the way are followed inside the image.
 *
 * @make       folders that are missing on the way are made (0755, root's, time 0, the group as mkdir(2) gives it); otherwise parent is then NULL
 * 0, or -NB_E_IMAGE: a component is too long, no folder though one is to be made below it, a loop, too deep; -NB_E_EXHAUSTED, -NB_E_NO_MEMORY. */
int tree_resolve(tree *t, const char *path, bool make, tree_place *ret_place, nb_error *err);

/* The node at @place, NULL if there is none. */
tree_node *tree_find(tree *t, const tree_place *place);
tree_node *tree_child(const tree_node *folder, const char *name);

/* Puts @inode at @place, taking over a reference of the caller's, on failure too. What was there goes away, except that a folder put over
 * a folder keeps what is in it. */
int tree_put(tree *t, const tree_place *place, tree_inode *inode, nb_error *err);

/* The error of a tree that has as many names as it may, and is to have one more. -NB_E_EXHAUSTED. */
int tree_is_full(const tree *t, const char *name, nb_error *err);

/* Takes away what lower layers put at @place (a whiteout), or below a folder (an opaque one). 0 or -NB_E_NO_MEMORY. */
int tree_whiteout(tree *t, const tree_place *place, nb_error *err);
int tree_whiteout_below(tree *t, tree_node *folder, nb_error *err);

/* The children of a folder in the order of their names' bytes; an array that the caller frees, NULL: out of memory. */
tree_node **tree_children(const tree_node *folder);

#endif
