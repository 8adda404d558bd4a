/* SPDX-License-Identifier: Apache-2.0
 *
 * lock.c - a file's lock as a sign of life
 */
#include "base/lock.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

/* The kernel can wait for such a lock, but not with a bound. */
#define LOCK_LOOK_NS 5000000L

int lock_take(int fd) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &whole) == 0)
        return 0;
    if (errno == EACCES)
        errno = EAGAIN;
    return -1;
}

int lock_wait(int fd, int64_t timeout_ms) {
    deadline until = deadline_in(timeout_ms);
    while (lock_take(fd) < 0) {
        if (errno != EAGAIN || deadline_passed(until))
            return -1;
        (void) nanosleep(&(struct timespec){.tv_nsec = LOCK_LOOK_NS}, NULL);
    }
    return 0;
}

bool lock_is_held(int fd) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}
