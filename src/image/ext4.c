/* SPDX-License-Identifier: Apache-2.0
 *
 * ext4.c - the file system around a tree whose data is on the disk already
 *
 * Theory of operation
 *   A layer may come through a pipe, so the size of the content is known only when all of it has been written. Therefore every group of
 *   blocks has its bitmaps and inode table at its own head (no flex_bg packing), and 64 blocks for descriptors from the start, of which
 *   those not yet needed are the reserve for growth: nothing moves when the number of groups changes. At the end
 *
 *     - every inode gets its number, in the order of a walk through the tree;
 *     - folders, long link targets and extent trees are written as data, with checksums of our own;
 *     - the smallest size that holds it all is chosen, and libext2fs makes an empty file system of it over what is there;
 *     - the blocks are marked as taken, the tables of inodes written, and then attributes, resize inode and journal by libext2fs.
 *
 *   Unused inode tables are never written, for a fresh file reads as zeros: groups say so (INODE_ZEROED), or the kernel would fill
 *   the box's overlay with zeros in the background. flex_bg is switched on afterwards: it allows tables to lie anywhere, and the kernel
 *   then adds sixteen groups at a step when the disk grows. There is no lost+found: it would be one more folder in the image, and e2fsck
 *   makes it on need.
 *
 *   Nothing depends on the time of day, on chance or on addresses: the same tree and identity give the same bytes.
 */
#include "image/ext4.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/size.h"
#include "image/ext4-blocks.h"
#include "image/ext4-inode.h"

#include <assert.h>
#include <errno.h>
#include <et/com_err.h>
#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_INODE 11u
#define INODES_PER_BLOCK (DISK_BLOCK_BYTES / DISK_INODE_BYTES)
/* A box may ask for a disk of 64 MiB: sizes go up by as much. Half a group. */
#define SIZE_STEP_BLOCKS ((uint32_t) (MIB(64) / DISK_BLOCK_BYTES))
/* Large enough for the kernel's transactions while it grows a disk by many groups, small enough for a disk of 64 MiB: 8 MiB. */
#define JOURNAL_BLOCKS 2048u
/* What is free at least before the disk has grown, so that it can be mounted and used as it is: 8 MiB, 1,024 files. */
#define FREE_BLOCKS_MIN 2048u
#define FREE_INODES_MIN 1024u
/* Sixteen groups at a step when growing: mke2fs's default. */
#define LOG_GROUPS_PER_FLEX 4
/* The content of one folder while it is written: two full levels of hash tree. */
#define FOLDER_MAX_BYTES ((size_t) 1100 << 20)

typedef struct ext4_writer {
    tree *tree;
    disk *disk;
    const ext4_identity *identity;
    tree_node **nodes; /* one for each inode but the root's, by number */
    uint32_t node_count;
    uint32_t xattr_blocks_max;
    ext2_filsys fs;
} ext4_writer;

static void ext4_writer_done(ext4_writer *w) {
    free(w->nodes);
    if (w->fs)
        ext2fs_free(w->fs);
}

static int ext4_fail(errcode_t error, const char *what, nb_error *err) {
    int system_errno = error > 0 && error < 4096 ? (int) error : 0; /* libext2fs's own codes are far above */
    if (error == ENOMEM || error == EXT2_ET_NO_MEMORY)
        return nb_fail_oom(err);
    initialize_ext2_error_table();
    if (system_errno)
        return nb_fail(err, nb_code_of_errno(system_errno), system_errno, "%s on the base disk", what);
    return nb_fail(err, NB_E_STORAGE, 0, "%s on the base disk: %s", what, error_message(error));
}

