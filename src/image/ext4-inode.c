/* SPDX-License-Identifier: Apache-2.0
 *
 * ext4-inode.c - the fields of an inode
 *
 * As they lie on the disk: what ext4 has in little-endian order is written by machines that have it too.
 */
#include "image/ext4-inode.h"

#include "image/ext4-blocks.h"

#include <assert.h>
#include <string.h>
#include <sys/stat.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "inodes are written as they lie in memory");
static_assert(sizeof(struct ext2_inode_large) <= DISK_INODE_BYTES, "an inode fits into its place");

#define SECTORS_PER_BLOCK (DISK_BLOCK_BYTES / 512u)
/* Linux's number of names beyond which a folder's link count is 1, for "many" (dir_nlink). */
#define FOLDER_LINKS_MAX 65000u

/* Time stamps have 34 bits of seconds: the lower 32, signed, and how often 2^32 has to be added. What is beyond is cut to the ends, as the
 * kernel does with utimensat(2). */
static void split_time(int64_t seconds, uint32_t nanoseconds, uint32_t *ret_low, uint32_t *ret_extra) {
    const int64_t min = INT32_MIN, max = ((int64_t) 3 << 32) + INT32_MAX;
    seconds = seconds < min ? min : seconds > max ? max : seconds;
    *ret_low = (uint32_t) seconds;
    *ret_extra = nanoseconds << 2 | (uint32_t) ((seconds - (int32_t) (uint32_t) seconds) >> 32 & 3);
}

static void fill_place(const tree_inode *inode, struct ext2_inode_large *raw) {
    uint8_t *place = (uint8_t *) raw->i_block;
    if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) {
        /* The old form for small numbers, the new one for the rest, as the kernel writes them. */
        if (inode->major < 256 && inode->minor < 256)
            raw->i_block[0] = inode->major << 8 | inode->minor;
        else
            raw->i_block[1] = (inode->minor & 0xff) | inode->major << 8 | (inode->minor & ~0xffu) << 12;
    } else if (S_ISLNK(inode->mode) && inode->size < EXT4_FAST_TARGET_BYTES)
        memcpy(place, inode->target, (size_t) inode->size);
    else if (S_ISREG(inode->mode) || S_ISDIR(inode->mode) || S_ISLNK(inode->mode)) {
        raw->i_flags |= EXT4_EXTENTS_FL;
        if (inode->index_root)
            memcpy(place, inode->index_root, EXT4_INODE_MAP_BYTES);
        else
            (void) ext4_extents_write(NULL, &inode->map, 0, NULL, place, NULL); /* four or fewer: cannot fail */
    }
}

void ext4_inode_fill(const tree_inode *inode, struct ext2_inode_large *raw) {
    uint64_t sectors = (disk_map_blocks(&inode->map) + disk_map_blocks(&inode->index)) * SECTORS_PER_BLOCK;
    bool folder = S_ISDIR(inode->mode);
    uint32_t links = folder ? 2 + inode->folders : inode->references;
    raw->i_mode = (uint16_t) inode->mode;
    raw->i_uid = (uint16_t) inode->uid;
    raw->osd2.linux2.l_i_uid_high = (uint16_t) (inode->uid >> 16);
    raw->i_gid = (uint16_t) inode->gid;
    raw->osd2.linux2.l_i_gid_high = (uint16_t) (inode->gid >> 16);
    raw->i_size = (uint32_t) inode->size;
    raw->i_size_high = (uint32_t) (inode->size >> 32);
    raw->i_links_count = (uint16_t) (folder && links >= FOLDER_LINKS_MAX ? 1 : links);
    raw->i_blocks = (uint32_t) sectors;
    raw->osd2.linux2.l_i_blocks_hi = (uint16_t) (sectors >> 32);
    raw->i_extra_isize = sizeof(*raw) - EXT2_GOOD_OLD_INODE_SIZE;
    split_time(inode->mtime_s, inode->mtime_ns, &raw->i_mtime, &raw->i_mtime_extra);
    raw->i_atime = raw->i_ctime = raw->i_crtime = raw->i_mtime;
    raw->i_atime_extra = raw->i_ctime_extra = raw->i_crtime_extra = raw->i_mtime_extra;
    if (folder && inode->size > DISK_BLOCK_BYTES)
        raw->i_flags |= EXT2_INDEX_FL;
    fill_place(inode, raw);
}
