/* SPDX-License-Identifier: Apache-2.0
 *
 * ext4.h - the file system around a tree whose data is on the disk already
 */
#ifndef IMAGE_EXT4_H
#define IMAGE_EXT4_H

#include "image/tree.h"

#include <stdint.h>

/* What the file system is named after: the same gives the same bytes. */
typedef struct ext4_identity {
    uint8_t uuid[16];
    int64_t time_s; /* stands wherever the file system notes when it was made */
} ext4_identity;

/* Writes the file system and gives the disk its final size; the tree is used up: only tree_free() may follow.
 *
 * @ret_disk_bytes     the size of the disk: as many 64 MiB as the content needs, see ext4.c
 * @ret_content_bytes  what files and folders take of it
 * 0, -NB_E_STORAGE, -NB_E_EXHAUSTED, -NB_E_IMAGE (extended attributes that do not fit), -NB_E_NO_MEMORY. */
int ext4_write(tree *t, disk *d, const ext4_identity *identity, uint64_t *ret_disk_bytes, uint64_t *ret_content_bytes, nb_error *err);

#endif
