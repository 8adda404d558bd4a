/* SPDX-License-Identifier: Apache-2.0
 *
 * digest.h - content digests (image-spec, descriptor.md, "Digests")
 */
#ifndef IMAGE_DIGEST_H
#define IMAGE_DIGEST_H

#include "base/cleanup.h"

#include <nestbox/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_MAX_BYTES 64u
/* "sha512:" and 128 hexadecimal digits. */
#define DIGEST_TEXT_SIZE (7 + 2 * DIGEST_MAX_BYTES + 1)

enum digest_algorithm { DIGEST_SHA256 = 1, DIGEST_SHA512 = 2 };

typedef struct digest {
    enum digest_algorithm algorithm;
    uint8_t bytes[DIGEST_MAX_BYTES]; /* the first 32 of SHA-256; the rest is 0 */
} digest;

/* Takes "sha256:" or "sha512:" and exactly the lower-case digits that belong to it: afterwards the text may serve as a file name.
 * 0, or -NB_E_IMAGE. */
int digest_parse(const char *text, digest *ret_digest, nb_error *err);

/* The text that digest_parse() takes. */
void digest_format(const digest *d, char ret_text[DIGEST_TEXT_SIZE]);
/* "sha256" and the digits alone. */
const char *digest_algorithm_name(enum digest_algorithm algorithm);
void digest_format_hex(const digest *d, char ret_text[2 * DIGEST_MAX_BYTES + 1]);

bool digest_equal(const digest *a, const digest *b);

/* What a descriptor of the image says about a blob, as far as it does. */
typedef struct blob_promise {
    bool has_digest, has_size;
    digest digest;
    uint64_t size;
} blob_promise;

/* Takes bytes in as they come. */
typedef struct hasher hasher;

hasher *hasher_new(enum digest_algorithm algorithm); /* NULL: out of memory */
void hasher_free(hasher *h);
CLEANUP_DEFINE(hasher, hasher_free)

void hasher_add(hasher *h, const void *bytes, size_t length);
/* Nothing may be added afterwards. */
void hasher_finish(hasher *h, digest *ret_digest);

/* The SHA-256 of bytes that are there; false: out of memory. */
bool digest_of(const void *bytes, size_t length, digest *ret_digest);

#endif
