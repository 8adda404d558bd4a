/* SPDX-License-Identifier: Apache-2.0
 *
 * layer.c - puts the entries of a tar archive into the tree
 */
#include "image/layer.h"

#include "base/error.h"
#include "image/limits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static_assert(TAR_SPARSE_MAP_MAX <= IMAGE_EXTENTS_MAX, "a sparse file of an archive fits on the disk");

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
/* What AUFS kept for itself in its layers; other engines skip it. */
#define WHITEOUT_RESERVED ".wh..wh."

static bool has_prefix(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static int apply_whiteout(tree *t, const tree_place *place, nb_error *err) {
    if (!place->parent)
        return 0;
    if (strcmp(place->name, WHITEOUT_OPAQUE) == 0)
        return tree_whiteout_below(t, place->parent, err);
    if (has_prefix(place->name, WHITEOUT_RESERVED))
        return 0;
    const char *hidden = place->name + strlen(WHITEOUT_PREFIX);
    if (hidden[0] == '\0' || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
        return nb_fail(err, NB_E_IMAGE, 0, "apply the whiteout '%s': it names no file", place->name);
    tree_place target = {.parent = place->parent};
    memcpy(target.name, hidden, strlen(hidden) + 1);
    return tree_whiteout(t, &target, err);
}

static int apply_hard_link(tree *t, const tree_place *place, const tar_entry *entry, nb_error *err) {
    tree_place target;
    int r = tree_resolve(t, entry->link, false, &target, err);
    if (r < 0)
        return r;
    tree_node *node = tree_find(t, &target), *old = tree_find(t, place);
    if (!node)
        return nb_fail(err, NB_E_IMAGE, 0, "make a hard link to '%.300s': there is no such file", entry->link);
    if (tree_node_is_folder(node))
        return nb_fail(err, NB_E_IMAGE, 0, "make a hard link to '%.300s': it is a folder", entry->link);
    if (old == node) {
        node->layer = t->layer;
        return 0;
    }
    node->inode->references++;
    return tree_put(t, place, node->inode, err);
}

static int read_content(tree *t, tar_reader *reader, tree_inode *inode, const tar_entry *entry, nb_error *err) {
    const uint8_t *bytes;
    size_t length;
    uint64_t offset;
    int r;
    if (entry->size > IMAGE_FILE_MAX_BYTES)
        return nb_fail(err, NB_E_IMAGE, 0, "write the file: its size is beyond what ext4 can hold");
    inode->size = entry->size;
    disk_file_begin(t->disk, &inode->map);
    while ((r = tar_read(reader, &bytes, &length, &offset, err)) == 0 && length > 0) {
        r = disk_file_write(t->disk, offset, bytes, length, err);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : disk_file_end(t->disk, err);
}

static uint32_t type_of(enum tar_kind kind) {
    switch (kind) {
    case TAR_FILE:
    case TAR_HARD_LINK:
        return S_IFREG;
    case TAR_SYMBOLIC_LINK:
        return S_IFLNK;
    case TAR_CHARACTER_DEVICE:
        return S_IFCHR;
    case TAR_BLOCK_DEVICE:
        return S_IFBLK;
    case TAR_FOLDER:
        return S_IFDIR;
    case TAR_FIFO:
        return S_IFIFO;
    }
    return 0;
}

/* Everything of an inode but its data. */
static int fill_inode(tree_inode *inode, const tar_entry *entry, nb_error *err) {
    if (entry->kind == TAR_SYMBOLIC_LINK) {
        size_t length = strlen(entry->link);
        if (length == 0 || length > IMAGE_TARGET_MAX_BYTES)
            return nb_fail(err, NB_E_IMAGE, 0, "make the symbolic link: its target has %zu bytes, not 1 to %u", length,
                           IMAGE_TARGET_MAX_BYTES);
        inode->target = strdup(entry->link);
        if (!inode->target)
            return nb_fail_oom(err);
        inode->mode = S_IFLNK | 0777;
    }
    inode->uid = entry->uid;
    inode->gid = entry->gid;
    inode->mtime_s = entry->mtime_s;
    inode->mtime_ns = entry->mtime_ns;
    inode->major = entry->major;
    inode->minor = entry->minor;
    for (size_t i = 0; i < entry->xattr_count; i++) {
        const tar_xattr *x = &entry->xattrs[i];
        int r = tree_xattr_is_storable(x->name) ? tree_inode_add_xattr(inode, x->name, x->value, x->length, err) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int apply_inode(tree *t, tar_reader *reader, const tree_place *place, const tar_entry *entry, nb_error *err) {
    tree_inode *inode = tree_inode_new(type_of(entry->kind) | entry->mode);
    if (!inode)
        return nb_fail_oom(err);
    int r = fill_inode(inode, entry, err);
    if (r == 0 && entry->kind == TAR_FILE)
        r = read_content(t, reader, inode, entry, err);
    if (r < 0) {
        tree_inode_release(inode, NULL);
        return r;
    }
    return tree_put(t, place, inode, err);
}

static int apply_entry(tree *t, tar_reader *reader, const tar_entry *entry, bool whiteouts, nb_error *err) {
    tree_place place;
    /* A whiteout makes no folders: what it hides is not there then. */
    int r = tree_resolve(t, entry->name, false, &place, err);
    if (r == 0 && whiteouts && has_prefix(place.name, WHITEOUT_PREFIX))
        return apply_whiteout(t, &place, err);
    if (r == 0 && !place.parent)
        r = tree_resolve(t, entry->name, true, &place, err);
    if (r < 0)
        return r;
    if (entry->kind == TAR_HARD_LINK)
        return apply_hard_link(t, &place, entry, err);
    return apply_inode(t, reader, &place, entry, err);
}

int layer_apply(tree *t, tar_reader *reader, bool whiteouts, nb_error *err) {
    const tar_entry *entry;
    int r;
    while ((r = tar_next(reader, &entry, err)) == 1) {
        r = apply_entry(t, reader, entry, whiteouts, err);
        if (r < 0)
            return nb_fail_within(err, r, "'%.300s'", entry->name);
    }
    return r;
}
