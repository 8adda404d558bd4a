/* SPDX-License-Identifier: Apache-2.0
 *
 * shim.c - one box's supervisor: its states from launch to end
 *
 * Theory of operation
 *   Everything is an event on one loop: the machine's and the agent's words move the state on (shim.h has the table), and one timer
 *   bounds each state, so that nothing waits for ever on a guest. Whatever goes wrong leads through shim_fail() to the machine's end, and
 *   the machine's end is the only way to OVER. There the record is written first, durably; then the lock is given back; only then do
 *   clients hear how it ended: who hears it can rely on it.
 *
 * Not here: execs and their streams (session.c), connections (client.c), QEMU (src/machine).
 */
#include "shim/shim.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/lock.h"
#include "base/process.h"
#include "jail/broker.h"
#include "machine/template.h"
#include "shim/care.h"
#include "shim/client.h"
#include "shim/event.h"
#include "shim/health.h"
#include "shim/limits.h"
#include "shim/session.h"
#include "shim/setup.h"
#include "shim/standby.h"
#include "shim/start.h"
#include "shim/stats.h"
#include "shim/volume.h"
#include "wire/failure.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bounds of the states that have none of their own. Generous: a loaded host without KVM is slow, and only a hang must end here. */
#define LAUNCH_TIMEOUT_MS 30000
#define BUILD_TIMEOUT_MS 60000
/* A restored machine has done its slow part before: one that says nothing for so long is booted instead. */
#define RESTORE_TIMEOUT_MS 20000
#define MOUNT_TIMEOUT_MS 60000
#define BEGIN_TIMEOUT_MS 60000
#define KILLED_TIMEOUT_MS 5000
#define CLOSE_TIMEOUT_MS 20000
#define HALT_GRACE_MS 5000
/* Beyond a main command's timeout: the guest's grace, its drain, and a slow host. */
#define LIMIT_ALLOWANCE_MS (WIRE_GRACE_DEFAULT_MS + 10000u)
/* Between the end of the link and the machine's own, which says why. */
#define AGENT_GONE_MS 2000
#define CONSOLE_TAIL_BYTES 400
/* How often the last connections are looked at while a slow reader takes what is his. */
#define LINGER_LOOK_MS 10

/* Somebody who mends the box's record holds its lock for a moment. */
#define LOCK_WAIT_MS 300

#define LOG_MAX_BYTES ((off_t) 1 << 20)

static const char *const state_names[] = {
    [SHIM_LAUNCHING] = "launching", [SHIM_BOOTING] = "booting", [SHIM_BUILDING] = "building", [SHIM_MOUNTING] = "mounting",
    [SHIM_BEGINNING] = "beginning", [SHIM_RUNNING] = "running", [SHIM_ENDING] = "ending",     [SHIM_CLOSING] = "closing",
    [SHIM_HALTING] = "halting",     [SHIM_WAITING] = "waiting", [SHIM_OVER] = "over",
};
static_assert(sizeof(state_names) / sizeof(state_names[0]) == SHIM_STATE_COUNT, "every state has a name");

#define TO(state) (1u << (state))
#define TO_END (TO(SHIM_HALTING) | TO(SHIM_WAITING) | TO(SHIM_OVER))
static const uint16_t moves[SHIM_STATE_COUNT] = {
    [SHIM_LAUNCHING] = TO(SHIM_BOOTING) | TO_END,
    [SHIM_BOOTING] = TO(SHIM_BUILDING) | TO(SHIM_LAUNCHING) | TO_END,
    [SHIM_BUILDING] = TO(SHIM_MOUNTING) | TO(SHIM_LAUNCHING) | TO_END,
    [SHIM_MOUNTING] = TO(SHIM_BEGINNING) | TO(SHIM_RUNNING) | TO_END,
    [SHIM_BEGINNING] = TO(SHIM_RUNNING) | TO(SHIM_CLOSING) | TO_END,
    [SHIM_RUNNING] = TO(SHIM_ENDING) | TO(SHIM_CLOSING) | TO_END,
    [SHIM_ENDING] = TO(SHIM_CLOSING) | TO_END,
    [SHIM_CLOSING] = TO_END,
    [SHIM_HALTING] = TO(SHIM_LAUNCHING) | TO(SHIM_WAITING) | TO(SHIM_OVER),
    [SHIM_WAITING] = TO(SHIM_LAUNCHING) | TO(SHIM_OVER),
};

