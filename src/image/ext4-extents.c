/* SPDX-License-Identifier: Apache-2.0
 *
 * ext4-extents.c - the tree that locates a file's blocks
 *
 * Theory of operation (Linux, Documentation/filesystems/ext4/ifork.rst)
 *   Sixty bytes in the inode hold a header and four entries. Up to four runs of blocks stand there themselves; more are put into blocks of
 *   340, and the entries of the inode point at these, over one level between if there are more than four such blocks.
 */
#include "image/ext4-blocks.h"

#include "base/bytes.h"
#include "base/error.h"

#include <assert.h>
#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>
#include <stdlib.h>
#include <string.h>

#define EXTENT_MAGIC 0xf30a
#define RECORD_BYTES 12u /* the header, and either kind of entry */
#define CHECKSUM_BYTES 4u
#define BLOCK_RECORDS ((DISK_BLOCK_BYTES - RECORD_BYTES - CHECKSUM_BYTES) / RECORD_BYTES)

/* A block of the tree, seen from above. */
typedef struct branch {
    uint32_t logical, physical;
} branch;

static void put_header(uint8_t *at, uint32_t count, uint32_t max, unsigned depth) {
    store_le16(at, EXTENT_MAGIC);
    store_le16(at + 2, (uint16_t) count);
    store_le16(at + 4, (uint16_t) max);
    store_le16(at + 6, (uint16_t) depth);
}

static void put_extents(uint8_t *at, const disk_extent *extents, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *record = at + (size_t) RECORD_BYTES * (i + 1);
        store_le32(record, extents[i].logical);
        store_le16(record + 4, (uint16_t) extents[i].length);
        store_le16(record + 6, 0); /* the upper half of the block number */
        store_le32(record + 8, extents[i].physical);
    }
}

static void put_branches(uint8_t *at, const branch *branches, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *record = at + (size_t) RECORD_BYTES * (i + 1);
        store_le32(record, branches[i].logical);
        store_le32(record + 4, branches[i].physical);
        store_le32(record + 8, 0);
    }
}

/* Writes one block of the tree, prepared but for its checksum. */
static int write_block(disk *d, uint8_t *block, uint32_t seed, disk_map *index, uint32_t logical, branch *ret_branch, nb_error *err) {
    size_t covered = RECORD_BYTES + (size_t) BLOCK_RECORDS * RECORD_BYTES;
    store_le32(block + covered, ext2fs_crc32c_le(seed, block, covered));
    uint32_t position = (uint32_t) disk_map_blocks(index);
    int r = disk_append(d, index, position, block, DISK_BLOCK_BYTES, err);
    if (r < 0)
        return r;
    const disk_extent *last = &index->extents[index->count - 1];
    *ret_branch = (branch){logical, last->physical + last->length - 1};
    return 0;
}

static int write_leaves(disk *d, const disk_map *map, uint32_t seed, disk_map *index, branch *branches, nb_error *err) {
    for (uint32_t at = 0; at < map->count; at += BLOCK_RECORDS, branches++) {
        uint8_t block[DISK_BLOCK_BYTES] = {0};
        uint32_t count = map->count - at < BLOCK_RECORDS ? map->count - at : BLOCK_RECORDS;
        put_header(block, count, BLOCK_RECORDS, 0);
        put_extents(block, map->extents + at, count);
        int r = write_block(d, block, seed, index, map->extents[at].logical, branches, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Puts blocks above @branches until there are few enough; @ret_count is how many are left, in place. */
static int write_middle(disk *d, branch *branches, uint32_t total, uint32_t seed, disk_map *index, uint32_t *ret_count, nb_error *err) {
    uint32_t made = 0;
    for (uint32_t at = 0; at < total; at += BLOCK_RECORDS, made++) {
        uint8_t block[DISK_BLOCK_BYTES] = {0};
        uint32_t count = total - at < BLOCK_RECORDS ? total - at : BLOCK_RECORDS;
        put_header(block, count, BLOCK_RECORDS, 1);
        put_branches(block, branches + at, count);
        int r = write_block(d, block, seed, index, branches[at].logical, &branches[made], err);
        if (r < 0)
            return r;
    }
    *ret_count = made;
    return 0;
}

int ext4_extents_write(disk *d, const disk_map *map, uint32_t checksum_seed, disk_map *index, uint8_t ret_root[EXT4_INODE_MAP_BYTES],
                       nb_error *err) {
    uint8_t root[EXT4_INODE_MAP_BYTES] = {0};
    if (map->count <= EXT4_INLINE_EXTENTS) {
        put_header(root, map->count, EXT4_INLINE_EXTENTS, 0);
        put_extents(root, map->extents, map->count);
        memcpy(ret_root, root, sizeof(root));
        return 0;
    }
    uint32_t count = (map->count + BLOCK_RECORDS - 1) / BLOCK_RECORDS;
    unsigned depth = 1;
    CLEANUP(cleanup_free) branch *branches = calloc(count, sizeof(*branches));
    if (!branches)
        return nb_fail_oom(err);
    int r = write_leaves(d, map, checksum_seed, index, branches, err);
    if (r == 0 && count > EXT4_INLINE_EXTENTS) {
        r = write_middle(d, branches, count, checksum_seed, index, &count, err);
        depth++;
    }
    if (r < 0)
        return r;
    assert(count <= EXT4_INLINE_EXTENTS); /* IMAGE_EXTENTS_MAX */
    put_header(root, count, EXT4_INLINE_EXTENTS, depth);
    put_branches(root, branches, count);
    memcpy(ret_root, root, sizeof(root));
    return 0;
}
