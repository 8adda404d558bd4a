/* SPDX-License-Identifier: Apache-2.0
 *
 * disk.h - the blocks of a base disk: which are taken, and what files put into them
 *
 * The place of everything that ext4 keeps for itself (superblock copies, descriptors, bitmaps, inode tables) depends on the number
 * of a block group alone, never on the size of the file system. So data can be written before that size is known: see ext4.c.
 */
#ifndef IMAGE_DISK_H
#define IMAGE_DISK_H

#include <nestbox/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_BLOCK_BYTES 4096u
#define DISK_GROUP_BLOCKS 32768u /* a bitmap of one block: 8 * 4096 */
#define DISK_GROUP_INODES 8192u  /* one inode per 16 KiB, as mke2fs has it */
#define DISK_INODE_BYTES 256u
#define DISK_INODE_TABLE_BLOCKS (DISK_GROUP_INODES * DISK_INODE_BYTES / DISK_BLOCK_BYTES)
/* Descriptors of 32 bytes, 128 to a block: 64 blocks describe 1 TiB, and are held free for growth from the beginning. */
#define DISK_DESCRIPTOR_BLOCKS 64u

/* A run of blocks of a file. All in blocks. */
typedef struct disk_extent {
    uint32_t logical, physical, length;
} disk_extent;

typedef struct disk_map {
    disk_extent *extents; /* ascending, touching ones joined */
    uint32_t count, capacity;
} disk_map;

void disk_map_done(disk_map *map);
/* How many blocks it holds. */
uint64_t disk_map_blocks(const disk_map *map);

typedef struct disk disk;

/* @fd         the disk's file, read-write; borrowed
 * @max_bytes  blocks beyond this are refused with -NB_E_EXHAUSTED */
disk *disk_new(int fd, uint64_t max_bytes); /* NULL: out of memory */
void disk_free(disk *d);

int disk_fd(const disk *d);

/* How many blocks at the head of a group belong to ext4. */
uint32_t disk_group_overhead(uint32_t group);
bool disk_group_has_superblock(uint32_t group);

/* Takes up to @wanted blocks that lie side by side; fewer at the end of a group. 0, -NB_E_EXHAUSTED or -NB_E_NO_MEMORY. */
int disk_allocate(disk *d, uint32_t wanted, uint32_t *ret_first, uint32_t *ret_count, nb_error *err);
int disk_release(disk *d, uint32_t first, uint32_t count, nb_error *err);

/* The block after the last that was ever taken, and how many are taken now. */
uint64_t disk_end(const disk *d);
uint64_t disk_used(const disk *d);

/* Writes what still waits to be written, and makes holes of all released blocks, so that nothing of a deleted file is left. To be called before the disk
 * is read, and before somebody else writes to it. 0 or -NB_E_STORAGE. */
int disk_finish(disk *d, nb_error *err);

/* Writes @length bytes, at most 1 MiB, padded with zeros, to blocks from @first on that are taken already or belong to ext4. What lies side by side
 * is best written in order. 0 or -NB_E_STORAGE, which may be an earlier write's. */
int disk_write(disk *d, uint32_t first, const void *bytes, size_t length, nb_error *err);

/* Takes blocks for @length bytes, writes them, padded with zeros, and appends them to @map from @logical on. */
int disk_append(disk *d, disk_map *map, uint32_t logical, const void *bytes, size_t length, nb_error *err);

/* Streams one file's data into blocks. One file at a time per disk.
 *
 * disk_file_write() takes pieces in ascending order; what lies between them stays a hole. After a failure the map still names
 * every block taken, so that releasing it is right. */
void disk_file_begin(disk *d, disk_map *map);
int disk_file_write(disk *d, uint64_t offset, const void *bytes, size_t length, nb_error *err);
int disk_file_end(disk *d, nb_error *err);

/* Releases all blocks of a map and empties it. */
int disk_map_release(disk *d, disk_map *map, nb_error *err);

#endif
