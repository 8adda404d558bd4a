/* SPDX-License-Identifier: Apache-2.0
 *
 * cgroup.h - the box's control group (v2) and one below it for each exec
 *
 * The box's group carries the limits; an exec's group has none of its own and exists to name the whole tree that came from the exec,
 * so that it can be killed however its processes re-parented themselves.
 */
#ifndef GUEST_CGROUP_H
#define GUEST_CGROUP_H

#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct cgroup_leaf cgroup_leaf;

typedef struct cgroup_box {
    int fd; /* the group's folder; -1: this kernel gives us none, and trees are not tracked */
    unsigned next_number;
    cgroup_leaf *idle; /* emptied groups, to be used again: making one costs a quarter of a fork and exec */
    cgroup_leaf *left; /* given back while orphans still lived in them */
    uint64_t oom_kills_told;
} cgroup_box;

/* Makes the box's group below @parent (a cgroup2 folder), unless it is there, and sets its limits. @box: zeroed but for the descriptor of -1, or
 * made before, when other limits take the place of the first.
 *
 * @cpu_quota_us             of processor time in each 100,000 us
 * @memory_bytes, @pids_max  0, like cpu_quota_us: no limit
 * 0, or -1 with errno. */
int cgroup_box_make(cgroup_box *box, const char *parent, uint64_t memory_bytes, uint32_t pids_max, uint32_t cpu_quota_us);

/* Closes what is open; the groups stay, with what lives in them. */
void cgroup_box_done(cgroup_box *box);

/* A group for one exec; NULL with errno, or when the box has no group (errno 0). */
cgroup_leaf *cgroup_leaf_take(cgroup_box *box);
/* The exec is over. What still lives in the group goes on; the group is used again when it is empty. Takes NULL. */
void cgroup_leaf_give_back(cgroup_box *box, cgroup_leaf *leaf);
int cgroup_leaf_fd(const cgroup_leaf *leaf);
/* cgroup_kill() for a leaf, which then is not used again: on newer kernels (seen on 6.18, not on 6.1) whatever is born into a group that was
 * once killed dies at birth. */
void cgroup_leaf_kill(cgroup_leaf *leaf);

/* SIGKILL to all that is in the group, atomically; @fd of the box or a leaf. */
void cgroup_kill(int fd);
/* A signal to each process in the group. */
void cgroup_signal(int fd, int signal);
/* What cannot be looked into counts as populated: a group is not to be used again, nor the box left, on a guess. */
bool cgroup_is_populated(int fd);

/* What all of the box's processes use. Without a group, nothing. */
msg_measured cgroup_measure(const cgroup_box *box);

/* Whether the kernel's out-of-memory killer has struck in the box once more than was told so far; each stroke is told once. */
bool cgroup_take_oom_kill(cgroup_box *box);

#endif
