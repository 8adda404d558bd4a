/* SPDX-License-Identifier: Apache-2.0
 *
 * large.c - the content of large files, past the page cache
 *
 * Theory of operation
 *   open(2), O_DIRECT: whole blocks of aligned memory at aligned places go between a file system and its disk as they are. What a file ends with is no
 *   whole block, and goes through the cache, which is why the flag is the descriptor's and not the file's. A file system that refuses an order, whatever its
 *   reason, is given the same bytes without the flag.
 */
#include "tar/large.h"

#include "base/fd.h"
#include "base/size.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* No disk that a file system is on has larger sectors. */
#define ALIGNMENT 4096u

uint8_t *large_block_new(void) {
    void *block = NULL;
    return posix_memalign(&block, ALIGNMENT, LARGE_BLOCK_BYTES) == 0 ? block : NULL;
}

static int set_direct(int fd, bool direct) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT);
}

bool large_begin(int fd, const struct stat *status, uint64_t size) {
    /* A file system that is on no disk, in memory or the host's, has a number without a driver. */
    return size >= LARGE_FILE_MIN_BYTES && S_ISREG(status->st_mode) && major(status->st_dev) != 0 && set_direct(fd, true) == 0;
}

ssize_t large_read(int fd, uint8_t *block, size_t length, uint64_t offset) {
    for (;;) {
        ssize_t n = pread(fd, block, (size_t) align_up(length, ALIGNMENT), (off_t) offset);
        if (n >= 0)
            return (size_t) n < length ? n : (ssize_t) length;
        if (errno == EINVAL && fcntl(fd, F_GETFL) & O_DIRECT && set_direct(fd, false) == 0)
            continue;
        if (errno != EINTR)
            return -1;
    }
}

static int put_block(large_writer *w) {
    size_t length = w->used;
    w->used = 0;
    if (fd_pwrite_all(w->fd, w->block, length, w->offset) < 0) {
        /* Some of it may have got there: it is written again. */
        if (errno != EINVAL || set_direct(w->fd, false) < 0 || fd_pwrite_all(w->fd, w->block, length, w->offset) < 0)
            return -1;
    }
    w->offset += length;
    return 0;
}

int large_write(large_writer *w, const uint8_t *bytes, size_t length) {
    while (length > 0) {
        size_t room = LARGE_BLOCK_BYTES - w->used, part = length < room ? length : room;
        memcpy(w->block + w->used, bytes, part);
        w->used += part;
        bytes += part;
        length -= part;
        if (w->used == LARGE_BLOCK_BYTES && put_block(w) < 0)
            return -1;
    }
    return 0;
}

int large_finish(large_writer *w) {
    return w->used == 0 ? 0 : set_direct(w->fd, false) < 0 ? -1 : put_block(w);
}
