/* SPDX-License-Identifier: Apache-2.0
 *
 * launch.h - starting a helper program out of somebody else's process
 */
#ifndef RUNTIME_LAUNCH_H
#define RUNTIME_LAUNCH_H

#include "base/error.h"

#include <stddef.h>
#include <sys/types.h>

/* At most this many descriptors are handed over. */
#define LAUNCH_FDS_MAX 4u

/* Runs the program open as @program with @fds as descriptors 3, 4, ... and /dev/null as 0 to 2. It is in a session of its own, has an
 * empty environment but PATH and LC_ALL, and never shows up among the caller's children.
 *
 * @name  for its argv and for messages
 * Its pid, or -NB_E_... */
pid_t launch_program(int program, const char *name, const int *fds, size_t fd_count, nb_error *err);

#endif
