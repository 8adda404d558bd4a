/* SPDX-License-Identifier: Apache-2.0
 *
 * layer.c - fuzzing what layers do: two archives in, a tree out
 *
 * The input is two tar archives, cut where its first two bytes say. Properties: read in pieces it gives the same tree and the same
 * result as read whole, and the blocks that are taken are those that the tree's files name.
 */
#include "image/layer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

#define DISK_MAX_BYTES (UINT64_C(4) << 20)
#define INPUT_HEAD_BYTES 2u

typedef struct feed {
    const uint8_t *at;
    size_t left, step;
} feed;

static int feed_read(void *user, void *into, size_t size, size_t *ret_length, nb_error *err) {
    feed *f = user;
    size_t now = size < f->step ? size : f->step;
    now = now < f->left ? now : f->left;
    if (now > 0)
        memcpy(into, f->at, now);
    f->at += now;
    f->left -= now;
    *ret_length = now;
    return 0;
}

static int apply(tree *t, const uint8_t *bytes, size_t length, size_t step) {
    feed f = {bytes, length, step};
    tar_reader *reader = tar_reader_new((tar_input){.read = feed_read, .user = &f});
    assert(reader);
    int r = layer_apply(t, reader, true, NULL);
    tar_reader_free(reader);
    t->layer++;
    return r;
}

/* A number that differs where trees differ, and the blocks of each file once. */
static uint64_t measure(const tree_node *node, uint64_t *blocks) {
    uint64_t sum = 14695981039346656037u;
    for (const char *c = node->name; *c; c++)
        sum = (sum ^ (unsigned char) *c) * 1099511628211u;
    sum = (sum ^ node->inode->mode) * 1099511628211u + node->inode->size;
    if (node->inode->number == 0) {
        node->inode->number = 1;
        *blocks += disk_map_blocks(&node->inode->map);
    }
    tree_node **children = tree_children(node);
    assert(children);
    for (uint32_t i = 0; i < node->child_count; i++)
        sum = sum * 31 + measure(children[i], blocks);
    free(children);
    return sum;
}

static uint64_t run(int fd, const uint8_t *bytes, size_t length, size_t cut, size_t step) {
    disk *d = disk_new(fd, DISK_MAX_BYTES);
    tree *t = d ? tree_new(d, IMAGE_ENTRIES_DEFAULT) : NULL;
    uint64_t blocks = 0;
    assert(t);
    int r = apply(t, bytes, cut, step);
    if (r == 0)
        r = apply(t, bytes + cut, length - cut, step);
    uint64_t sum = (uint64_t) r;
    if (r == 0) {
        sum = measure(t->root, &blocks);
        assert(blocks == disk_used(d));
    }
    tree_free(t);
    disk_free(d);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    if (length < INPUT_HEAD_BYTES)
        return 0;
    size_t left = length - INPUT_HEAD_BYTES, cut = ((size_t) bytes[0] << 8 | bytes[1]) * 512;
    int fd = memfd_create("disk", MFD_CLOEXEC);
    assert(fd >= 0);
    cut = cut < left ? cut : left;
    uint64_t whole = run(fd, bytes + INPUT_HEAD_BYTES, left, cut, SIZE_MAX);
    uint64_t pieces = run(fd, bytes + INPUT_HEAD_BYTES, left, cut, 97);
    assert(whole == pieces);
    (void) whole;
    (void) pieces;
    (void) close(fd);
    return 0;
}
