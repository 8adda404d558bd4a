/* SPDX-License-Identifier: Apache-2.0
 *
 * stream.h - a blob read once from its beginning to its end, counted, hashed and reported
 */
#ifndef IMAGE_STREAM_H
#define IMAGE_STREAM_H

#include "base/cleanup.h"
#include "image/digest.h"
#include "image/limits.h"

#include <nestbox/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whoever asked for the import. Either function may be NULL, and may end the process. */
typedef struct image_watch {
    /* Before a read that may wait for ever. */
    void (*wait_readable)(void *user, int fd);
    /* @what  e.g. "layer 2 of 5"; @total_bytes 0: unknown */
    void (*progress)(void *user, const char *what, const char *item, uint64_t done_bytes, uint64_t total_bytes); /* as PROGRESS has it */
    void *user;
} image_watch;

/* Bytes of an open file: a region of it by offset, or all that a pipe gives. */
typedef struct blob {
    int fd; /* owned if owned is set */
    bool owned;
    bool seekable;
    uint64_t offset, size; /* of seekable ones */
} blob;

void blob_done(blob *b);

/* Reads a whole blob into memory, NUL-terminated, and checks it. 0, -NB_E_IMAGE (not as promised, or beyond @max_bytes), -NB_E_STORAGE,
 * -NB_E_NO_MEMORY. */
int blob_read(const blob *b, const blob_promise *promise, size_t max_bytes, char **ret_text, size_t *ret_length, nb_error *err);

/* A layer: a tar archive, compressed or not. */
typedef struct layer_stream layer_stream;

/* @b          borrowed, as @promise, @watch and @limits
 * @what       names it in messages
 * @before     unpacked bytes of the image's layers before it, which count too
 * 0, -NB_E_IMAGE, -NB_E_STORAGE, -NB_E_NO_MEMORY. */
int layer_stream_new(const blob *b, const blob_promise *promise, const image_watch *watch, const char *what, const image_limits *limits,
                     uint64_t before, layer_stream **ret_stream, nb_error *err);
void layer_stream_free(layer_stream *s);
CLEANUP_DEFINE(layer_stream, layer_stream_free)

/* Unpacked bytes, up to @size; none at the end. A tar_input's read. -NB_E_EXHAUSTED: more of them than the limits allow. */
int layer_stream_read(void *stream, void *into, size_t size, size_t *ret_length, nb_error *err);

/* Reads what is left, and checks the promise, which is about the packed bytes. @ret_unpacked is the SHA-256 of the unpacked ones. */
int layer_stream_finish(layer_stream *s, digest *ret_unpacked, nb_error *err);
uint64_t layer_stream_unpacked_bytes(const layer_stream *s);

#endif
