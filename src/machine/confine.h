/* SPDX-License-Identifier: Apache-2.0
 *
 * confine.h - holds a machine's process within limits of the host: by systemd where that runs, else by control groups of our own
 */
#ifndef MACHINE_CONFINE_H
#define MACHINE_CONFINE_H

#include "base/log.h"
#include "loop/loop.h"
#include "machine/host-cgroup.h"

typedef enum confine_way { CONFINE_NONE, CONFINE_V1, CONFINE_V2, CONFINE_SYSTEMD } confine_way;

typedef struct confinement confinement;

struct confinement {
    loop *loop; /* NULL: not begun, or done */
    const log_sink *log;
    pid_t pid;
    char name[HOST_CGROUP_NAME_SIZE];
    host_limits limits;
    void (*on_placed)(confinement *c); /* once; the next three say how */
    void *user;
    confine_way way;
    unsigned applied; /* HOST_LIMIT_... */
    host_cgroup own;  /* its why: also what systemd had against it */
    /* While systemd is asked. */
    pid_t asker;
    int asker_pidfd, asker_output;
    loop_fd asker_watch;
    loop_timer timer;
    unsigned looks;
};

/* Begins; on_placed is called when it is over, perhaps before this returns. Never fails: the process then is not held, and why says so.
 *
 * @c     zeroed, with log, pid, limits, on_placed and user set
 * @name  of the group, for host_cgroup_name() */
void confine_begin(confinement *c, loop *l, const char *box_id);

/* Ends what still goes on, and removes the groups: the process has ended. Fine when nothing was begun. */
void confine_done(confinement *c);

#endif
