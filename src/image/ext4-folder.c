/* SPDX-License-Identifier: Apache-2.0
 *
 * ext4-folder.c - the content of a folder: entries, and the hash tree of large ones
 *
 * Theory of operation (Linux, Documentation/filesystems/ext4/directory.rst)
 *   A block holds records of variable length that fill it, and a checksum in a record of its own at the end. A folder of more than
 *   one block has an index: block 0 begins with '.' and '..', and where their space ends maps hashes to blocks, over one level of index
 *   blocks between if there are many. Leaves are ordinary blocks whose names' hashes lie between those of two neighbours in the index.
 *   A folder is written once with all its names, sorted by hash; adding them one by one would look at every block each time.
 */
#include "image/ext4-blocks.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/size.h"

#include <assert.h>
#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>
#include <stdlib.h>
#include <string.h>

#define TAIL_BYTES 12u
#define LEAF_BYTES (DISK_BLOCK_BYTES - TAIL_BYTES)
#define ENTRY_HEADER_BYTES 8u
/* A leaf that is written full would be split by the first name added to it. */
#define LEAF_FILL_BYTES (LEAF_BYTES / 8 * 7)
#define DOTS_BYTES 24u
#define INDEX_ENTRY_BYTES 8u
#define INDEX_TAIL_BYTES 8u
#define ROOT_INDEX_AT 32u /* after the dots and dx_root_info */
#define NODE_INDEX_AT 8u  /* after an empty record that fills the block */
#define ROOT_INDEX_MAX ((DISK_BLOCK_BYTES - ROOT_INDEX_AT - INDEX_TAIL_BYTES) / INDEX_ENTRY_BYTES)
#define NODE_INDEX_MAX ((DISK_BLOCK_BYTES - NODE_INDEX_AT - INDEX_TAIL_BYTES) / INDEX_ENTRY_BYTES)
#define CHECKSUM_RECORD_TYPE 0xde
#define HASH_CONTINUES 1u /* in an index: the leaf before ends with the same hash */

/* Any constant serves: a secret one would make the disk differ from one import to the next. */
const uint32_t ext4_hash_seed[EXT4_HASH_SEED_WORDS] = {0x7473656e, 0x20786f62, 0x65736162, 0x6b736964};

typedef struct hashed_name {
    uint32_t hash, minor;
    const tree_node *node;
} hashed_name;

/* One entry of an index: the first hash of a block. */
typedef struct index_entry {
    uint32_t hash, block;
} index_entry;

typedef struct folder_writer {
    buf *blocks;
    uint32_t seed;
    size_t origin; /* where the folder's bytes begin in blocks */
} folder_writer;

uint32_t ext4_inode_checksum_seed(const uint8_t uuid[16], uint32_t inode_number) {
    uint8_t number[4], generation[4] = {0};
    store_le32(number, inode_number);
    uint32_t seed = ext2fs_crc32c_le(~0u, uuid, 16);
    seed = ext2fs_crc32c_le(seed, number, sizeof(number));
    return ext2fs_crc32c_le(seed, generation, sizeof(generation));
}

static uint8_t entry_type(uint32_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG:
        return EXT2_FT_REG_FILE;
    case S_IFDIR:
        return EXT2_FT_DIR;
    case S_IFCHR:
        return EXT2_FT_CHRDEV;
    case S_IFBLK:
        return EXT2_FT_BLKDEV;
    case S_IFIFO:
        return EXT2_FT_FIFO;
    case S_IFLNK:
        return EXT2_FT_SYMLINK;
    }
    return EXT2_FT_UNKNOWN;
}

static size_t entry_bytes(const char *name) {
    return (size_t) align_up(ENTRY_HEADER_BYTES + strlen(name), 4);
}

static void put_entry(uint8_t *at, uint32_t number, size_t length, const char *name, uint8_t type) {
    size_t name_length = strlen(name);
    store_le32(at, number);
    store_le16(at + 4, (uint16_t) length);
    at[6] = (uint8_t) name_length;
    at[7] = type;
    memcpy(at + ENTRY_HEADER_BYTES, name, name_length);
}

/* '.' and '..', the second with all the space up to @end. */
static void put_dots(uint8_t *block, const tree_node *node, size_t end) {
    const tree_node *parent = node->parent ? node->parent : node;
    put_entry(block, node->inode->number, DOTS_BYTES / 2, ".", EXT2_FT_DIR);
    put_entry(block + DOTS_BYTES / 2, parent->inode->number, end - DOTS_BYTES / 2, "..", EXT2_FT_DIR);
}

