/* SPDX-License-Identifier: Apache-2.0
 *
 * filter.h - the system calls that a machine's process has no business with
 */
#ifndef JAIL_FILTER_H
#define JAIL_FILTER_H

/* Installs the filter for this process and what it executes. What opens a file is sent to whoever holds the descriptor that this returns, and
 * waits for his answer (seccomp_unotify(2)); what works around that, changes the file system, talks to other processes or makes sockets fails.
 * For a process of one thread, just before it executes its program. -1 with errno: the kernel, or a filter that is there already, forbids it. */
int filter_install(void);

#endif
