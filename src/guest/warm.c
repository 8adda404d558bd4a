/* SPDX-License-Identifier: Apache-2.0
 *
 * warm.c - an image's files in the memory of a machine that is to be saved
 *
 * Theory of operation
 *   Every box that goes on from here finds in its memory what was read before: names, and content. It need not wait for its disk, and the pages are
 *   the template's, which all boxes share, where each would have had its own. An image that has more than fits is left alone: which of its files will be
 *   wanted is not known, and to fill a machine's memory with the others would help nobody.
 */
#include "guest/warm.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/size.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

/* Of all files, and of the machine's memory. */
#define BYTES_MAX MIB(32)
#define MEMORY_DIVISOR 8
/* Of which each has a place in the kernel's memory, too. */
#define FILES_MAX 4096

#define FOLDERS_OPEN_MAX 16

static uint64_t bytes_left; /* of this process alone; nftw() hands on nothing of the caller's */
static unsigned files_left;

static int count(const char *path, const struct stat *status, int kind, struct FTW *where) {
    if (files_left == 0)
        return 1;
    files_left--;
    if (kind != FTW_F || !S_ISREG(status->st_mode))
        return 0;
    if ((uint64_t) status->st_size > bytes_left)
        return 1;
    bytes_left -= (uint64_t) status->st_size;
    return 0;
}

static int read_through(const char *path, const struct stat *status, int kind, struct FTW *where) {
    static uint8_t drop[KIB(64)];
    if (kind != FTW_F || !S_ISREG(status->st_mode))
        return 0;
    CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_NONBLOCK | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : 1;
    while (n > 0) {
        n = read(fd, drop, sizeof(drop));
        if (n < 0 && errno == EINTR)
            n = 1;
    }
    return 0;
}

void warm_files(void) {
    struct sysinfo memory;
    if (sysinfo(&memory) < 0)
        return;
    uint64_t part = (uint64_t) memory.totalram * memory.mem_unit / MEMORY_DIVISOR;
    bytes_left = part < BYTES_MAX ? part : BYTES_MAX;
    files_left = FILES_MAX;
    if (nftw(".", count, FOLDERS_OPEN_MAX, FTW_PHYS | FTW_MOUNT) == 0)
        (void) nftw(".", read_through, FOLDERS_OPEN_MAX, FTW_PHYS | FTW_MOUNT);
}