/* A block of zeros at the end of the folder. */
static uint8_t *add_block(folder_writer *w) {
    uint8_t *block = buf_reserve(w->blocks, DISK_BLOCK_BYTES);
    if (!block)
        return NULL;
    memset(block, 0, DISK_BLOCK_BYTES);
    buf_added(w->blocks, DISK_BLOCK_BYTES);
    return block;
}

static uint8_t *block_at(const folder_writer *w, uint32_t block) {
    return buf_bytes(w->blocks) + w->origin + (size_t) block * DISK_BLOCK_BYTES;
}

/* Closes a block of entries: @last_at is its last record, which gets what is left. */
static void seal_leaf(const folder_writer *w, uint8_t *block, size_t last_at) {
    store_le16(block + last_at + 4, (uint16_t) (LEAF_BYTES - last_at));
    uint8_t *tail = block + LEAF_BYTES;
    store_le16(tail + 4, TAIL_BYTES);
    tail[7] = CHECKSUM_RECORD_TYPE;
    store_le32(tail + 8, ext2fs_crc32c_le(w->seed, block, LEAF_BYTES));
}

/* Writes an index into @block at @at, and its checksum, which covers the entries used and the tail without itself. */
static void put_index(const folder_writer *w, uint8_t *block, size_t at, size_t max, const index_entry *entries, size_t count) {
    assert(count > 0 && count <= max);
    store_le16(block + at, (uint16_t) max);
    store_le16(block + at + 2, (uint16_t) count);
    store_le32(block + at + 4, entries[0].block); /* the first begins at hash 0; the counts stand in its place */
    for (size_t i = 1; i < count; i++) {
        store_le32(block + at + i * INDEX_ENTRY_BYTES, entries[i].hash);
        store_le32(block + at + i * INDEX_ENTRY_BYTES + 4, entries[i].block);
    }
    uint8_t *tail = block + at + max * INDEX_ENTRY_BYTES;
    uint32_t checksum = ext2fs_crc32c_le(w->seed, block, at + count * INDEX_ENTRY_BYTES);
    store_le32(tail + 4, ext2fs_crc32c_le(checksum, tail, INDEX_TAIL_BYTES));
}

static int write_linear(folder_writer *w, const tree_node *node, tree_node *const *children, nb_error *err) {
    uint8_t *block = add_block(w);
    if (!block)
        return nb_fail_oom(err);
    put_dots(block, node, DOTS_BYTES);
    size_t at = DOTS_BYTES, last = DOTS_BYTES / 2;
    for (uint32_t i = 0; i < node->child_count; i++) {
        size_t length = entry_bytes(children[i]->name);
        put_entry(block + at, children[i]->inode->number, length, children[i]->name, entry_type(children[i]->inode->mode));
        last = at;
        at += length;
    }
    seal_leaf(w, block, last);
    return 0;
}

static int compare_hashes(const void *a, const void *b) {
    const hashed_name *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    if (x->minor != y->minor)
        return x->minor < y->minor ? -1 : 1;
    return strcmp(x->node->name, y->node->name);
}

static hashed_name *hash_names(const tree_node *node, tree_node *const *children) {
    hashed_name *names = calloc(node->child_count, sizeof(*names));
    if (!names)
        return NULL;
    for (uint32_t i = 0; i < node->child_count; i++) {
        ext2_dirhash_t hash = 0, minor = 0;
        const char *name = children[i]->name;
        errcode_t error = ext2fs_dirhash2(EXT2_HASH_HALF_MD4_UNSIGNED, name, (int) strlen(name), NULL, 0, ext4_hash_seed, &hash, &minor);
        assert(error == 0);
        (void) error;
        names[i] = (hashed_name){hash, minor, children[i]};
    }
    qsort(names, node->child_count, sizeof(*names), compare_hashes);
    return names;
}

/* How many names, from @names on, go into one leaf. */
static size_t leaf_length(const hashed_name *names, size_t count) {
    size_t bytes = 0, i = 0;
    for (; i < count; i++) {
        size_t length = entry_bytes(names[i].node->name);
        if (i > 0 && bytes + length > LEAF_FILL_BYTES)
            break;
        bytes += length;
    }
    return i;
}

