/* SPDX-License-Identifier: Apache-2.0
 *
 * hash-behind.h - a digest of bytes that go by, made in the background
 */
#ifndef IMAGE_HASH_BEHIND_H
#define IMAGE_HASH_BEHIND_H

#include "image/digest.h"

typedef struct hash_behind hash_behind;

hash_behind *hash_behind_new(enum digest_algorithm algorithm); /* NULL: out of memory */
void hash_behind_free(hash_behind *h);
CLEANUP_DEFINE(hash_behind, hash_behind_free)

/* The bytes are copied. */
void hash_behind_add(hash_behind *h, const void *bytes, size_t length);
/* Nothing may be added afterwards. */
void hash_behind_finish(hash_behind *h, digest *ret_digest);

#endif
