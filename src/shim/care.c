/* SPDX-License-Identifier: Apache-2.0
 *
 * care.c - what a shim sees to by itself: that its box is started again, and that its time is over
 *
 * Theory of operation
 *   A box is started again when its policy says so, and it ended by itself or crashed: whoever has stopped it, or whose death has, wants it stopped.
 *   A first start that fails is told to who asked for it, and is not repeated. The wait before a restart doubles each time, so that a
 *   box that cannot run does not keep the host busy; one that ran for a while begins anew.
 *   Idle is a box that nobody uses. Nothing is looked at meanwhile: the timer is set for the earliest moment at which it could have been
 *   idle for long enough, and then set again by what has happened since.
 */
#include "shim/care.h"

#include "base/clock.h"
#include "shim/session.h"

#define FIRST_DELAY_MS 100u
#define LONGEST_DELAY_MS 60000u
/* A box that ran for so long has not failed at once. */
#define RAN_WELL_MS 10000u

/* --------------------------------------------------------------------------------------------------------- restarts */

static bool has_failed(const shim *s) {
    return s->failure || !s->record.is.has_exit || s->record.is.code != 0 || s->record.is.signal != 0;
}

static bool policy_wants_restart(const shim *s) {
    switch (s->orders.launch.restart) {
    case NB_RESTART_ALWAYS:
    case NB_RESTART_UNLESS_STOPPED:
        return true;
    case NB_RESTART_ON_FAILURE:
        return has_failed(s) && (s->orders.launch.restart_retries == 0 || s->record.is.restart_count < s->orders.launch.restart_retries);
    default:
        return false;
    }
}

bool care_wants_restart(shim *s, uint32_t *ret_delay_ms) {
    shim_care *care = &s->care;
    bool first_start_failed = s->record.is.started_at_ms == 0 && s->record.is.restart_count == 0;
    if (first_start_failed || s->stop_wanted || !policy_wants_restart(s))
        return false;
    if (care->restart_delay_ms == 0)
        care->restart_delay_ms = FIRST_DELAY_MS;
    *ret_delay_ms = care->restart_delay_ms;
    care->restart_delay_ms = care->restart_delay_ms < LONGEST_DELAY_MS / 2 ? care->restart_delay_ms * 2 : LONGEST_DELAY_MS;
    return true;
}

/* ------------------------------------------------------------------------------------------------------------ time */

static void on_lifetime_over(loop_timer *timer) {
    shim *s = timer->user;
    log_info(&s->log, "lifetime: over after %llu ms", (unsigned long long) s->orders.launch.max_lifetime_ms);
    shim_stop(s, NB_END_LIFETIME, s->orders.launch.stop_timeout_ms);
}

static void on_maybe_idle(loop_timer *timer) {
    shim *s = timer->user;
    uint64_t allowed_ms = s->orders.launch.auto_stop_ms, now_ms = clock_monotonic_ms();
    if (session_somebody_is_here(s))
        s->care.active_at_ms = now_ms;
    uint64_t idle_ms = now_ms - s->care.active_at_ms;
    if (idle_ms < allowed_ms) {
        loop_timer_start(timer, allowed_ms - idle_ms);
        return;
    }
    log_info(&s->log, "idle: nobody has used the box for %llu ms", (unsigned long long) idle_ms);
    shim_stop(s, NB_END_IDLE, s->orders.launch.stop_timeout_ms);
}

void care_used(shim *s) {
    s->care.active_at_ms = clock_monotonic_ms();
}

void care_running(shim *s) {
    const msg_launch *launch = &s->orders.launch;
    care_used(s);
    s->care.running_since_ms = s->care.active_at_ms;
    if (launch->max_lifetime_ms > 0)
        loop_timer_start(&s->care.lifetime_timer, launch->max_lifetime_ms);
    if (launch->auto_stop_ms > 0)
        loop_timer_start(&s->care.idle_timer, launch->auto_stop_ms);
}

void care_ended(shim *s) {
    loop_timer_stop(&s->care.lifetime_timer);
    loop_timer_stop(&s->care.idle_timer);
    if (s->care.running_since_ms && clock_monotonic_ms() - s->care.running_since_ms >= RAN_WELL_MS)
        s->care.restart_delay_ms = 0;
    s->care.running_since_ms = 0;
}

void care_init(shim *s) {
    loop_timer_init(s->loop, &s->care.idle_timer, on_maybe_idle, s);
    loop_timer_init(s->loop, &s->care.lifetime_timer, on_lifetime_over, s);
}

void care_done(shim *s) {
    loop_timer_done(&s->care.idle_timer);
    loop_timer_done(&s->care.lifetime_timer);
}