static size_t leaf_count(const hashed_name *names, size_t count) {
    size_t leaves = 0;
    for (size_t at = 0; at < count; leaves++)
        at += leaf_length(names + at, count - at);
    return leaves;
}

/* Writes the leaves, from block @block on, and notes the index entry of each. */
static int write_leaves(folder_writer *w, const hashed_name *names, size_t count, uint32_t block, index_entry *entries, nb_error *err) {
    for (size_t at = 0; at < count; entries++, block++) {
        uint8_t *bytes = add_block(w);
        if (!bytes)
            return nb_fail_oom(err);
        bool continues = at > 0 && names[at].hash == names[at - 1].hash;
        *entries = (index_entry){names[at].hash | (continues ? HASH_CONTINUES : 0), block};
        size_t used = 0, last = 0, end = at + leaf_length(names + at, count - at);
        for (; at < end; at++) {
            const tree_node *node = names[at].node;
            last = used;
            used += entry_bytes(node->name);
            put_entry(bytes + last, node->inode->number, used - last, node->name, entry_type(node->inode->mode));
        }
        seal_leaf(w, bytes, last);
    }
    return 0;
}

static void put_root(const folder_writer *w, const tree_node *node, bool two_levels, const index_entry *entries, size_t count) {
    uint8_t *root = block_at(w, 0);
    put_dots(root, node, DISK_BLOCK_BYTES);
    /* dx_root_info: the hash without its "unsigned", which the superblock says; its own length; the levels below. */
    root[DOTS_BYTES + 4] = EXT2_HASH_HALF_MD4;
    root[DOTS_BYTES + 5] = 8;
    root[DOTS_BYTES + 6] = two_levels;
    put_index(w, root, ROOT_INDEX_AT, ROOT_INDEX_MAX, entries, count);
}

/* Index blocks between the root and the leaves: blocks 1 .. @nodes. */
static void put_nodes(const folder_writer *w, const index_entry *leaves, size_t leaf_total, index_entry *nodes, size_t node_total) {
    for (size_t i = 0; i < node_total; i++) {
        size_t first = i * NODE_INDEX_MAX, left = leaf_total - first;
        uint8_t *block = block_at(w, (uint32_t) i + 1);
        store_le16(block + 4, DISK_BLOCK_BYTES);
        put_index(w, block, NODE_INDEX_AT, NODE_INDEX_MAX, leaves + first, left < NODE_INDEX_MAX ? left : NODE_INDEX_MAX);
        nodes[i] = (index_entry){leaves[first].hash, (uint32_t) i + 1};
    }
}

static int write_hashed(folder_writer *w, const tree_node *node, tree_node *const *children, nb_error *err) {
    CLEANUP(cleanup_free) hashed_name *names = hash_names(node, children);
    if (!names)
        return nb_fail_oom(err);
    size_t leaves = leaf_count(names, node->child_count);
    size_t nodes = leaves > ROOT_INDEX_MAX ? (leaves + NODE_INDEX_MAX - 1) / NODE_INDEX_MAX : 0;
    if (nodes > ROOT_INDEX_MAX)
        return nb_fail(err, NB_E_EXHAUSTED, 0, "write the folder '%s': it has more names than an ext4 folder can index", node->name);
    CLEANUP(cleanup_free) index_entry *entries = calloc(leaves + nodes, sizeof(*entries));
    if (!entries)
        return nb_fail_oom(err);
    for (size_t i = 0; i < 1 + nodes; i++) {
        if (!add_block(w))
            return nb_fail_oom(err);
    }
    int r = write_leaves(w, names, node->child_count, (uint32_t) (1 + nodes), entries, err);
    if (r < 0)
        return r;
    put_nodes(w, entries, leaves, entries + leaves, nodes);
    if (nodes > 0)
        put_root(w, node, true, entries + leaves, nodes);
    else
        put_root(w, node, false, entries, leaves);
    return 0;
}

int ext4_folder_write(const tree_node *node, tree_node *const *children, uint32_t checksum_seed, buf *blocks, nb_error *err) {
    folder_writer w = {.blocks = blocks, .seed = checksum_seed, .origin = buf_length(blocks)};
    size_t bytes = DOTS_BYTES;
    for (uint32_t i = 0; i < node->child_count && bytes <= LEAF_BYTES; i++)
        bytes += entry_bytes(children[i]->name);
    return bytes <= LEAF_BYTES ? write_linear(&w, node, children, err) : write_hashed(&w, node, children, err);
}
