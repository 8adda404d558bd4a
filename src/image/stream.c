/* SPDX-License-Identifier: Apache-2.0
 *
 * stream.c - a blob read once from its beginning to its end, counted, hashed and reported
 *
 * Theory of operation
 *   packed bytes -> digest -> libarchive's filters, told that what they give is raw -> digest -> whoever reads the tar archive
 *
 *   The digest of the unpacked bytes, which are many times as many, is made in a thread of its own while the archive is read.
 *
 *   libarchive finds the compression by itself and calls back for packed bytes. An error in that callback is kept and returned in place of
 *   what libarchive makes of it. The end of the archive is not the end of the blob: the rest is read for the digests' sake.
 */
#include "image/stream.h"

#include "base/error.h"
#include "base/fd.h"
#include "image/hash-behind.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACKED_BUFFER_BYTES ((size_t) 256 << 10)

void blob_done(blob *b) {
    if (b->owned)
        b->fd = fd_close(b->fd);
}

/* One read at @done bytes from the beginning. */
static int blob_read_some(const blob *b, uint64_t done, void *into, size_t size, size_t *ret_length, nb_error *err) {
    ssize_t length;
    if (b->seekable && size > b->size - done)
        size = (size_t) (b->size - done);
    if (size == 0) {
        *ret_length = 0;
        return 0;
    }
    do {
        length = b->seekable ? pread(b->fd, into, size, (off_t) (b->offset + done)) : read(b->fd, into, size);
    } while (length < 0 && errno == EINTR);
    if (length < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "read the image's source");
    if (b->seekable && length == 0)
        return nb_fail(err, NB_E_IMAGE, 0, "read the image's source: it became shorter while it was read");
    *ret_length = (size_t) length;
    return 0;
}

static int check_promise(const blob_promise *promise, uint64_t size, const digest *found, nb_error *err) {
    char expected_text[DIGEST_TEXT_SIZE], found_text[DIGEST_TEXT_SIZE];
    if (promise->has_digest && !digest_equal(&promise->digest, found)) {
        digest_format(&promise->digest, expected_text);
        digest_format(found, found_text);
        return nb_fail(err, NB_E_IMAGE, 0, "verify a blob: expected %s, found %s", expected_text, found_text);
    }
    if (promise->has_size && promise->size != size)
        return nb_fail(err, NB_E_IMAGE, 0, "verify a blob: expected %llu bytes, found %llu", (unsigned long long) promise->size,
                       (unsigned long long) size);
    return 0;
}

static enum digest_algorithm promised_algorithm(const blob_promise *promise) {
    return promise->has_digest ? promise->digest.algorithm : DIGEST_SHA256;
}

int blob_read(const blob *b, const blob_promise *promise, size_t max_bytes, char **ret_text, size_t *ret_length, nb_error *err) {
    if (!b->seekable || b->size > max_bytes)
        return nb_fail(err, NB_E_IMAGE, 0, "read a document of the image: it has more than %zu bytes", max_bytes);
    size_t size = (size_t) b->size;
    CLEANUP(cleanup_free) char *text = malloc(size + 1);
    CLEANUP(hasher_freep) hasher *h = hasher_new(promised_algorithm(promise));
    if (!text || !h)
        return nb_fail_oom(err);
    for (size_t done = 0, now; done < size; done += now) {
        int r = blob_read_some(b, done, text + done, size - done, &now, err);
        if (r < 0)
            return r;
    }
    text[size] = '\0';
    digest found;
    hasher_add(h, text, size);
    hasher_finish(h, &found);
    int r = check_promise(promise, size, &found, err);
    if (r < 0)
        return r;
    *ret_text = take_ptr(&text);
    *ret_length = size;
    return 0;
}

struct layer_stream {
    const blob *blob;
    const blob_promise *promise;
    const image_watch *watch;
    char what[64];               /* for messages */
    char item[DIGEST_TEXT_SIZE]; /* for progress: what fetching it was called too, where it was fetched */
    const image_limits *limits;
    uint64_t before; /* unpacked bytes of other layers */
    struct archive *archive;
    hasher *packed_hasher;
    hash_behind *unpacked_hasher;
    bool empty; /* nothing at all was unpacked */
    uint64_t packed_bytes, unpacked_bytes;
    int failure; /* of the callback; then failed says more */
    nb_error failed;
    uint8_t packed[PACKED_BUFFER_BYTES];
};

void layer_stream_free(layer_stream *s) {
    if (!s)
        return;
    if (s->archive)
        (void) archive_read_free(s->archive);
    hasher_free(s->packed_hasher);
    hash_behind_free(s->unpacked_hasher);
    free(s);
}

static int read_packed(layer_stream *s, size_t *ret_length, nb_error *err) {
    if (!s->blob->seekable && s->watch->wait_readable)
        s->watch->wait_readable(s->watch->user, s->blob->fd);
    int r = blob_read_some(s->blob, s->packed_bytes, s->packed, sizeof(s->packed), ret_length, err);
    if (r < 0)
        return r;
    hasher_add(s->packed_hasher, s->packed, *ret_length);
    s->packed_bytes += *ret_length;
    if (s->watch->progress)
        s->watch->progress(s->watch->user, "unpacking", s->item, s->packed_bytes, s->blob->size);
    return 0;
}

static la_ssize_t on_packed_wanted(struct archive *archive, void *user, const void **ret_bytes) {
    layer_stream *s = user;
    size_t length;
    s->failure = read_packed(s, &length, &s->failed);
    if (s->failure < 0) {
        archive_set_error(archive, EIO, "%s", s->failed.message);
        return ARCHIVE_FATAL;
    }
    *ret_bytes = s->packed;
    return (la_ssize_t) length;
}