static void set_state(shim *s, shim_state to) {
    assert(to < SHIM_STATE_COUNT && moves[s->state] & TO(to));
    log_debug(&s->log, "state: %s -> %s", state_names[s->state], state_names[to]);
    s->state = to;
    loop_timer_stop(&s->step_timer);
}

static bool is_visit(const shim *s) {
    return s->orders.launch.launch_flags & WIRE_LAUNCH_VISIT;
}

/* A visit writes none: while the lock is held the box counts as starting, afterwards as what it was. */
static void write_record(shim *s, nb_box_state state, bool durable) {
    if (is_visit(s))
        return;
    s->record.is.state = (uint8_t) state;
    if (record_write(&s->record, s->folder, durable) < 0)
        log_error(&s->log, "record: write '%s': %m", RECORD_FILE);
}

void shim_write_record(shim *s) {
    write_record(s, (nb_box_state) s->record.is.state, false);
}

static uint64_t now_us(void) {
    return clock_monotonic_ns() / 1000;
}

/* How long the step that ends now has taken. */
static uint64_t take_step_us(shim *s) {
    uint64_t now = now_us(), took = now - s->step_began_us;
    s->step_began_us = now;
    return took;
}

/* -------------------------------------------------------------------------------------------------------------- the end */

static void halt(shim *s, bool kill) {
    if (s->state >= SHIM_HALTING)
        return;
    set_state(s, SHIM_HALTING);
    if (kill)
        machine_kill(s->machine);
    else
        machine_quit(s->machine, HALT_GRACE_MS);
}

void shim_fail(shim *s, int code, const char *message) {
    if (s->failure || s->state >= SHIM_HALTING)
        return;
    s->failure = code;
    (void) snprintf(s->failure_message, sizeof(s->failure_message), "%s", message);
    log_error(&s->log, "failed while %s: %s", state_names[s->state], message);
    halt(s, true);
}

/* What failed, and what the guest's console said last: one line. */
static void add_console_tail(shim *s, const char *message, char *ret_whole, size_t size) {
    char tail[CONSOLE_TAIL_BYTES];
    machine_console_tail(s->machine, tail, sizeof(tail));
    size_t length = strlen(tail);
    while (length > 0 && (tail[length - 1] == '\n' || tail[length - 1] == ' '))
        tail[--length] = '\0';
    for (char *newline = tail; (newline = strchr(newline, '\n'));)
        *newline = '|';
    (void) snprintf(ret_whole, size, "%s; the console's last words: %s", message, tail[0] ? tail : "(none)");
}

static void fail_with_console(shim *s, int code, const char *message) {
    char whole[NB_ERROR_MESSAGE_SIZE];
    add_console_tail(s, message, whole, sizeof(whole));
    shim_fail(s, code, whole);
}

static bool was_started(const shim *s) {
    return s->record.is.started_at_ms != 0;
}

/* Who waits for a start that came to nothing. */
static void fail_launcher(shim *s) {
    nb_error why;
    if (!s->launcher)
        return;
    (void) nb_fail(&why, s->failure ? s->failure : NB_E_MACHINE, 0, "%s", s->failure ? s->failure_message : "the machine ended");
    client_fail(take_ptr(&s->launcher), &why);
}

/* Gives the box back. The record has been written: who finds the lock free can rely on it. */
static void let_go(shim *s) {
    client_listen_done(s);
    piece_log_done(&s->main_log);
    if (s->orders.launch.launch_flags & WIRE_LAUNCH_REMOVE && was_started(s))
        (void) unlinkat(s->folder, DISK_FILE, 0); /* the largest part; the library takes the rest when it takes the record */
    s->lock = fd_close(s->lock);
}

/* What a machine that has ended had beside it. */
static void forget_machine(shim *s) {
    volumes_done(s);
    broker_free(take_ptr(&s->broker));
    limits_end(s);
    s->console = fd_close(s->console);
}

