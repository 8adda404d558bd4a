/* SPDX-License-Identifier: Apache-2.0
 *
 * ext4-inode.h - the fields of an inode
 */
#ifndef IMAGE_EXT4_INODE_H
#define IMAGE_EXT4_INODE_H

#include "image/ext4-blocks.h"
#include "image/tree.h"

#include <ext2fs/ext2_fs.h>

/* Targets of symbolic links that are shorter stand in the inode. */
#define EXT4_FAST_TARGET_BYTES EXT4_INODE_MAP_BYTES

/* Everything but the checksum.
 *
 * @inode  its blocks are written, its number and count of folders are known
 * @raw    all zeros before */
void ext4_inode_fill(const tree_inode *inode, struct ext2_inode_large *raw);

#endif
