/* SPDX-License-Identifier: Apache-2.0
 *
 * launch.h - starting a helper program out of somebody else's process
 */
#ifndef RUNTIME_LAUNCH_H
#define RUNTIME_LAUNCH_H

#include "base/error.h"

#include <stddef.h>

/* At most this many descriptors are handed over beside the connection. */
#define LAUNCH_FDS_MAX 3u

/* Runs the program open as @program with one end of a connection as descriptor 3, @fds as 4, 5, ... and /dev/null as 0 to 2. It is in a session of
 * its own, has an empty environment but PATH and LC_ALL, and never shows up among the caller's children.
 *
 * @name  for its argv and for messages
 * Our end, nonblocking, or -NB_E_... */
int launch_program(int program, const char *name, const int *fds, size_t fd_count, nb_error *err);

/* The same for a shim's program, WIRE_SHIM_...: a folder, and a pidfd of this process. */
int launch_shim(int program, const char *name, int folder, nb_error *err);

#endif