/* Nothing of this run is left but its shim. */
static void conclude(shim *s) {
    const msg_exited *main_exit = s->record.is.has_exit ? &s->main_exit : NULL;
    uint32_t delay_ms;
    s->record.is.finished_at_ms = clock_wall_ms();
    s->record.is.failure = s->failure;
    (void) snprintf(s->record.message, sizeof(s->record.message), "%s", s->failure_message);
    s->record.is.machine_pid = 0;
    s->record.is.machine_start_ticks = 0;
    if (was_started(s) && s->failure)
        s->record.is.cause = NB_END_CRASH;
    loop_timer_stop(&s->limit_timer);
    loop_timer_stop(&s->kill_timer);
    care_ended(s);
    health_end(s);
    forget_machine(s);
    client_fail_stats(s);
    s->has_main = false;
    bool again = care_wants_restart(s, &delay_ms);
    if (again)
        s->record.is.next_start_at_ms = clock_wall_ms() + delay_ms;
    else
        s->record.is.shim_pid = 0;
    write_record(s, again ? NB_BOX_STARTING : was_started(s) ? NB_BOX_STOPPED : NB_BOX_FAILED, true);
    event_tell_over(s);
    if (!again)
        let_go(s);
    fail_launcher(s);
    session_end_all(s, main_exit);
    piece_log_done(&s->exec_log);
    set_state(s, again ? SHIM_WAITING : SHIM_OVER);
    loop_timer_start(&s->step_timer, again ? delay_ms : 0);
}

static void boot_instead(shim *s);

static void on_machine_ended(void *user, const machine_end *end) {
    shim *s = user;
    if (!s->failure && (s->state < SHIM_CLOSING || (s->state == SHIM_CLOSING && end->exit_code != 0))) {
        char message[NB_ERROR_MESSAGE_SIZE];
        (void) snprintf(message, sizeof(message), "the machine ended while the box was %s: %s", state_names[s->state], end->reason);
        s->failure = was_started(s) ? NB_E_BOX_GONE : NB_E_MACHINE;
        add_console_tail(s, message, s->failure_message, sizeof(s->failure_message));
    }
    log_info(&s->log, "machine: ended: %s", end->reason);
    link_done(&s->agent);
    machine_free(s->machine);
    s->machine = NULL;
    if (s->restored && !s->restore_worked && !s->stop_wanted)
        boot_instead(s);
    else
        conclude(s);
}

static void begin_closing(shim *s) {
    loop_timer_stop(&s->limit_timer);
    loop_timer_stop(&s->kill_timer);
    set_state(s, SHIM_CLOSING);
    /* What is removed anyway needs no unmounting. */
    if (s->orders.launch.launch_flags & WIRE_LAUNCH_REMOVE) {
        halt(s, true);
        return;
    }
    link_send(&s->agent, wire_encode_shutdown, (&(msg_shutdown){0}));
    loop_timer_start(&s->step_timer, CLOSE_TIMEOUT_MS);
}

static void on_grace_over(loop_timer *timer) {
    shim *s = timer->user;
    if (s->state != SHIM_ENDING)
        return;
    if (!s->has_main) {
        begin_closing(s); /* which kills whatever is left */
        return;
    }
    link_send(&s->agent, wire_encode_signal, (&(msg_signal){.exec_id = WIRE_MAIN_EXEC_ID, .signal = SIGKILL, .whole_tree = 1}));
    loop_timer_start(&s->step_timer, KILLED_TIMEOUT_MS);
}

/* Between two runs there is nothing to be stopped but the wait. */
static void stop_waiting(shim *s, uint8_t cause) {
    log_info(&s->log, "stop: cause %u, it is not started again", cause);
    s->record.is.cause = cause;
    s->record.is.shim_pid = 0;
    s->record.is.next_start_at_ms = 0;
    write_record(s, was_started(s) ? NB_BOX_STOPPED : NB_BOX_FAILED, true);
    event_tell_over(s);
    let_go(s);
    set_state(s, SHIM_OVER);
    loop_timer_start(&s->step_timer, 0);
}

