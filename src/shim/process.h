/* SPDX-License-Identifier: Apache-2.0
 *
 * process.h - what a box's shim owes to the processes around it: its owner, its first client, whoever sends it signals
 */
#ifndef SHIM_PROCESS_H
#define SHIM_PROCESS_H

#include "shim/shim.h"

typedef struct shim_process {
    loop_fd signals;
    loop_timer first_order;
} shim_process;

/* For a process that is to be a shim, or may become one: as many descriptors as clients may need, no death by a pipe. */
void process_prepare(void);

/* Has SIGTERM and SIGINT stop the box. 0, or -1 with errno. */
int process_watch_signals(shim *s, shim_process *p);

/* Has the box end with its owner, where it is not detached, and the shim end where no order to launch comes.
 *
 * @owner  a pidfd; the shim's
 * 0, or -1 with errno */
int process_begin_duty(shim *s, shim_process *p, int owner);

#endif
