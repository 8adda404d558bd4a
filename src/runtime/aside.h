/* SPDX-License-Identifier: Apache-2.0
 *
 * aside.h - a few system calls in a process of their own, out of somebody else's process
 */
#ifndef RUNTIME_ASIDE_H
#define RUNTIME_ASIDE_H

#include <stddef.h>

/* Runs @work in a process that shares this one's memory and none of its descriptors: it begins with copies of them, and what it opens,
 * closes or replaces is its own. This thread waits for its end; the host program's waitpid() and SIGCHLD never hear of it.
 *
 * @work  bare system calls only, as aside.c says; its results go through @user. All signals are blocked in it.
 * 0, or -1 with errno where no such process could be made. */
int aside_run(void (*work)(void *user), void *user);

/* The rest is for @work. */

/* How it ends a process early, one that it has cloned itself included. */
_Noreturn void aside_end(int status);

/* clone() under the C library's own name for it (glibc, musl), which no sanitizer wraps. */
int __clone(int (*run)(void *), void *stack, int flags, void *user, ...);

/* A stack for a few small functions. */
#define ASIDE_STACK_BYTES ((size_t) 64 << 10)

#endif
