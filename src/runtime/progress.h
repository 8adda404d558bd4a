/* SPDX-License-Identifier: Apache-2.0
 *
 * progress.h - telling the runtime's user how far a long call is, and hearing whether it is to go on
 */
#ifndef RUNTIME_PROGRESS_H
#define RUNTIME_PROGRESS_H

#include "runtime/runtime.h"

/* 0, or -NB_E_CANCELLED: the user wants no more of it. */
int progress_tell(nb_runtime *rt, const nb_progress *progress, nb_error *err);

/* Waits for a lock that another program may hold for long, as lock_wait() does, and tells "waiting for @whom" all the while.
 *
 * -NB_E_TIMEOUT, -NB_E_CANCELLED, -NB_E_STORAGE. */
int progress_wait_for_lock(nb_runtime *rt, int fd, int64_t wait_ms, const char *whom, nb_error *err);

#endif
