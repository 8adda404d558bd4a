/* SPDX-License-Identifier: Apache-2.0
 *
 * rehearsal.c - what a box's start will ask of its guest, asked before there is a box
 *
 * Theory of operation
 *   A machine without KVM is translated as it runs, and one that has just gone on from a template has nothing of it translated: the box's name, its
 *   control group, its first process run many times slower than the second time (docs/benchmarks.md). A machine that waits has time to go through
 *   them. Nobody's code runs: the program is the agent's own, by the name that the kernel has for it in every process.
 *   With KVM the pages that a start touches are the machine's own then, and no longer the template's, to be copied first.
 */
#include "shim/rehearsal.h"

#include "shim/setup.h"
#include "wire/limits.h"
#include "wire/message.h"
#include "wire/rehearsal.h"

#include <nestbox/error.h>

/* The translator's second pass finds what the first one has left. */
#define ROUNDS 2
#define EXEC_ID WIRE_EXEC_ID_MAX
#define GRACE_MS 1000

static int ask_for_name(rehearsal *r) {
    const msg_setup setup = {
        .box_id = wire_str(WIRE_NO_NAME),
        .hostname = wire_str(WIRE_NO_NAME),
        .memory_bytes = r->memory_bytes,
        .setup_flags = WIRE_SETUP_PREPARE,
    };
    r->asked_for_name = true;
    return setup_send(r->machine, r->agent, setup) ? 0 : -NB_E_INTERNAL;
}

static void ask_for_process(rehearsal *r) {
    static const char words[] = WIRE_REHEARSAL_ARGV, environment[] = "PATH=/bin";
    const msg_spawn spawn = {
        .exec_id = EXEC_ID,
        .argv = {words, sizeof(words)},
        .env = {environment, sizeof(environment)},
        .cwd = wire_str("/"),
        .grace_ms = GRACE_MS,
    };
    r->asked_for_name = false;
    link_send(r->agent, wire_encode_spawn, &spawn);
}

void rehearsal_begin(rehearsal *r) {
    r->rounds_left = ROUNDS;
    (void) ask_for_name(r);
}

/* What cannot run our own program is no machine for anybody's. */
static int end_round(rehearsal *r, const uint8_t *bytes, size_t length) {
    msg_exited exited;
    if (wire_decode_exited(bytes, length, &exited) < 0 || exited.signal != 0 || exited.code != 0)
        return -NB_E_PROTOCOL;
    if (--r->rounds_left > 0)
        return ask_for_name(r);
    r->done = true;
    r->on_done(r->user);
    return 0;
}

int rehearsal_message(rehearsal *r, uint16_t id, const uint8_t *bytes, size_t length) {
    if (r->done || r->rounds_left == 0)
        return -NB_E_PROTOCOL;
    switch (id) {
    case id_of_msg_setup_done:
        if (!r->asked_for_name)
            return -NB_E_PROTOCOL;
        ask_for_process(r);
        return 0;
    case id_of_msg_spawned:
        return r->asked_for_name ? -NB_E_PROTOCOL : 0;
    case id_of_msg_exited:
        return r->asked_for_name ? -NB_E_PROTOCOL : end_round(r, bytes, length);
    default:
        return -NB_E_PROTOCOL;
    }
}

int rehearsal_data(const rehearsal *r) {
    return r->done || r->asked_for_name ? -NB_E_PROTOCOL : 0;
}