void shim_stop(shim *s, uint8_t cause, uint32_t grace_ms) {
    s->stop_wanted = true;
    if (s->state == SHIM_WAITING) {
        stop_waiting(s, cause);
        return;
    }
    if (s->state >= SHIM_ENDING) {
        if (s->state == SHIM_ENDING) /* a second stop may shorten the grace */
            loop_timer_start(&s->kill_timer, grace_ms);
        return;
    }
    log_info(&s->log, "stop: cause %u, %" PRIu32 " ms of grace", cause, grace_ms);
    s->record.is.cause = cause;
    if (s->state != SHIM_RUNNING) {
        if (s->machine)
            shim_fail(s, NB_E_STOPPED, "the box was stopped while it started"); /* nothing of the user's runs yet */
        else
            loop_quit(s->loop);
        return;
    }
    write_record(s, NB_BOX_STOPPING, false);
    event_tell_stopping(s);
    if (!s->has_main && (s->session_count == 0 || grace_ms == 0)) {
        begin_closing(s);
        return;
    }
    set_state(s, SHIM_ENDING);
    if (grace_ms > 0)
        session_terminate_all(s);
    if (s->has_main)
        link_send(&s->agent, wire_encode_signal, (&(msg_signal){.exec_id = WIRE_MAIN_EXEC_ID, .signal = s->orders.launch.stop_signal}));
    loop_timer_start(&s->kill_timer, grace_ms);
}

/* The guest ends a main command whose time is up; one that has taken over its guest is ended from here. */
static void on_limit_over(loop_timer *timer) {
    shim *s = timer->user;
    log_warning(&s->log, "main command: the guest did not end it in time, stopping the box");
    shim_stop(s, NB_END_STOP, 0);
}

static void relaunch(shim *s);

static void on_step_timeout(loop_timer *timer) {
    shim *s = timer->user;
    if (s->agent_gone && s->state < SHIM_CLOSING) {
        fail_with_console(s, NB_E_PROTOCOL, "talk to the guest: it closed the connection");
        return;
    }
    switch (s->state) {
    case SHIM_LAUNCHING:
        shim_fail(s, NB_E_TIMEOUT, "start the machine: QEMU did not answer in time");
        break;
    case SHIM_BOOTING:
        fail_with_console(s, NB_E_TIMEOUT, "boot the machine: the guest did not answer in time");
        break;
    case SHIM_BUILDING:
        fail_with_console(s, NB_E_TIMEOUT, "build the container: the guest did not answer in time");
        break;
    case SHIM_MOUNTING:
        fail_with_console(s, NB_E_TIMEOUT, "mount the volumes: the guest did not answer in time");
        break;
    case SHIM_BEGINNING:
        fail_with_console(s, NB_E_TIMEOUT, "start the main command: the guest did not answer in time");
        break;
    case SHIM_ENDING:
        log_warning(&s->log, "stop: the main command's end was not told in time, closing the machine without it");
        begin_closing(s);
        break;
    case SHIM_CLOSING:
        log_warning(&s->log, "stop: the guest did not unmount its disk in time, ending the machine");
        halt(s, false);
        break;
    case SHIM_WAITING:
        relaunch(s);
        break;
    case SHIM_OVER:
        if (client_end_flushed(s) == 0)
            loop_quit(s->loop);
        else
            loop_timer_start(timer, LINGER_LOOK_MS);
        break;
    case SHIM_RUNNING:
    case SHIM_HALTING:
    case SHIM_STATE_COUNT:
        break;
    }
}

/* ------------------------------------------------------------------------------------------------------- the main command */

static void now_running(shim *s, bool has_main) {
    s->has_main = has_main;
    uint64_t timeout_ms = s->orders.launch.timeout_ms;
    if (has_main && timeout_ms > 0 && timeout_ms < UINT64_MAX - LIMIT_ALLOWANCE_MS)
        loop_timer_start(&s->limit_timer, timeout_ms + LIMIT_ALLOWANCE_MS);
    s->record.is.command_us = take_step_us(s);
    s->record.is.started_at_ms = clock_wall_ms();
    set_state(s, SHIM_RUNNING);
    care_running(s);
    health_begin(s);
    write_record(s, NB_BOX_RUNNING, false);
    event_tell(s, "start", NULL, NULL);
    if (s->launcher) {
        link_send(client_link(s->launcher), wire_encode_launched,
                  (&(msg_launched){.shim_pid = (uint32_t) getpid(), .machine_pid = (uint32_t) machine_pid(s->machine)}));
        s->launcher = NULL;
    }
}

void shim_main_spawned(shim *s) {
    if (s->state == SHIM_BEGINNING)
        now_running(s, true);
}

void shim_main_failed(shim *s, const msg_spawn_failed *failed) {
    const msg_launch *launch = &s->orders.launch;
    nb_error why;
    if (s->state != SHIM_BEGINNING)
        return; /* it is being ended already, and why is known */
    s->failure = -wire_spawn_failure(&(msg_spawn){.argv = launch->argv, .cwd = launch->cwd, .user = launch->user}, failed->step,
                                     failed->error, &why);
    (void) snprintf(s->failure_message, sizeof(s->failure_message), "%s", why.message);
    log_info(&s->log, "main command: %s", why.message);
    begin_closing(s);
}

