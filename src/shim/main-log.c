/* SPDX-License-Identifier: Apache-2.0
 *
 * main-log.c - what the main command wrote, kept for `nestbox logs`
 */
#include "shim/main-log.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fd.h"
#include "shim/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

static int open_new(int folder, const char *name) {
    return openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

int main_log_begin(main_log *log, int folder, const char *name) {
    (void) unlinkat(folder, MAIN_LOG_OLD_FILE, 0);
    *log = (main_log){.folder = folder, .fd = open_new(folder, name)};
    return log->fd < 0 ? -1 : 0;
}

static int rotate(main_log *log) {
    if (renameat(log->folder, MAIN_LOG_FILE, log->folder, MAIN_LOG_OLD_FILE) < 0)
        return -1;
    int fd = open_new(log->folder, MAIN_LOG_FILE);
    if (fd < 0)
        return -1;
    (void) fd_close(log->fd);
    log->fd = fd;
    log->length = 0;
    return 0;
}

int main_log_write(main_log *log, unsigned stream, const void *bytes, size_t length) {
    if (log->fd < 0 || length == 0)
        return 0;
    uint8_t header[MAIN_LOG_HEADER_BYTES] = {0};
    store_le64(header, clock_wall_ms());
    store_le32(header + 8, (uint32_t) length);
    header[12] = (uint8_t) stream;
    struct iovec parts[2] = {{header, sizeof(header)}, {(void *) bytes, length}};
    size_t whole = sizeof(header) + length;
    if ((log->length + whole > MAIN_LOG_MAX_BYTES && rotate(log) < 0) || writev(log->fd, parts, 2) != (ssize_t) whole) {
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

void main_log_done(main_log *log) {
    log->fd = fd_close(log->fd);
}
