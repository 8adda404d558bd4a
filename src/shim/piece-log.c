/* SPDX-License-Identifier: Apache-2.0
 *
 * piece-log.c - a bounded log of pieces with their times
 */
#include "shim/piece-log.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct old_name {
    char text[PIECE_LOG_NAME_MAX + sizeof(PIECE_LOG_OLD_SUFFIX)];
} old_name;

static old_name name_old(const char *name) {
    old_name old;
    (void) snprintf(old.text, sizeof(old.text), "%s" PIECE_LOG_OLD_SUFFIX, name);
    return old;
}

static int open_new(int folder, const char *name) {
    return openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

int piece_log_begin(piece_log *log, int folder, const char *name, uint64_t max_bytes) {
    (void) unlinkat(folder, name_old(name).text, 0);
    *log = (piece_log){.folder = folder, .name = name, .max_bytes = max_bytes, .fd = open_new(folder, name)};
    return log->fd < 0 ? -1 : 0;
}

static int rotate(piece_log *log) {
    if (renameat(log->folder, log->name, log->folder, name_old(log->name).text) < 0)
        return -1;
    int fd = open_new(log->folder, log->name);
    if (fd < 0)
        return -1;
    (void) fd_close(log->fd);
    log->fd = fd;
    log->length = 0;
    return 0;
}

int piece_log_write(piece_log *log, unsigned kind, const void *bytes, size_t length) {
    if (log->fd < 0 || length == 0)
        return 0;
    uint8_t header[PIECE_LOG_HEADER_BYTES] = {0};
    store_le64(header, clock_wall_ms());
    store_le32(header + 8, (uint32_t) length);
    header[12] = (uint8_t) kind;
    struct iovec parts[2] = {{header, sizeof(header)}, {(void *) bytes, length}};
    size_t whole = sizeof(header) + length;
    if ((log->length + whole > log->max_bytes && rotate(log) < 0) || writev(log->fd, parts, 2) != (ssize_t) whole) {
        int saved = errno ? errno : ENOSPC;
        /* No torn piece at the end, if the file system lets us. */
        (void) !ftruncate(log->fd, (off_t) log->length);
        log->fd = fd_close(log->fd);
        errno = saved;
        return -1;
    }
    log->length += whole;
    return 0;
}

void piece_log_done(piece_log *log) {
    log->fd = fd_close(log->fd);
}
