/* SPDX-License-Identifier: Apache-2.0
 *
 * stats.c - what the box uses, asked of those who know
 *
 * Each figure comes from where it is: of the box's processes from its control group in the guest, of execs and streams from what passed here,
 * of machine and shim from the host's kernel. One question to the agent serves all who ask meanwhile.
 */
#include "shim/stats.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/process.h"
#include "shim/client.h"

#include <unistd.h>

int stats_ask(shim *s, client *c, nb_error *err) {
    if (!shim_takes_execs(s))
        return nb_fail(err, NB_E_STOPPED, 0, "measure the box: it is not running");
    client_await_stats(c);
    if (!s->measuring)
        link_send(&s->agent, wire_encode_measure, (&(msg_measure){0}));
    s->measuring = true;
    return 0;
}

int stats_measured(shim *s, const msg_measured *measured) {
    if (!s->measuring)
        return -NB_E_PROTOCOL;
    s->measuring = false;
    process_usage qemu = {0}, own = {0};
    if (s->machine)
        (void) process_measure(machine_pid(s->machine), &qemu);
    (void) process_measure(getpid(), &own);
    s->counted.at_us = clock_monotonic_ns() / 1000;
    s->counted.cpu_time_us = measured->cpu_time_us;
    s->counted.memory_bytes = measured->memory_bytes;
    s->counted.pids = measured->pids;
    s->counted.machine_cpu_time_us = qemu.cpu_time_us;
    s->counted.machine_memory_bytes = qemu.memory_bytes;
    s->counted.shim_memory_bytes = own.memory_bytes;
    client_tell_stats(s, &s->counted);
    return 0;
}