void shim_main_ended(shim *s, const msg_exited *exited) {
    s->main_exit = *exited;
    s->has_main = false;
    s->record.is.has_exit = 1;
    s->record.is.code = exited->code;
    s->record.is.signal = exited->signal;
    s->record.is.exit_flags = exited->exit_flags;
    if (s->record.is.cause == NB_END_NONE)
        s->record.is.cause = NB_END_EXIT;
    log_info(&s->log, "main command: ended: code %d, signal %u", exited->code, exited->signal);
    bool stops_now = s->record.is.state == NB_BOX_RUNNING;
    write_record(s, NB_BOX_STOPPING, true); /* what the box did is safe before its machine is touched */
    event_tell_exited(s, NULL, exited);
    if (stops_now)
        event_tell_stopping(s);
    if (s->state == SHIM_RUNNING || s->state == SHIM_ENDING)
        begin_closing(s);
}

void shim_session_ended(shim *s) {
    if (s->state == SHIM_ENDING && !s->has_main && s->session_count == 0)
        begin_closing(s);
}

/* ------------------------------------------------------------------------------------------------------------- the agent */

static void begin_main(shim *s) {
    const msg_launch *launch = &s->orders.launch;
    nb_error why;
    if (launch->launch_flags & WIRE_LAUNCH_KEEP) {
        now_running(s, false);
        return;
    }
    msg_spawn spawn = {
        .exec_id = WIRE_MAIN_EXEC_ID,
        .spawn_flags =
            (uint8_t) ((launch->launch_flags & WIRE_LAUNCH_TTY ? WIRE_SPAWN_TTY : 0) |
                       (launch->launch_flags & WIRE_LAUNCH_STDIN ? WIRE_SPAWN_STDIN : 0) |
                       (launch->launch_flags & WIRE_LAUNCH_NO_NEW_PRIVILEGES ? WIRE_SPAWN_NO_NEW_PRIVILEGES : 0) | WIRE_SPAWN_MAKE_CWD),
        .columns = launch->columns,
        .rows = launch->rows,
        .argv = launch->argv,
        .env = launch->env,
        .cwd = launch->cwd,
        .user = launch->user,
        .timeout_ms = launch->timeout_ms,
        .grace_ms = WIRE_GRACE_DEFAULT_MS,
        .console_timeout_ms = WIRE_CONSOLE_TIMEOUT_DEFAULT_MS,
        .cap_add = launch->cap_add,
        .cap_drop = launch->cap_drop,
        .limits = launch->limits,
    };
    set_state(s, SHIM_BEGINNING);
    loop_timer_start(&s->step_timer, BEGIN_TIMEOUT_MS);
    client *owner = launch->launch_flags & WIRE_LAUNCH_ATTACH ? s->launcher : NULL;
    if (session_begin(s, owner, &spawn, &why) < 0)
        shim_fail(s, why.code, why.message);
}

void shim_mounted(shim *s) {
    s->record.is.container_us = take_step_us(s);
    begin_main(s);
}

static int handle_setup_failed(shim *s, const uint8_t *bytes, size_t length) {
    msg_setup_failed failed;
    if (wire_decode_setup_failed(bytes, length, &failed) < 0)
        return -NB_E_PROTOCOL;
    nb_error why;
    (void) nb_fail(&why, NB_E_MACHINE, failed.error, "set up the box: %.*s", (int) failed.message.length, (const char *) failed.message.at);
    fail_with_console(s, NB_E_MACHINE, why.message);
    return 0;
}

