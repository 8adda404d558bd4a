/* SPDX-License-Identifier: Apache-2.0
 *
 * lock.h - a file's lock as a sign of life
 *
 * Open-file-description locks (fcntl(2)): held by the kernel for as long as the descriptor is open, whatever kills its process, and, unlike
 * flock(2), can be asked about without being taken, so that a look disturbs nobody.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Takes the lock of the file open (for writing) as @fd. 0, or -1 with errno, EAGAIN when somebody has it. */
int lock_take(int fd);

/* The same, waiting for at most @timeout_ms; errno EAGAIN when somebody still has it then. */
int lock_wait(int fd, int64_t timeout_ms);

/* Whether somebody else has it. */
bool lock_is_held(int fd);

#endif
