/* SPDX-License-Identifier: Apache-2.0
 *
 * console.c - keeping what the guest's kernel says, within a bound
 *
 * Theory of operation
 *   The file grows to its maximum; then its newer half moves to the front and it grows on from there. So a reader sees plain text from
 *   the beginning of the file, at least the last half megabyte, and one that reads while the halves move can see a piece twice. The newest
 *   bytes are also kept in memory, for error messages.
 */
#include "machine/console.h"

#include "base/fd.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CONSOLE_COPY_BYTES 16384

int console_init(console *c, int fd) {
    c->fd = fd;
    c->length = 0;
    c->failed = false;
    c->tail_length = 0;
    return ftruncate(fd, 0);
}

/* Moves the last @keep bytes of the file to its front. */
static int keep_newest(console *c, uint64_t keep) {
    char block[CONSOLE_COPY_BYTES];
    uint64_t from = c->length - keep, to = 0;
    while (to < keep) {
        size_t wanted = keep - to < sizeof(block) ? (size_t) (keep - to) : sizeof(block);
        ssize_t n = pread(c->fd, block, wanted, (off_t) (from + to));
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EIO; /* somebody else shortened it */
        if (n <= 0 || fd_pwrite_all(c->fd, block, (size_t) n, to) < 0)
            return -1;
        to += (uint64_t) n;
    }
    c->length = keep;
    return ftruncate(c->fd, (off_t) keep);
}

static int append_to_file(console *c, const char *bytes, size_t length) {
    if (length > CONSOLE_FILE_MAX_BYTES / 2) {
        bytes += length - CONSOLE_FILE_MAX_BYTES / 2;
        length = CONSOLE_FILE_MAX_BYTES / 2;
    }
    if (c->length + length > CONSOLE_FILE_MAX_BYTES && keep_newest(c, CONSOLE_FILE_MAX_BYTES / 2) < 0)
        return -1;
    if (fd_pwrite_all(c->fd, bytes, length, c->length) < 0)
        return -1;
    c->length += length;
    return 0;
}

void console_append(console *c, const void *bytes, size_t length, const log_sink *log) {
    if (!c->failed && append_to_file(c, bytes, length) < 0) {
        log_warning(log, "machine: write the console's file: %s, keeping only its last lines in memory", strerror(errno));
        c->failed = true;
    }
    const char *at = bytes;
    if (length > sizeof(c->tail)) {
        at += length - sizeof(c->tail);
        length = sizeof(c->tail);
    }
    if (c->tail_length + length > sizeof(c->tail)) {
        size_t drop = c->tail_length + length - sizeof(c->tail);
        c->tail_length -= drop;
        memmove(c->tail, c->tail + drop, c->tail_length);
    }
    memcpy(c->tail + c->tail_length, at, length);
    c->tail_length += length;
}

void console_tail(const console *c, char *text, size_t size) {
    if (size == 0)
        return;
    const char *at = c->tail, *end = c->tail + c->tail_length;
    if (c->tail_length > size - 1) {
        at = end - (size - 1);
        const char *newline = memchr(at, '\n', (size_t) (end - at));
        if (newline && newline + 1 < end)
            at = newline + 1;
    }
    size_t length = 0;
    for (; at < end; at++) {
        if (*at == '\r')
            continue;
        text[length++] = *at == '\n' || (*at >= ' ' && *at < 0x7f) ? *at : *at == '\t' ? ' ' : '?';
    }
    text[length] = '\0';
}
