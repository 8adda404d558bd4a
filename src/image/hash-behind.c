/* SPDX-License-Identifier: Apache-2.0
 *
 * hash-behind.c - a digest of bytes that go by, made in the background
 */
#include "image/hash-behind.h"

#include "image/background.h"

#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES ((size_t) 256 << 10)

struct hash_behind {
    hasher *hasher;
    background *thread;
    size_t filled;
};

static int hash(void *user, const uint8_t *bytes, size_t length, uint64_t offset) {
    (void) offset;
    hasher_add(user, bytes, length);
    return 0;
}

hash_behind *hash_behind_new(enum digest_algorithm algorithm) {
    CLEANUP(hash_behind_freep) hash_behind *h = calloc(1, sizeof(*h));
    if (!h || !(h->hasher = hasher_new(algorithm)) || !(h->thread = background_new(hash, h->hasher, BUFFER_BYTES)))
        return NULL;
    return take_ptr(&h);
}

void hash_behind_free(hash_behind *h) {
    if (!h)
        return;
    background_free(h->thread);
    hasher_free(h->hasher);
    free(h);
}

/* Hashing cannot fail. */
static void give(hash_behind *h) {
    (void) background_give(h->thread, h->filled, 0);
    h->filled = 0;
}

void hash_behind_add(hash_behind *h, const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    while (length > 0) {
        size_t room = BUFFER_BYTES - h->filled, now = length < room ? length : room;
        memcpy(background_buffer(h->thread) + h->filled, at, now);
        h->filled += now;
        at += now;
        length -= now;
        if (h->filled == BUFFER_BYTES)
            give(h);
    }
}

void hash_behind_finish(hash_behind *h, digest *ret_digest) {
    give(h);
    (void) background_finish(h->thread);
    hasher_finish(h->hasher, ret_digest);
}
