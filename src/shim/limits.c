/* SPDX-License-Identifier: Apache-2.0
 *
 * limits.c - what the host holds the machine to, besides what its guest enforces
 *
 * Inside, the guest's kernel limits the box: that is what a well-behaved guest needs. These limits are for a guest that has taken its kernel
 * over, or QEMU: they are wider, by what the machine itself needs, except for a share of processors that was asked for.
 */
#include "shim/limits.h"

#include "base/size.h"
#include "machine/memory.h"

#include <assert.h>
#include <stdio.h>

/* QEMU's own: code, the translator's buffer (32 MiB), the disk's caches, and the host's page cache of what it reads, which can be dropped. */
#define MACHINE_MEMORY_BYTES MIB(256)
/* Its main thread, and those that wait for the disk, of which QEMU has at most 64 at once. */
#define MACHINE_TASKS 128u
/* Its main thread beside the processors, where no share was asked for. */
#define MACHINE_CPUS 1u

#define MILLI_US (HOST_CGROUP_PERIOD_US / 1000)

static_assert((int) WIRE_LIMITS_BY_SYSTEMD == (int) CONFINE_SYSTEMD && (int) WIRE_LIMIT_PIDS == (int) HOST_LIMIT_TASKS, "the same numbers");

uint32_t limits_guest_cpu_us(const msg_launch *launch) {
    return launch->cpu_millis < launch->cpus * 1000 ? launch->cpu_millis * MILLI_US : 0;
}

static void on_placed(confinement *c) {
    shim *s = c->user;
    msg_record *is = &s->record.is;
    (void) snprintf(s->limits.missing, sizeof(s->limits.missing), "%s", c->own.why);
    buf_clear(&s->limits.groups);
    for (size_t i = 0; i < c->own.group_count; i++)
        (void) strv_add(&s->limits.groups, c->own.groups[i]);
    is->limits_by = (uint8_t) c->way;
    is->limits_held = (uint8_t) c->applied;
    is->limits_missing = wire_str(s->limits.missing);
    is->limits_groups = strv_of(&s->limits.groups);
    if (s->state != SHIM_LAUNCHING) /* else it is about to be written anyway */
        shim_write_record(s);
}

void limits_begin(shim *s) {
    const msg_launch *launch = &s->orders.launch;
    s->limits.confinement = (confinement){
        .log = &s->log,
        .pid = machine_pid(s->machine),
        .limits = {.cpu_us = (uint64_t) (launch->cpu_millis ? launch->cpu_millis : (launch->cpus + MACHINE_CPUS) * 1000) * MILLI_US,
                   .memory_bytes = machine_memory_class(launch->memory_bytes) + MACHINE_MEMORY_BYTES,
                   .tasks = launch->cpus + MACHINE_TASKS},
        .on_placed = on_placed,
        .user = s,
    };
    char id[WIRE_NAME_MAX_BYTES];
    (void) snprintf(id, sizeof(id), "%.*s", (int) launch->box_id.length, launch->box_id.at);
    confine_begin(&s->limits.confinement, s->loop, id);
}

void limits_end(shim *s) {
    confine_done(&s->limits.confinement);
    s->record.is.limits_groups = (strv){0};
}
