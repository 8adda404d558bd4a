/* SPDX-License-Identifier: Apache-2.0
 *
 * launch.h - starting the machine's process with exactly the descriptors it may have
 */
#ifndef MACHINE_LAUNCH_H
#define MACHINE_LAUNCH_H

#include "base/strv.h"

#include <nestbox/error.h>

#include <stddef.h>
#include <sys/types.h>

/* Forks and executes a program. Its descriptor i is fds[i]; it has no others, no environment but PATH and LC_ALL=C, default signals, a process
 * group of its own, no core file, and dies with the calling thread, which must be the process's only one.
 *
 * Blocks until the program is executed, about a millisecond.
 *
 * @argv        the program's absolute path, then its arguments
 * @fds         borrowed
 * @ret_pidfd   CLOEXEC; the caller's, who also reaps the child
 * Errors: -NB_E_MACHINE (with errno: the program cannot be executed, no processes or descriptors left), -NB_E_NO_MEMORY. */
int launch_program(strv argv, const int *fds, size_t fd_count, pid_t *ret_pid, int *ret_pidfd, nb_error *err);

/* The same for a program that is to run under a filter of system calls.
 *
 * @install          called in the child, the last thing before the program: the descriptor by which the filter is served, or -1 with errno
 * @ret_listener     that descriptor, the caller's; -1: the filter could not be installed, and the program runs without
 * @ret_refused_by   errno of that */
int launch_filtered_program(strv argv, const int *fds, size_t fd_count, int (*install)(void), pid_t *ret_pid, int *ret_pidfd,
                            int *ret_listener, int *ret_refused_by, nb_error *err);

#endif