static int on_agent_message(link_end *end, uint16_t id, const uint8_t *bytes, size_t length) {
    shim *s = end->user;
    union {
        msg_spawned spawned;
        msg_spawn_failed spawn_failed;
        msg_exited exited;
        msg_measured measured;
    } m;
    switch (id) {
    case id_of_msg_setup_done:
        if (s->state != SHIM_BUILDING)
            return -NB_E_PROTOCOL;
        s->restore_worked = true;
        machine_bound_disk(s->machine);
        set_state(s, SHIM_MOUNTING);
        loop_timer_start(&s->step_timer, MOUNT_TIMEOUT_MS);
        volumes_next(s);
        return 0;
    case id_of_msg_setup_failed:
        return s->state == SHIM_BUILDING ? handle_setup_failed(s, bytes, length) : -NB_E_PROTOCOL;
    case id_of_msg_spawned:
        return wire_decode_spawned(bytes, length, &m.spawned) < 0 ? -NB_E_PROTOCOL : session_spawned(s, &m.spawned);
    case id_of_msg_spawn_failed:
        return wire_decode_spawn_failed(bytes, length, &m.spawn_failed) < 0 ? -NB_E_PROTOCOL : session_spawn_failed(s, &m.spawn_failed);
    case id_of_msg_exited:
        return wire_decode_exited(bytes, length, &m.exited) < 0 ? -NB_E_PROTOCOL : session_exited(s, &m.exited);
    case id_of_msg_measured:
        return wire_decode_measured(bytes, length, &m.measured) < 0 ? -NB_E_PROTOCOL : stats_measured(s, &m.measured);
    case id_of_msg_goodbye:
        if (s->state > SHIM_CLOSING)
            return -NB_E_PROTOCOL;
        if (s->state < SHIM_CLOSING) {
            fail_with_console(s, NB_E_BOX_GONE, "the guest has given up: its zygote, which makes the box's processes, was lost");
            return 0;
        }
        halt(s, false); /* the disk is unmounted: what is left of the guest needs no waiting for */
        return 0;
    default:
        return -NB_E_PROTOCOL;
    }
}

static void on_agent_greeted(link_end *end) {
    shim *s = end->user;
    const msg_launch *launch = &s->orders.launch;
    if (s->state != SHIM_BOOTING)
        return;
    s->record.is.boot_us = take_step_us(s);
    set_state(s, SHIM_BUILDING);
    loop_timer_start(&s->step_timer, s->restored ? RESTORE_TIMEOUT_MS : BUILD_TIMEOUT_MS);
    const msg_setup setup = {
        .box_id = launch->box_id,
        .hostname = launch->hostname,
        .memory_bytes = launch->memory_bytes,
        .pids_max = launch->pids_max,
        .cpu_quota_us = limits_guest_cpu_us(launch),
        .disk_bytes = machine_disk_bytes(s->machine),
        .setup_flags = launch->launch_flags & (WIRE_LAUNCH_INIT | WIRE_LAUNCH_KEEP) ? WIRE_SETUP_INIT : 0,
    };
    if (!setup_send(s->machine, &s->agent, setup))
        shim_fail(s, NB_E_INTERNAL, SETUP_NO_ENTROPY);
}

static int on_agent_data(link_end *end, uint32_t channel, const uint8_t *bytes, size_t length) {
    return volume_has_channel(channel) ? volume_request(end->user, channel, bytes, length)
                                       : session_output(end->user, channel, bytes, length);
}

static int on_agent_credit(link_end *end, uint32_t channel, uint32_t credit) {
    return volume_has_channel(channel) ? volume_agent_credit(end->user, channel, credit) : session_agent_credit(end->user, channel, credit);
}

static void on_agent_room(link_end *end) {
    session_agent_has_room(end->user);
    volumes_agent_has_room(end->user);
}

static void on_agent_closed(link_end *end, const char *why) {
    shim *s = end->user;
    char message[256];
    if (s->state >= SHIM_CLOSING)
        return; /* the machine's end follows */
    if (!why) {
        /* Most likely the machine has died, and its end, which says how, is just behind. */
        s->agent_gone = true;
        loop_timer_start(&s->step_timer, AGENT_GONE_MS);
        return;
    }
    (void) snprintf(message, sizeof(message), "talk to the guest: %s", why);
    fail_with_console(s, NB_E_PROTOCOL, message);
}

static const link_handlers agent_handlers = {
    .on_message = on_agent_message,
    .on_data = on_agent_data,
    .on_credit = on_agent_credit,
    .on_greeted = on_agent_greeted,
    .on_room = on_agent_room,
    .on_closed = on_agent_closed,
};

/* ------------------------------------------------------------------------------------------------------------ the start */

