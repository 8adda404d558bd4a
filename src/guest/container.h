/* SPDX-License-Identifier: Apache-2.0
 *
 * container.h - the container: namespaces, mounts, and its first process
 */
#ifndef GUEST_CONTAINER_H
#define GUEST_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The namespaces that a container has of its own. The cgroup namespace is made by its first process, once that is in its cgroup. */
#define CONTAINER_NAMESPACES (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC)

/* What the first process writes into its report pipe: error 0 when the container is ready. */
typedef struct container_report {
    int32_t error;
    char step[124]; /* what was tried, NUL-terminated */
} container_report;

typedef struct container_spec {
    const char *rootfs; /* a mount point, seen from the zygote's root */
    const char *hostname;
    bool init;  /* stay as a small init; otherwise become the main command when it comes */
    bool warm;  /* with the image's files in memory */
    int report; /* pipe, closed after the report */
    int orders; /* seqpacket socket: one CREATE datagram makes the main command; its end of file ends us */
} container_spec;

/* Gives a container in which nothing has run yet another name, from within its namespaces. 0, or -1 with errno and what was tried in @step. */
int container_rename(const char *hostname, char *step, size_t size);

/* Runs in the process that was cloned with CONTAINER_NAMESPACES and does not return. */
_Noreturn void container_become(const container_spec *spec);

#endif
