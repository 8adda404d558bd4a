/* SPDX-License-Identifier: Apache-2.0
 *
 * test-tar-archive.h - tar archives written by hand
 */
#ifndef TEST_TAR_ARCHIVE_H
#define TEST_TAR_ARCHIVE_H

#include "base/buf.h"
#include "tar/reader.h"

#include <stdio.h>
#include <string.h>

#define ARCHIVE_MAX_BYTES ((size_t) 64 << 20)
#define ARCHIVE_BLOCK 512u

static inline void archive_pad(buf *archive) {
    static const uint8_t zeros[ARCHIVE_BLOCK];
    size_t rest = buf_length(archive) % ARCHIVE_BLOCK;
    if (rest)
        (void) buf_append(archive, zeros, ARCHIVE_BLOCK - rest);
}

static inline void archive_sign(uint8_t *block) {
    unsigned sum = 0;
    memset(block + 148, ' ', 8);
    for (size_t i = 0; i < ARCHIVE_BLOCK; i++)
        sum += block[i];
    (void) snprintf((char *) block + 148, 8, "%06o", sum);
}

/* One entry. Names go into the header alone: 100 bytes at most. */
static inline void archive_add(buf *archive, char type, const char *name, const char *link, const void *bytes, size_t length) {
    uint8_t block[ARCHIVE_BLOCK] = {0};
    memcpy(block, name, strnlen(name, 100));
    (void) snprintf((char *) block + 100, 8, "%07o", type == '5' ? 0755u : 0644u);
    (void) snprintf((char *) block + 108, 8, "%07o", 0u);
    (void) snprintf((char *) block + 116, 8, "%07o", 0u);
    (void) snprintf((char *) block + 124, 12, "%011o", (unsigned) length);
    (void) snprintf((char *) block + 136, 12, "%011o", 1u);
    block[156] = (uint8_t) type;
    memcpy(block + 157, link, strnlen(link, 100));
    memcpy(block + 257, "ustar\00000", 8);
    archive_sign(block);
    (void) buf_append(archive, block, sizeof(block));
    (void) buf_append(archive, bytes, length);
    archive_pad(archive);
}

/* A PAX record "LENGTH KEY=VALUE\n" in a header of its own. */
static inline void archive_add_pax(buf *archive, const char *key, const void *value, size_t length) {
    static char record[70000];
    size_t body = 1 + strlen(key) + 1 + length + 1, total = body, before;
    do {
        before = total;
        total = body + (size_t) snprintf(NULL, 0, "%zu", before);
    } while (total != before);
    int head = snprintf(record, sizeof(record), "%zu %s=", total, key);
    memcpy(record + head, value, length);
    record[(size_t) head + length] = '\n';
    archive_add(archive, 'x', "pax", "", record, total);
}

static inline void archive_file(buf *archive, const char *name, const char *text) {
    archive_add(archive, '0', name, "", text, strlen(text));
}
static inline void archive_folder(buf *archive, const char *name) {
    archive_add(archive, '5', name, "", "", 0);
}
static inline void archive_link(buf *archive, char type, const char *name, const char *target) {
    archive_add(archive, type, name, target, "", 0);
}

static inline void archive_end(buf *archive) {
    static const uint8_t zeros[2 * ARCHIVE_BLOCK];
    (void) buf_append(archive, zeros, sizeof(zeros));
}

/* Bytes in memory as a tar_input, at most @step at a time. */
typedef struct archive_feed {
    const uint8_t *at;
    size_t left, step;
} archive_feed;

static inline int archive_feed_read(void *user, void *into, size_t size, size_t *ret_length, nb_error *err) {
    archive_feed *feed = user;
    size_t now = size < feed->step ? size : feed->step;
    now = now < feed->left ? now : feed->left;
    memcpy(into, feed->at, now);
    feed->at += now;
    feed->left -= now;
    *ret_length = now;
    return 0;
}

#endif