static void on_machine_running(void *user) {
    shim *s = user;
    if (s->state != SHIM_LAUNCHING)
        return;
    s->record.is.machine_us = take_step_us(s);
    set_state(s, SHIM_BOOTING);
    loop_timer_start(&s->step_timer, s->restored ? RESTORE_TIMEOUT_MS : s->orders.launch.boot_timeout_ms);
    if (s->restored) /* its agent and whoever made the template have said their HELLOs */
        on_agent_greeted(&s->agent);
}

static int keep_orders(shim_orders *orders, const uint8_t *bytes, size_t length, nb_error *err) {
    orders->bytes = malloc(length);
    if (!orders->bytes)
        return nb_fail_oom(err);
    memcpy(orders->bytes, bytes, length);
    if (wire_decode_launch(orders->bytes, length, &orders->launch) < 0)
        return nb_fail(err, NB_E_PROTOCOL, 0, "understand the order to start the box");
    return 0;
}

/* What the main command writes after its supervisor has started it again comes behind what it wrote before. */
static int begin_logs(shim *s, nb_error *err) {
    if (s->record.is.restart_count == 0 && piece_log_begin(&s->main_log, s->folder, MAIN_LOG_FILE, MAIN_LOG_MAX_BYTES) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "write '%s' in the box's folder", MAIN_LOG_FILE);
    if (piece_log_begin(&s->exec_log, s->folder, EXEC_LOG_FILE, EXEC_LOG_MAX_BYTES) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "write '%s' in the box's folder", EXEC_LOG_FILE);
    return 0;
}

static int launch_machine(shim *s, nb_error *err) {
    const machine_events events = {.user = s, .on_running = on_machine_running, .on_ended = on_machine_ended};
    int result = is_visit(s) ? 0 : begin_logs(s, err);
    if (result == 0)
        result = volumes_start(s, err);
    if (result < 0)
        return result;
    if (s->standby && standby_hand_over(s)) {
        machine_set_events(s->machine, &events);
        s->agent.handlers = &agent_handlers;
        return 0;
    }
    return start_machine(s, &events, &agent_handlers, err);
}

/* The start has failed before there was a machine, or anything of it. */
static void fail_launch(shim *s, const nb_error *why) {
    s->failure = why->code;
    (void) snprintf(s->failure_message, sizeof(s->failure_message), "%s", why->message);
    log_error(&s->log, "start: %s", why->message);
    machine_free(s->machine);
    s->machine = NULL;
    link_done(&s->agent);
    client *launcher = take_ptr(&s->launcher);
    conclude(s);
    if (launcher) /* with the hint; whoever reads it finds the record as it says */
        client_fail(launcher, why);
}

/* Where the machine runs, or is about to. */
static void launch(shim *s, int launched, const nb_error *why) {
    if (launched < 0) {
        fail_launch(s, why);
        return;
    }
    limits_begin(s);
    s->record.is.prepare_us = take_step_us(s);
    write_record(s, NB_BOX_STARTING, false);
    loop_timer_start(&s->step_timer, LAUNCH_TIMEOUT_MS);
    if (machine_is_running(s->machine)) /* since before there was a box */
        on_machine_running(s);
}

/* A template is a shorter way to the same machine: where it leads nowhere, nobody but the log is to notice. It is not used again. */
static void boot_instead(shim *s) {
    nb_error why;
    CLEANUP(cleanup_free)
    char *path = wire_str_copy(s->restored_image ? s->orders.launch.image_template_path : s->orders.launch.template_path);
    log_warning(&s->log, "template: %s: booting instead, once", s->failure_message);
    CLEANUP(cleanup_fd) int folder = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    (void) unlinkat(folder, TEMPLATE_HEADER_FILE, 0);
    event_tell(s, "template-refused", "message=", s->failure_message);
    forget_machine(s);
    s->template_refused = true;
    s->restored = s->restored_image = false;
    s->failure = 0;
    s->failure_message[0] = '\0';
    s->agent_gone = false;
    if (s->state != SHIM_LAUNCHING)
        set_state(s, SHIM_LAUNCHING);
    launch(s, launch_machine(s, &why), &why);
}

