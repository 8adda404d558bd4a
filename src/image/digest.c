/* SPDX-License-Identifier: Apache-2.0
 *
 * digest.c - content digests (image-spec, descriptor.md, "Digests")
 */
#include "image/digest.h"

#include "base/error.h"
#include "base/id.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

struct hasher {
    enum digest_algorithm algorithm;
    EVP_MD_CTX *state;
};

static size_t algorithm_bytes(enum digest_algorithm algorithm) {
    return algorithm == DIGEST_SHA256 ? 32 : 64;
}

const char *digest_algorithm_name(enum digest_algorithm algorithm) {
    return algorithm == DIGEST_SHA256 ? "sha256" : "sha512";
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int digest_parse(const char *text, digest *ret_digest, nb_error *err) {
    digest d = {0};
    const char *hex = strchr(text, ':');
    size_t name = hex ? (size_t) (hex - text) : 0;
    if (name == 6 && memcmp(text, "sha256", 6) == 0)
        d.algorithm = DIGEST_SHA256;
    else if (name == 6 && memcmp(text, "sha512", 6) == 0)
        d.algorithm = DIGEST_SHA512;
    else
        return nb_fail(err, NB_E_IMAGE, 0, "read the digest '%.160s': only sha256: and sha512: are known", text);
    hex++;
    size_t bytes = algorithm_bytes(d.algorithm);
    if (strlen(hex) != 2 * bytes)
        return nb_fail(err, NB_E_IMAGE, 0, "read the digest '%.160s': it has not %zu digits", text, 2 * bytes);
    for (size_t i = 0; i < bytes; i++) {
        int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return nb_fail(err, NB_E_IMAGE, 0, "read the digest '%.160s': a digit is not lower-case hexadecimal", text);
        d.bytes[i] = (uint8_t) (high << 4 | low);
    }
    *ret_digest = d;
    return 0;
}

void digest_format_hex(const digest *d, char ret_text[2 * DIGEST_MAX_BYTES + 1]) {
    hex_encode(d->bytes, algorithm_bytes(d->algorithm), ret_text);
}

void digest_format(const digest *d, char ret_text[DIGEST_TEXT_SIZE]) {
    char hex[2 * DIGEST_MAX_BYTES + 1];
    digest_format_hex(d, hex);
    (void) snprintf(ret_text, DIGEST_TEXT_SIZE, "%s:%s", digest_algorithm_name(d->algorithm), hex);
}

bool digest_equal(const digest *a, const digest *b) {
    return a->algorithm == b->algorithm && memcmp(a->bytes, b->bytes, DIGEST_MAX_BYTES) == 0;
}

hasher *hasher_new(enum digest_algorithm algorithm) {
    CLEANUP(hasher_freep) hasher *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->algorithm = algorithm;
    h->state = EVP_MD_CTX_new();
    if (!h->state || EVP_DigestInit_ex(h->state, algorithm == DIGEST_SHA256 ? EVP_sha256() : EVP_sha512(), NULL) != 1)
        return NULL;
    return take_ptr(&h);
}

void hasher_free(hasher *h) {
    if (!h)
        return;
    EVP_MD_CTX_free(h->state);
    free(h);
}

void hasher_add(hasher *h, const void *bytes, size_t length) {
    int done = EVP_DigestUpdate(h->state, bytes, length);
    assert(done == 1);
    (void) done;
}

void hasher_finish(hasher *h, digest *ret_digest) {
    digest d = {.algorithm = h->algorithm};
    unsigned length = 0;
    int done = EVP_DigestFinal_ex(h->state, d.bytes, &length);
    assert(done == 1 && length == algorithm_bytes(h->algorithm));
    (void) done;
    *ret_digest = d;
}

bool digest_of(const void *bytes, size_t length, digest *ret_digest) {
    CLEANUP(hasher_freep) hasher *h = hasher_new(DIGEST_SHA256);
    if (!h)
        return false;
    hasher_add(h, bytes, length);
    hasher_finish(h, ret_digest);
    return true;
}
