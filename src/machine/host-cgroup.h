/* SPDX-License-Identifier: Apache-2.0
 *
 * host-cgroup.h - the host's control groups, which hold a machine's process whatever its guest does
 *
 * Interface files as in the kernel's admin-guide/cgroup-v2 and admin-guide/cgroup-v1.
 */
#ifndef MACHINE_HOST_CGROUP_H
#define MACHINE_HOST_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* There where systemd runs, sd_booted(3): the tree is its own then. */
#define HOST_SYSTEMD_RUNS "/run/systemd/system"

#define HOST_CGROUP_PERIOD_US 100000u
#define HOST_CGROUP_WHY_SIZE 512u
/* One for each limit, where each has a hierarchy of its own. */
#define HOST_CGROUP_GROUPS_MAX 3u

/* 0: no such limit. */
typedef struct host_limits {
    uint64_t cpu_us; /* of processor time in each HOST_CGROUP_PERIOD_US */
    uint64_t memory_bytes;
    uint64_t tasks; /* processes and threads */
} host_limits;

enum { HOST_LIMIT_CPU = 1, HOST_LIMIT_MEMORY = 2, HOST_LIMIT_TASKS = 4 };

typedef struct host_cgroup {
    bool is_v1;                     /* some of it; else version 2 */
    unsigned applied;               /* HOST_LIMIT_... that hold */
    char why[HOST_CGROUP_WHY_SIZE]; /* the first reason why one does not; "" when all do */
    char groups[HOST_CGROUP_GROUPS_MAX][PATH_MAX];
    size_t group_count;
} host_cgroup;

/* Which limits are wanted: HOST_LIMIT_... */
unsigned host_limits_wanted(const host_limits *limits);

/* Where a process stands in the hierarchy of @controller.
 *
 * @membership  /proc/PID/cgroup
 * @mounts      /proc/self/mountinfo
 * @ret_path    the group's folder, PATH_MAX bytes
 * @ret_is_v1   false: the unified hierarchy, which need not have that controller
 * false when it has none that could be reached. */
bool host_cgroup_find(const char *membership, const char *mounts, const char *controller, char *ret_path, bool *ret_is_v1);

/* The same of this process; false also where the two texts cannot be read. */
bool host_cgroup_find_own(const char *controller, char *ret_path, bool *ret_is_v1);

/* Makes groups called @name, below that of this process or (version 2 suffers no processes beside groups with limits) beside it, with as many
 * of @limits as can be had, and moves the process @pid there. Never fails: what could not be done is said in @ret. */
void host_cgroup_place(pid_t pid, const char *name, const host_limits *limits, host_cgroup *ret);

/* Which of @limits hold for the process @pid by a group whose last name is @name, whoever made it. */
unsigned host_cgroup_look(pid_t pid, const char *name, const host_limits *limits);

/* Removes a group of a box whose processes have ended; another one is left alone. */
void host_cgroup_remove(const char *group);

/* The name of a box's groups. */
#define HOST_CGROUP_NAME_SIZE 32u
void host_cgroup_name(const char *box_id, char *ret_name);

#endif
