/* SPDX-License-Identifier: Apache-2.0
 *
 * agent.h - what PID 1 holds while the box runs
 */
#ifndef GUEST_AGENT_H
#define GUEST_AGENT_H

#include "guest/cgroup.h"
#include "link/link.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <sys/types.h>

typedef struct exec exec;
typedef struct volume volume;

/* Execs whose process or output is not over yet. */
#define AGENT_EXECS_MAX 2048u

typedef struct agent_places {
    const char *disk;   /* block device with the box's file system; NULL: @rootfs is ready as it is */
    const char *rootfs; /* where the container's root is, or is mounted */
    const char *cgroup; /* cgroup2 folder to work below; NULL: none */
    bool is_machine;    /* we are PID 1 of a machine of our own: set its clock, power it off */
} agent_places;

typedef struct agent {
    loop *loop;
    link_end link;
    agent_places places;
    int zygote; /* seqpacket */
    pid_t zygote_pid;
    loop_fd zygote_watcher;
    loop_fd signal_watcher; /* SIGCHLD: the zygote's end, and our own helpers' */
    cgroup_box cgroup;
    exec *execs;
    size_t exec_count;
    volume *volumes;
    loop_timer retry_timer; /* a stream could not be watched for want of memory */
    loop_timer balloon_timer;
    bool prepared; /* SETUP was answered, and one more is expected: WIRE_SETUP_PREPARE */
    bool set_up;   /* no other SETUP is taken */
    bool shutting_down;
    bool zygote_lost; /* it died unasked: its children are ours now, and how they end is still told */
    pid_t unmounter;  /* the helper that takes the disk off, while shutting down */
    loop_timer shutdown_timer;
    unsigned shutdown_rounds;
} agent;

/* Runs the agent until the box is over; then powers the machine off, or returns where it has none.
 *
 * @link_fd, @zygote_fd  taken over */
void agent_run(const agent_places *places, int link_fd, int zygote_fd, pid_t zygote_pid);

#endif
