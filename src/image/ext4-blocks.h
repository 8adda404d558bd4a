/* SPDX-License-Identifier: Apache-2.0
 *
 * ext4-blocks.h - the blocks of ext4 that describe files: folders and extent trees
 *
 * Both are written before the file system around them exists; all they need of it are the seeds of its checksums and its hash.
 */
#ifndef IMAGE_EXT4_BLOCKS_H
#define IMAGE_EXT4_BLOCKS_H

#include "base/buf.h"
#include "image/tree.h"

#define EXT4_HASH_SEED_WORDS 4

/* The hash of names in folders is the half-MD4 of ext3 over unsigned characters, with this seed. */
extern const uint32_t ext4_hash_seed[EXT4_HASH_SEED_WORDS];

/* The seed for everything that belongs to an inode (generation 0); @uuid is the file system's. */
uint32_t ext4_inode_checksum_seed(const uint8_t uuid[16], uint32_t inode_number);

/* Appends the content of a folder to @blocks, in whole blocks: linear if that is one block, otherwise with a hash tree.
 *
 * @node      the folder; the numbers of it, its parent and its children are set
 * @children  as tree_children() gives them
 * 0, -NB_E_NO_MEMORY (also when @blocks is full), -NB_E_EXHAUSTED (more names than two levels of hash tree can hold). */
int ext4_folder_write(const tree_node *node, tree_node *const *children, uint32_t checksum_seed, buf *blocks, nb_error *err);

#define EXT4_INLINE_EXTENTS 4u /* fit into the inode */
#define EXT4_INODE_MAP_BYTES 60u

/* Fills the 60 bytes of an inode that locate its blocks.
 *
 * More than EXT4_INLINE_EXTENTS go into blocks of their own, taken from @d and appended to @index (the blocks of the tree alone). */
int ext4_extents_write(disk *d, const disk_map *map, uint32_t checksum_seed, disk_map *index, uint8_t ret_root[EXT4_INODE_MAP_BYTES],
                       nb_error *err);

#endif
