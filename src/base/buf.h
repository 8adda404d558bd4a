/* SPDX-License-Identifier: Apache-2.0
 *
 * buf.h - a queue of bytes with a named maximum
 *
 * Bytes are appended at the end and consumed from the front. Growing beyond the maximum given at init fails: a buffer that
 * outsiders can fill always has a bound.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct buf {
    uint8_t *memory;
    size_t start, end; /* the bytes are memory[start .. end) */
    size_t capacity;
    size_t max_bytes;
    bool no_memory;    /* buf_reserve() has once returned NULL for want of memory, not of room; latches */
    size_t kept_bytes; /* an emptied large buffer shrinks to so many, which then need no memory the next time; 0: gives all of it back */
} buf;

/* @max_bytes  how many bytes may be waiting in it at once; there is no default. Allocates nothing. */
void buf_init(buf *b, size_t max_bytes);
void buf_done(buf *b);

static inline size_t buf_length(const buf *b) {
    return b->end - b->start;
}
/* NULL when it never held anything: adding even 0 to NULL is undefined. */
static inline uint8_t *buf_bytes(const buf *b) {
    return b->memory ? b->memory + b->start : NULL;
}
static inline size_t buf_room(const buf *b) {
    return b->max_bytes - buf_length(b);
}

/* Makes room for @length bytes at the end and returns where they go; NULL when that is beyond the maximum or memory is out. The
 * bytes count only after buf_added(). */
uint8_t *buf_reserve(buf *b, size_t length);
void buf_added(buf *b, size_t length);

/* False, with nothing changed, where buf_reserve() would return NULL. */
bool buf_append(buf *b, const void *bytes, size_t length);

/* Drops @length bytes from the front; asserts that they are there. An emptied buffer of more than 256 KiB gives its memory back,
 * but for kept_bytes. */
void buf_consume(buf *b, size_t length);

/* Keeps the first @length bytes alone. */
void buf_truncate(buf *b, size_t length);

void buf_clear(buf *b);

#endif
