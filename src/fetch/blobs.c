/* SPDX-License-Identifier: Apache-2.0
 *
 * blobs.c - the folder of blobs that images are made from
 *
 * A blob gets its name when its digest has been verified, without waiting for the disk: after a power cut it may be damaged. So one that
 * is there already is verified again before it is used, which costs less than the wait would.
 */
#include "fetch/blobs.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define READ_BYTES ((size_t) 256 << 10)
#define PATH_SIZE (sizeof("blobs/sha512/") + 2 * DIGEST_MAX_BYTES)

static int fail(nb_error *err, const char *what, const char *path) {
    int error = errno;
    int r = nb_fail(err, nb_code_of_errno(error), error, "%s '%s'", what, path);
    return error == ENOSPC || error == EDQUOT
               ? nb_fail_hint(err, r, "make room on the home's file system, and try again: what has come is kept")
               : r;
}

static void blob_path(const digest *d, char ret_path[PATH_SIZE]) {
    char hex[2 * DIGEST_MAX_BYTES + 1];
    digest_format_hex(d, hex);
    (void) snprintf(ret_path, PATH_SIZE, "blobs/%s/%s", digest_algorithm_name(d->algorithm), hex);
}

static void part_path(const digest *d, char ret_path[PATH_SIZE]) {
    char hex[2 * DIGEST_MAX_BYTES + 1];
    digest_format_hex(d, hex);
    (void) snprintf(ret_path, PATH_SIZE, "parts/%s", hex);
}

int blobs_prepare(int folder, nb_error *err) {
    static const char *const folders[] = {"blobs", "blobs/sha256", "blobs/sha512", "parts"};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        if (mkdirat(folder, folders[i], 0700) < 0 && errno != EEXIST)
            return fail(err, "make the folder", folders[i]);
    }
    return 0;
}

/* Adds what the file holds to the hasher. */
static int hash_file(int fd, hasher *h, uint64_t *ret_length) {
    CLEANUP(cleanup_free) uint8_t *bytes = malloc(READ_BYTES);
    uint64_t at = 0;
    if (!bytes) {
        errno = ENOMEM;
        return -1;
    }
    for (;;) {
        ssize_t n = pread(fd, bytes, READ_BYTES, (off_t) at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        hasher_add(h, bytes, (size_t) n);
        at += (uint64_t) n;
    }
    *ret_length = at;
    return 0;
}

int blobs_has(int folder, const blob_promise *promise, bool *ret_has, nb_error *err) {
    char path[PATH_SIZE];
    blob_path(&promise->digest, path);
    CLEANUP(cleanup_fd) int fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    CLEANUP(hasher_freep) hasher *h = hasher_new(promise->digest.algorithm);
    uint64_t length;
    digest found;
    if (!h)
        return nb_fail_oom(err);
    if (fd < 0 && errno == ENOENT) {
        *ret_has = false;
        return 0;
    }
    if (fd < 0 || hash_file(fd, h, &length) < 0)
        return fail(err, "read the blob", path);
    hasher_finish(h, &found);
    *ret_has = digest_equal(&found, &promise->digest) && (!promise->has_size || length == promise->size);
    if (!*ret_has && unlinkat(folder, path, 0) < 0 && errno != ENOENT)
        return fail(err, "remove the damaged blob", path);
    return 0;
}

int blobs_put(int folder, const digest *of_text, const char *text, size_t length, nb_error *err) {
    char path[PATH_SIZE], *slash;
    blob_path(of_text, path);
    slash = strrchr(path, '/');
    *slash = '\0';
    CLEANUP(cleanup_fd) int inner = openat(folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return inner < 0 || file_write_atomic(inner, slash + 1, text, length, false) < 0 ? fail(err, "write a blob into", path) : 0;
}

void part_done(part *p) {
    (void) fd_close(p->fd);
    hasher_free(p->hasher);
    *p = (part){.fd = -1};
}

static int begin_anew(part *p, const char *path, nb_error *err) {
    hasher_free(p->hasher);
    p->length = 0;
    p->hasher = hasher_new(p->promise.digest.algorithm);
    if (!p->hasher)
        return nb_fail_oom(err);
    return ftruncate(p->fd, 0) < 0 ? fail(err, "empty", path) : 0;
}

int part_open(int folder, const blob_promise *promise, part *ret_part, nb_error *err) {
    char path[PATH_SIZE];
    part_path(&promise->digest, path);
    CLEANUP(part_done) part p = {.folder = folder, .promise = *promise};
    p.fd = openat(folder, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    p.hasher = hasher_new(promise->digest.algorithm);
    if (!p.hasher)
        return nb_fail_oom(err);
    if (p.fd < 0 || hash_file(p.fd, p.hasher, &p.length) < 0)
        return fail(err, "open", path);
    if (promise->has_size && p.length > promise->size) {
        int r = begin_anew(&p, path, err);
        if (r < 0)
            return r;
    }
    *ret_part = p;
    p = (part){.fd = -1};
    return 0;
}

int part_write(part *p, uint64_t from, const uint8_t *bytes, size_t length, nb_error *err) {
    char path[PATH_SIZE], text[DIGEST_TEXT_SIZE];
    part_path(&p->promise.digest, path);
    digest_format(&p->promise.digest, text);
    if (from != p->length && from == 0) {
        int r = begin_anew(p, path, err);
        if (r < 0)
            return r;
    }
    if (from != p->length)
        return nb_fail(err, NB_E_IMAGE, 0, "take the blob %s: the registry sends it from byte %llu, not from %llu", text,
                       (unsigned long long) from, (unsigned long long) p->length);
    if (p->promise.has_size && length > p->promise.size - p->length)
        return nb_fail(err, NB_E_IMAGE, 0, "take the blob %s: the registry sends more than the %llu bytes that it has", text,
                       (unsigned long long) p->promise.size);
    if (fd_pwrite_all(p->fd, bytes, length, p->length) < 0)
        return fail(err, "write", path);
    hasher_add(p->hasher, bytes, length);
    p->length += length;
    return 0;
}

int part_finish(part *p, nb_error *err) {
    char from[PATH_SIZE], to[PATH_SIZE], expected[DIGEST_TEXT_SIZE], seen[DIGEST_TEXT_SIZE];
    digest found;
    part_path(&p->promise.digest, from);
    blob_path(&p->promise.digest, to);
    hasher_finish(p->hasher, &found);
    if (!digest_equal(&found, &p->promise.digest)) {
        digest_format(&p->promise.digest, expected);
        digest_format(&found, seen);
        (void) unlinkat(p->folder, from, 0);
        return nb_fail(err, NB_E_IMAGE, 0, "verify a blob: expected %s, the registry sent %s", expected, seen);
    }
    return renameat(p->folder, from, p->folder, to) < 0 ? fail(err, "keep the blob", to) : 0;
}