/* After a wait: as the first time, but for whoever asked for that. */
static void relaunch(shim *s) {
    nb_error why;
    char count[16];
    const msg_record before = s->record.is;
    s->record.is = (msg_record){
        .shim_pid = before.shim_pid,
        .shim_start_ticks = before.shim_start_ticks,
        .restart_count = before.restart_count + 1,
    };
    s->failure = 0;
    s->failure_message[0] = s->record.message[0] = '\0';
    s->agent_gone = s->measuring = false;
    s->step_began_us = now_us();
    set_state(s, SHIM_LAUNCHING);
    log_info(&s->log, "restart: number %" PRIu32, s->record.is.restart_count);
    write_record(s, NB_BOX_STARTING, false);
    (void) snprintf(count, sizeof(count), "%" PRIu32, s->record.is.restart_count);
    event_tell(s, "starting", "restart_count=", count);
    launch(s, launch_machine(s, &why), &why);
}

int shim_launch(shim *s, client *launcher, const uint8_t *bytes, size_t length, nb_error *err) {
    process_id self = {0};
    if (s->orders.bytes || s->clients != launcher)
        return nb_fail(err, NB_E_INVALID_STATE, 0, "start the box: it is being started already");
    int result = keep_orders(&s->orders, bytes, length, err);
    if (result == 0 && !buf_append(&s->mounts, s->orders.launch.mounts.at, s->orders.launch.mounts.bytes))
        result = nb_fail_oom(err);
    if (result == 0) {
        s->log.max_level = s->orders.launch.log_level;
        (void) process_identify(getpid(), &self);
        s->record.is.shim_pid = (uint32_t) self.pid;
        s->record.is.shim_start_ticks = self.start_ticks;
        s->step_began_us = s->orders.launch.requested_at_ns / 1000;
        write_record(s, NB_BOX_STARTING, false);
        event_tell(s, "starting", NULL, NULL);
        result = client_listen(s) < 0 ? nb_fail(err, nb_code_of_errno(errno), errno, "listen on '%s' in the box's folder", SOCKET_FILE)
                                      : launch_machine(s, err);
    }
    s->launcher = launcher;
    launch(s, result, err);
    return 0;
}

/* A log line with its time, into shim.log; beyond its bound the log is silent. */
static void write_log(void *user, int level, const char *line) {
    int fd = (int) (intptr_t) user;
    if (lseek(fd, 0, SEEK_CUR) > LOG_MAX_BYTES)
        return;
    uint64_t now_ms = clock_wall_ms();
    (void) dprintf(fd, "%" PRIu64 ".%03u %s %s\n", now_ms / 1000, (unsigned) (now_ms % 1000), log_level_name(level), line);
}

void shim_init(shim *s, loop *l) {
    *s = (shim){.loop = l,
                .folder = -1,
                .next_exec_id = WIRE_MAIN_EXEC_ID + 1,
                .main_log = {.fd = -1},
                .exec_log = {.fd = -1},
                .lock = -1,
                .console = -1,
                .agent = {.fd = -1},
                .home = -1};
    loop_timer_init(l, &s->step_timer, on_step_timeout, s);
    loop_timer_init(l, &s->kill_timer, on_grace_over, s);
    loop_timer_init(l, &s->limit_timer, on_limit_over, s);
    care_init(s);
    health_init(s);
    buf_init(&s->mounts, WIRE_MOUNTS_MAX_BYTES);
    buf_init(&s->limits.groups, WIRE_LIMITS_GROUPS_MAX_BYTES);
}

void shim_log_to_folder(shim *s) {
    int log = openat(s->folder, SHIM_LOG_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    s->log = (log_sink){.write = log < 0 ? NULL : write_log, .user = (void *) (intptr_t) log, .max_level = LOG_LEVEL_INFO};
}

int shim_enter(shim *s, int folder, nb_error *err) {
    s->folder = folder;
    s->home = openat(folder, "../..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    s->lock = start_open_file(s, LOCK_FILE, 0, err); /* not made: the box may just be removed */
    if (s->lock < 0)
        return -err->code;
    if (lock_wait(s->lock, LOCK_WAIT_MS) < 0)
        return nb_fail(err, NB_E_INVALID_STATE, errno == EAGAIN ? 0 : errno, "start the box: another shim runs it");
    shim_log_to_folder(s);
    return 0;
}

void shim_done(shim *s) {
    loop_timer_done(&s->step_timer);
    loop_timer_done(&s->kill_timer);
    loop_timer_done(&s->limit_timer);
    care_done(s);
    health_done(s);
    buf_done(&s->mounts);
    buf_done(&s->limits.groups);
    loop_fd_done(&s->owner_watcher);
    s->lock = fd_close(s->lock);
    s->home = fd_close(s->home);
    free(s->orders.bytes);
}