static int unpack_failed(layer_stream *s, nb_error *err) {
    if (s->failure < 0) {
        if (err)
            *err = s->failed;
        return s->failure;
    }
    const char *text = archive_error_string(s->archive);
    if (archive_errno(s->archive) == ENOMEM)
        return nb_fail_oom(err);
    return nb_fail(err, NB_E_IMAGE, 0, "decompress %s: %s", s->what, text ? text : "damaged");
}

/* Known compressions only: libarchive's catch-all would start programs for some. */
static int open_archive(layer_stream *s, nb_error *err) {
    struct archive_entry *entry;
    s->archive = archive_read_new();
    if (!s->archive)
        return nb_fail_oom(err);
    if (archive_read_support_filter_gzip(s->archive) != ARCHIVE_OK || archive_read_support_filter_bzip2(s->archive) != ARCHIVE_OK ||
        archive_read_support_filter_xz(s->archive) != ARCHIVE_OK || archive_read_support_filter_zstd(s->archive) != ARCHIVE_OK ||
        archive_read_support_format_raw(s->archive) != ARCHIVE_OK || archive_read_support_format_empty(s->archive) != ARCHIVE_OK)
        return nb_fail(err, NB_E_UNSUPPORTED, 0, "prepare to decompress: this libarchive lacks gzip, bzip2, xz or zstd");
    if (archive_read_open(s->archive, s, NULL, on_packed_wanted, NULL) != ARCHIVE_OK)
        return unpack_failed(s, err);
    int r = archive_read_next_header(s->archive, &entry);
    s->empty = r == ARCHIVE_EOF;
    return r == ARCHIVE_OK || r == ARCHIVE_EOF ? 0 : unpack_failed(s, err);
}

int layer_stream_new(const blob *b, const blob_promise *promise, const image_watch *watch, const char *what, const image_limits *limits,
                     uint64_t before, layer_stream **ret_stream, nb_error *err) {
    CLEANUP(layer_stream_freep) layer_stream *s = calloc(1, sizeof(*s));
    if (!s)
        return nb_fail_oom(err);
    s->blob = b;
    s->promise = promise;
    s->watch = watch;
    s->limits = limits;
    s->before = before;
    (void) snprintf(s->what, sizeof(s->what), "%s", what);
    if (promise->has_digest)
        digest_format(&promise->digest, s->item);
    else
        (void) snprintf(s->item, sizeof(s->item), "%s", what);
    s->packed_hasher = hasher_new(promised_algorithm(promise));
    s->unpacked_hasher = hash_behind_new(DIGEST_SHA256);
    if (!s->packed_hasher || !s->unpacked_hasher)
        return nb_fail_oom(err);
    int r = open_archive(s, err);
    if (r == 0)
        *ret_stream = take_ptr(&s);
    return r;
}

static int check_growth(const layer_stream *s, nb_error *err) {
    uint64_t max_bytes = image_layers_max_bytes(s->limits), max_ratio = s->limits->max_ratio;
    if (s->before + s->unpacked_bytes > max_bytes)
        return image_limit_hint(err,
                                nb_fail(err, NB_E_EXHAUSTED, 0, "unpack %s: the image's layers have more than %llu bytes, %u times %llu",
                                        s->what, (unsigned long long) max_bytes, IMAGE_LAYERS_PER_DISK,
                                        (unsigned long long) s->limits->max_bytes),
                                "max_bytes");
    if (s->unpacked_bytes > IMAGE_RATIO_GRACE_BYTES && s->unpacked_bytes / max_ratio > s->packed_bytes)
        return image_limit_hint(err,
                                nb_fail(err, NB_E_EXHAUSTED, 0, "unpack %s: it grows more than %llu times, as no honest layer does",
                                        s->what, (unsigned long long) max_ratio),
                                "max_ratio");
    return 0;
}

int layer_stream_read(void *stream, void *into, size_t size, size_t *ret_length, nb_error *err) {
    layer_stream *s = stream;
    la_ssize_t length = s->empty ? 0 : archive_read_data(s->archive, into, size);
    if (length < 0)
        return unpack_failed(s, err);
    hash_behind_add(s->unpacked_hasher, into, (size_t) length);
    s->unpacked_bytes += (uint64_t) length;
    *ret_length = (size_t) length;
    return check_growth(s, err);
}

uint64_t layer_stream_unpacked_bytes(const layer_stream *s) {
    return s->unpacked_bytes;
}

int layer_stream_finish(layer_stream *s, digest *ret_unpacked, nb_error *err) {
    uint8_t rest[4096];
    size_t length;
    int r;
    do {
        r = layer_stream_read(s, rest, sizeof(rest), &length, err);
    } while (r == 0 && length > 0);
    /* Decompressors stop where their format says so; what follows still counts for the digest. */
    do {
        r = r < 0 ? r : read_packed(s, &length, err);
    } while (r == 0 && length > 0);
    if (r < 0)
        return r;
    digest packed;
    hasher_finish(s->packed_hasher, &packed);
    r = check_promise(s->promise, s->packed_bytes, &packed, err);
    if (r < 0)
        return r;
    hash_behind_finish(s->unpacked_hasher, ret_unpacked);
    if (s->watch->progress)
        s->watch->progress(s->watch->user, "unpacked", s->item, s->packed_bytes, s->packed_bytes);
    return 0;
}
