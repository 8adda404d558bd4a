/* SPDX-License-Identifier: Apache-2.0
 *
 * spawn.h - the last steps of a process before it is the user's program
 */
#ifndef GUEST_SPAWN_H
#define GUEST_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a child writes into its report pipe: first its own pid as the box sees it (step WIRE_STEP_NONE), then, only when a step failed,
 * that step and its errno. End of file without a failure means that the program runs. */
typedef struct spawn_report {
    uint32_t step;
    int32_t value; /* the pid, or errno */
} spawn_report;

typedef struct spawn_descriptors {
    int options; /* memory file holding a SPAWN message */
    int report;  /* CLOEXEC pipe */
    int cgroup;  /* folder of the exec's cgroup to move to, or -1 where the process is already in it */
    int streams[3];
    int console; /* socket that takes the terminal's master, or -1: then the streams count */
} spawn_descriptors;

/* Runs in the new process and does not return: connects streams, takes on identity and limits, executes the program. All paths are
 * looked up in the container. May allocate: its parent, of which it is a copy, has one thread and holds no lock. */
_Noreturn void spawn_become(const spawn_descriptors *fds);

#endif