/* Gives numbers to all that is below @node, and counts. */
static int number_below(ext4_writer *w, const tree_node *node, nb_error *err) {
    CLEANUP(cleanup_free) tree_node **children = tree_children(node);
    if (!children)
        return nb_fail_oom(err);
    for (uint32_t i = 0; i < node->child_count; i++) {
        tree_inode *inode = children[i]->inode;
        if (S_ISDIR(inode->mode))
            node->inode->folders++;
        if (inode->number != 0)
            continue;
        inode->number = FIRST_INODE + w->node_count;
        w->nodes[w->node_count++] = children[i];
        w->xattr_blocks_max += inode->xattrs != NULL;
    }
    for (uint32_t i = 0; i < node->child_count; i++) {
        int r = tree_node_is_folder(children[i]) ? number_below(w, children[i], err) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int number_all(ext4_writer *w, nb_error *err) {
    w->nodes = calloc(w->tree->node_count, sizeof(tree_node *));
    if (!w->nodes)
        return nb_fail_oom(err);
    w->tree->root->inode->number = EXT2_ROOT_INO;
    w->xattr_blocks_max = w->tree->root->inode->xattrs != NULL;
    return number_below(w, w->tree->root, err);
}

static int write_folder(ext4_writer *w, const tree_node *node, uint32_t seed, nb_error *err) {
    CLEANUP(cleanup_free) tree_node **children = tree_children(node);
    CLEANUP(buf_done) buf blocks;
    buf_init(&blocks, FOLDER_MAX_BYTES);
    if (!children)
        return nb_fail_oom(err);
    int r = ext4_folder_write(node, children, seed, &blocks, err);
    if (r < 0)
        return r;
    node->inode->size = buf_length(&blocks);
    return disk_append(w->disk, &node->inode->map, 0, buf_bytes(&blocks), buf_length(&blocks), err);
}

/* Writes what of an inode lies in blocks of its own and is not there yet. */
static int write_blocks(ext4_writer *w, const tree_node *node, nb_error *err) {
    tree_inode *inode = node->inode;
    uint32_t seed = ext4_inode_checksum_seed(w->identity->uuid, inode->number);
    int r = 0;
    if (S_ISDIR(inode->mode))
        r = write_folder(w, node, seed, err);
    else if (S_ISLNK(inode->mode)) {
        inode->size = strlen(inode->target);
        if (inode->size >= EXT4_FAST_TARGET_BYTES)
            r = disk_append(w->disk, &inode->map, 0, inode->target, (size_t) inode->size, err);
    }
    if (r < 0 || inode->map.count <= EXT4_INLINE_EXTENTS)
        return r;
    inode->index_root = malloc(EXT4_INODE_MAP_BYTES);
    if (!inode->index_root)
        return nb_fail_oom(err);
    return ext4_extents_write(w->disk, &inode->map, seed, &inode->index, inode->index_root, err);
}

static int write_all_blocks(ext4_writer *w, nb_error *err) {
    int r = write_blocks(w, w->tree->root, err);
    for (uint32_t i = 0; i < w->node_count && r == 0; i++)
        r = write_blocks(w, w->nodes[i], err);
    return r;
}

static uint32_t group_count(uint64_t blocks) {
    return (uint32_t) ((blocks + DISK_GROUP_BLOCKS - 1) / DISK_GROUP_BLOCKS);
}

/* The smallest multiple of 64 MiB in which the content fits, with the journal and a little free. */
static uint64_t base_disk_blocks(const ext4_writer *w) {
    uint64_t wanted = disk_used(w->disk) + JOURNAL_BLOCKS + w->xattr_blocks_max + 1 /* of the resize inode */ + FREE_BLOCKS_MIN;
    uint64_t inodes = (uint64_t) w->node_count + FIRST_INODE + FREE_INODES_MIN;
    uint64_t blocks = align_up(disk_end(w->disk), SIZE_STEP_BLOCKS);
    for (;; blocks += SIZE_STEP_BLOCKS) {
        uint64_t overhead = 0;
        uint32_t groups = group_count(blocks);
        for (uint32_t i = 0; i < groups; i++)
            overhead += disk_group_overhead(i);
        if (blocks >= overhead + wanted && (uint64_t) groups * DISK_GROUP_INODES >= inodes)
            return blocks;
    }
}

static void fill_superblock(struct ext2_super_block *super, const ext4_identity *identity) {
    memcpy(super->s_uuid, identity->uuid, sizeof(super->s_uuid));
    (void) strncpy((char *) super->s_volume_name, "nestbox", sizeof(super->s_volume_name));
    memcpy(super->s_hash_seed, ext4_hash_seed, sizeof(super->s_hash_seed));
    super->s_def_hash_version = EXT2_HASH_HALF_MD4;
    super->s_checksum_type = EXT2_CRC32C_CHKSUM;
    super->s_flags |= EXT2_FLAGS_UNSIGNED_HASH; /* on every machine: plain char is signed on some */
    super->s_max_mnt_count = -1;
    super->s_checkinterval = 0;
    super->s_min_extra_isize = super->s_want_extra_isize = sizeof(struct ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE;
    super->s_default_mount_opts = EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL;
    super->s_mkfs_time = super->s_lastcheck = (uint32_t) identity->time_s;
}

/* Where libext2fs puts the tables of each group is what disk_group_overhead() says; if a later version thinks otherwise, this is where it
 * is found out, before data is damaged. */
static int check_places(ext2_filsys fs, nb_error *err) {
    for (dgrp_t i = 0; i < fs->group_desc_count; i++) {
        uint64_t data = (uint64_t) i * DISK_GROUP_BLOCKS + disk_group_overhead(i);
        if (ext2fs_inode_table_loc(fs, i) + DISK_INODE_TABLE_BLOCKS != data || ext2fs_block_bitmap_loc(fs, i) >= data ||
            ext2fs_inode_bitmap_loc(fs, i) >= data)
            return nb_fail(err, NB_E_INTERNAL, 0, "lay out the base disk: the tables of group %u are not where they should be", i);
    }
    return 0;
}

/* Makes an empty file system of @blocks in memory. */
static int make_file_system(ext4_writer *w, uint64_t blocks, nb_error *err) {
    struct ext2_super_block parameters = {0};
    uint32_t groups = group_count(blocks);
    uint32_t descriptors_per_block = DISK_BLOCK_BYTES / EXT2_MIN_DESC_SIZE;
    uint32_t descriptor_blocks = (groups + descriptors_per_block - 1) / descriptors_per_block;
    ext2fs_blocks_count_set(&parameters, blocks);
    parameters.s_log_block_size = parameters.s_log_cluster_size = 2; /* 1024 << 2 */
    parameters.s_rev_level = EXT2_DYNAMIC_REV;
    parameters.s_inode_size = DISK_INODE_BYTES;
    parameters.s_inodes_count = groups * DISK_GROUP_INODES;
    parameters.s_reserved_gdt_blocks = (uint16_t) (DISK_DESCRIPTOR_BLOCKS - descriptor_blocks);
    parameters.s_feature_compat = EXT2_FEATURE_COMPAT_RESIZE_INODE | EXT2_FEATURE_COMPAT_DIR_INDEX | EXT2_FEATURE_COMPAT_EXT_ATTR;
    parameters.s_feature_incompat = EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS;
    parameters.s_feature_ro_compat = EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE |
                                     EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_DIR_NLINK |
                                     EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE | EXT4_FEATURE_RO_COMPAT_METADATA_CSUM;

    char name[16];
    int fd = fcntl(disk_fd(w->disk), F_DUPFD_CLOEXEC, 0); /* closed by libext2fs */
    if (fd < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "open the base disk again");
    (void) snprintf(name, sizeof(name), "%d", fd);
    errcode_t error = ext2fs_initialize(name, EXT2_FLAG_64BITS, &parameters, unixfd_io_manager, &w->fs);
    if (error) {
        (void) close(fd);
        return ext4_fail(error, "make a file system", err);
    }
    w->fs->now = w->identity->time_s;
    fill_superblock(w->fs->super, w->identity);
    ext2fs_init_csum_seed(w->fs);
    error = ext2fs_allocate_tables(w->fs);
    return error ? ext4_fail(error, "lay out a file system", err) : check_places(w->fs, err);
}

static void mark_map(ext2_filsys fs, const disk_map *map) {
    for (uint32_t i = 0; i < map->count; i++)
        ext2fs_block_alloc_stats_range(fs, map->extents[i].physical, map->extents[i].length, +1);
}

static void mark_all(ext4_writer *w) {
    mark_map(w->fs, &w->tree->root->inode->map);
    mark_map(w->fs, &w->tree->root->inode->index);
    for (uint32_t i = 1; i < FIRST_INODE; i++)
        ext2fs_inode_alloc_stats2(w->fs, i, +1, i == EXT2_ROOT_INO);
    for (uint32_t i = 0; i < w->node_count; i++) {
        const tree_inode *inode = w->nodes[i]->inode;
        mark_map(w->fs, &inode->map);
        mark_map(w->fs, &inode->index);
        ext2fs_inode_alloc_stats2(w->fs, inode->number, +1, S_ISDIR(inode->mode));
    }
}

static int write_xattrs(ext4_writer *w, const tree_node *node, nb_error *err) {
    struct ext2_xattr_handle *handle;
    const char *failed = NULL;
    if (!node->inode->xattrs)
        return 0;
    errcode_t error = ext2fs_xattrs_open(w->fs, node->inode->number, &handle);
    if (error)
        return ext4_fail(error, "write extended attributes", err);
    for (const tree_xattr *x = node->inode->xattrs; x && !error; x = x->next) {
        error = ext2fs_xattr_set(handle, x->name, x->value, x->length);
        failed = x->name;
    }
    if (!error)
        error = ext2fs_xattrs_write(handle);
    (void) ext2fs_xattrs_close(&handle);
    if (error == EXT2_ET_EA_NO_SPACE)
        return nb_fail(err, NB_E_IMAGE, 0, "write the extended attributes of '%s': they take more than ext4's block of %u bytes",
                       node->name, DISK_BLOCK_BYTES);
    if (error == EINVAL)
        return nb_fail(err, NB_E_IMAGE, 0, "write the extended attribute '%s' of '%s': its value is malformed", failed, node->name);
    return error ? ext4_fail(error, "write extended attributes", err) : 0;
}

/* Writes the tables in whole blocks, in order. libext2fs would read each block before it changes it, and all that there is to read are holes. */
static int write_inode_tables(ext4_writer *w, nb_error *err) {
    union {
        struct ext2_inode_large inode;
        uint8_t place[DISK_INODE_BYTES];
    } block[INODES_PER_BLOCK] = {0};
    uint32_t last = FIRST_INODE - 1 + w->node_count;
    for (uint32_t number = EXT2_ROOT_INO; number <= last; number++) {
        struct ext2_inode_large *raw = &block[(number - 1) % INODES_PER_BLOCK].inode;
        const tree_node *node = number == EXT2_ROOT_INO ? w->tree->root : number < FIRST_INODE ? NULL : w->nodes[number - FIRST_INODE];
        if (node) {
            ext4_inode_fill(node->inode, raw);
            errcode_t error = ext2fs_inode_csum_set(w->fs, number, raw);
            if (error)
                return ext4_fail(error, "sum up an inode", err);
        }
        if (number % INODES_PER_BLOCK != 0 && number != last)
            continue;
        uint32_t table = (uint32_t) ext2fs_inode_table_loc(w->fs, (number - 1) / DISK_GROUP_INODES);
        int r = disk_write(w->disk, table + (number - 1) % DISK_GROUP_INODES / INODES_PER_BLOCK, block, sizeof(block), err);
        if (r < 0)
            return r;
        memset(block, 0, sizeof(block));
    }
    return 0;
}

static int write_all_xattrs(ext4_writer *w, nb_error *err) {
    int r = write_xattrs(w, w->tree->root, err);
    for (uint32_t i = 0; i < w->node_count && r == 0; i++)
        r = write_xattrs(w, w->nodes[i], err);
    return r;
}

static void set_group_flags(ext2_filsys fs) {
    ext2fs_set_feature_flex_bg(fs->super);
    fs->super->s_log_groups_per_flex = LOG_GROUPS_PER_FLEX;
    for (dgrp_t i = 0; i < fs->group_desc_count; i++) {
        ext2fs_bg_flags_set(fs, i, EXT2_BG_INODE_ZEROED);
        ext2fs_group_desc_csum_set(fs, i);
    }
}

/* What belongs to no file of the image, and then everything that libext2fs still holds in memory. */
static int finish(ext4_writer *w, nb_error *err) {
    struct ext2fs_journal_params journal = {.num_journal_blocks = JOURNAL_BLOCKS};
    errcode_t error = ext2fs_create_resize_inode(w->fs);
    if (error)
        return ext4_fail(error, "make the resize inode", err);
    error = ext2fs_add_journal_inode3(w->fs, &journal, ~UINT64_C(0), EXT2_MKJOURNAL_LAZYINIT | EXT2_MKJOURNAL_NO_MNT_CHECK);
    if (error)
        return ext4_fail(error, "make the journal", err);
    set_group_flags(w->fs);
    error = ext2fs_close_free(&w->fs);
    return error ? ext4_fail(error, "write the file system", err) : 0;
}

int ext4_write(tree *t, disk *d, const ext4_identity *identity, uint64_t *ret_disk_bytes, uint64_t *ret_content_bytes, nb_error *err) {
    CLEANUP(ext4_writer_done) ext4_writer w = {.tree = t, .disk = d, .identity = identity};
    assert(identity->time_s > 0); /* libext2fs takes 0 for "now" */
    int r;
    if ((r = number_all(&w, err)) < 0 || (r = write_all_blocks(&w, err)) < 0)
        return r;
    uint64_t blocks = base_disk_blocks(&w);
    if (blocks * DISK_BLOCK_BYTES > IMAGE_DISK_GROW_MAX_BYTES)
        return nb_fail(err, NB_E_EXHAUSTED, 0, "write the file system: the disk would be larger than 1 TiB");
    if (ftruncate(disk_fd(d), (off_t) (blocks * DISK_BLOCK_BYTES)) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "set the size of the base disk");
    if ((r = make_file_system(&w, blocks, err)) < 0)
        return r;
    mark_all(&w);
    if ((r = write_inode_tables(&w, err)) < 0 || (r = disk_finish(d, err)) < 0 || (r = write_all_xattrs(&w, err)) < 0 ||
        (r = finish(&w, err)) < 0)
        return r;
    *ret_disk_bytes = blocks * DISK_BLOCK_BYTES;
    *ret_content_bytes = disk_used(d) * DISK_BLOCK_BYTES;
    return 0;
}
