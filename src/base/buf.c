/* SPDX-License-Identifier: Apache-2.0
 *
 * buf.c - a queue of bytes with a named maximum
 */
#include "base/buf.h"

#include "base/size.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST_BYTES 256
/* What an empty buffer may keep for its next use: what a stream needs again and again, for allocating that anew maps and unmaps memory
 * each time; but one huge message must not cost memory for the rest of a connection's life. */
#define BUF_KEEP_BYTES ((size_t) 256 << 10)

void buf_init(buf *b, size_t max_bytes) {
    *b = (buf){.max_bytes = max_bytes};
}

void buf_done(buf *b) {
    free(b->memory);
    *b = (buf){0};
}

uint8_t *buf_reserve(buf *b, size_t length) {
    size_t held = buf_length(b);
    if (length > b->max_bytes - held)
        return NULL;
    if (length <= b->capacity - b->end && b->memory)
        return b->memory + b->end;
    if (b->memory && held + length <= b->capacity) {
        memmove(b->memory, b->memory + b->start, held);
        b->start = 0;
        b->end = held;
        return b->memory + b->end;
    }
    size_t capacity = b->capacity ? b->capacity : BUF_FIRST_BYTES;
    while (capacity < held + length) {
        if (!mul_size(capacity, 2, &capacity))
            return NULL;
    }
    uint8_t *memory = malloc(capacity);
    if (!memory) {
        b->no_memory = true;
        return NULL;
    }
    if (held)
        memcpy(memory, b->memory + b->start, held);
    free(b->memory);
    b->memory = memory;
    b->capacity = capacity;
    b->start = 0;
    b->end = held;
    return b->memory + b->end;
}

void buf_added(buf *b, size_t length) {
    assert(length <= b->capacity - b->end);
    b->end += length;
}

bool buf_append(buf *b, const void *bytes, size_t length) {
    if (length == 0)
        return true;
    uint8_t *to = buf_reserve(b, length);
    if (!to)
        return false;
    memcpy(to, bytes, length);
    buf_added(b, length);
    return true;
}

void buf_consume(buf *b, size_t length) {
    assert(length <= buf_length(b));
    b->start += length;
    if (b->start == b->end)
        buf_clear(b);
}

void buf_truncate(buf *b, size_t length) {
    assert(length <= buf_length(b));
    b->end = b->start + length;
}

void buf_clear(buf *b) {
    b->start = b->end = 0;
    if (b->capacity <= BUF_KEEP_BYTES)
        return;
    if (b->kept_bytes == 0) {
        free(b->memory);
        b->memory = NULL;
        b->capacity = 0;
    } else if (b->kept_bytes < b->capacity) {
        uint8_t *kept = realloc(b->memory, b->kept_bytes);
        b->memory = kept ? kept : b->memory;
        b->capacity = kept ? b->kept_bytes : b->capacity;
    }
}
