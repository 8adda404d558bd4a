/* SPDX-License-Identifier: Apache-2.0
 *
 * health.c - looking at the box's health: a command that is run in it now and then
 *
 * Theory of operation
 *   The next look comes an interval after the last one has ended, so that there is never more than one. The look is an exec like any other, but nobody's:
 *   lists, statistics and events do not know of it. What it found is written to the box's log of health, of which the last results can be
 *   asked for; what follows from it stands in the record, and a change of that is an event.
 */
#include "shim/health.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/utf8.h"
#include "shim/event.h"
#include "shim/session.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Half a dozen results with all the output that is kept of one. */
#define LOG_MAX_BYTES ((uint64_t) 32 << 10)

static bool is_checked(const shim *s) {
    return s->orders.launch.health_command.bytes > 0 && !(s->orders.launch.launch_flags & WIRE_LAUNCH_VISIT);
}

static void set_health(shim *s, nb_health to) {
    static const char *const names[] = {
#define HEALTH_NAME(name, number, text) [number] = text,
        NB_HEALTHS(HEALTH_NAME)
#undef HEALTH_NAME
    };
    if (s->record.is.health == to)
        return;
    s->record.is.health = (uint8_t) to;
    log_info(&s->log, "health: %s", names[to]);
    event_tell(s, "health", "status=", names[to]);
}

/* What fails while the box still starts does not count. */
static bool counts(const shim *s, uint64_t now_ms) {
    return s->record.is.health != NB_HEALTH_STARTING || now_ms >= s->record.is.started_at_ms + s->orders.launch.health_start_period_ms;
}

static void conclude(shim *s, bool good, uint64_t now_ms) {
    const uint32_t failures_before = s->record.is.health_failures;
    const uint8_t health_before = s->record.is.health;
    if (good)
        s->record.is.health_failures = 0;
    else if (counts(s, now_ms))
        s->record.is.health_failures++;
    if (good)
        set_health(s, NB_HEALTH_HEALTHY);
    else if (s->record.is.health_failures >= s->orders.launch.health_retries)
        set_health(s, NB_HEALTH_UNHEALTHY);
    if (s->record.is.health_failures != failures_before || s->record.is.health != health_before)
        shim_write_record(s);
}

static void keep_result(shim *s, const msg_health_result *result) {
    CLEANUP(buf_done) buf encoded;
    buf_init(&encoded, WIRE_TEXT_MAX_BYTES + 64);
    if (!wire_encode_health_result(&encoded, result) || piece_log_write(&s->health.log, 0, buf_bytes(&encoded), buf_length(&encoded)) < 0)
        log_warning(&s->log, "health: a result cannot be kept: %m");
}

void health_looked(shim *s, const msg_exited *exited, const char *output) {
    if (!s->health.looking)
        return;
    s->health.looking = false;
    if (s->state != SHIM_RUNNING)
        return;
    uint64_t now_ms = clock_wall_ms();
    msg_health_result result = {
        .started_at_ms = s->health.began_at_ms,
        .finished_at_ms = now_ms,
        .code = !exited          ? -1
                : exited->signal ? 128 + exited->signal
                                 : exited->code,
        .exit_flags = exited ? exited->exit_flags : 0,
        .output = wire_str(output),
    };
    keep_result(s, &result);
    conclude(s, result.code == 0 && !(result.exit_flags & WIRE_EXIT_TIMED_OUT), now_ms);
    loop_timer_start(&s->health.timer, s->orders.launch.health_interval_ms);
}

static void on_time_to_look(loop_timer *timer) {
    shim *s = timer->user;
    const msg_launch *launch = &s->orders.launch;
    nb_error why;
    msg_spawn spawn = {
        .spawn_flags =
            (uint8_t) (WIRE_SPAWN_DETACHED | (launch->launch_flags & WIRE_LAUNCH_NO_NEW_PRIVILEGES ? WIRE_SPAWN_NO_NEW_PRIVILEGES : 0)),
        .argv = launch->health_command,
        .env = launch->env,
        .cwd = launch->cwd,
        .user = launch->user,
        .timeout_ms = launch->health_timeout_ms,
        .console_timeout_ms = WIRE_CONSOLE_TIMEOUT_DEFAULT_MS,
        .cap_add = launch->cap_add,
        .cap_drop = launch->cap_drop,
        .limits = launch->limits,
    };
    s->health.looking = true;
    s->health.began_at_ms = clock_wall_ms();
    if (session_begin_look(s, &spawn, &why) < 0)
        health_looked(s, NULL, why.message);
}

void health_begin(shim *s) {
    if (!is_checked(s))
        return;
    if (piece_log_begin(&s->health.log, s->folder, HEALTH_LOG_FILE, LOG_MAX_BYTES) < 0)
        log_warning(&s->log, "health: results cannot be kept: %m");
    s->record.is.health_failures = 0;
    s->health.looking = false;
    s->record.is.health = NB_HEALTH_STARTING;
    loop_timer_start(&s->health.timer, s->orders.launch.health_interval_ms);
}

void health_end(shim *s) {
    loop_timer_stop(&s->health.timer);
    piece_log_done(&s->health.log);
}

void health_init(shim *s) {
    s->health.log.fd = -1;
    loop_timer_init(s->loop, &s->health.timer, on_time_to_look, s);
}

void health_done(shim *s) {
    loop_timer_done(&s->health.timer);
}
