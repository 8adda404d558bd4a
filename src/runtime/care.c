/* SPDX-License-Identifier: Apache-2.0
 *
 * care.c - what a box's supervisor is to see to by itself: restarts, health, the box's time
 */
#include "runtime/care.h"

#include "runtime/options.h"
#include "wire/limits.h"

#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)
/* A year: beyond it, it is a mistake in the unit. */
#define TIME_MAX_MS (UINT64_C(366) * 24 * 3600 * 1000)

static int check_time(uint64_t ms, const char *what, nb_error *err) {
    return ms <= TIME_MAX_MS ? 0 : nb_fail(err, NB_E_INVALID, 0, "%s: %" PRIu64 " ms are more than a year", what, ms);
}

static int check_restart(const nb_box_options *o, nb_error *err) {
    if ((unsigned) o->restart > NB_RESTART_UNLESS_STOPPED)
        return nb_fail(err, NB_E_INVALID, 0, "restart: there is no policy %u", (unsigned) o->restart);
    if (o->restart_retries && o->restart != NB_RESTART_ON_FAILURE)
        return nb_fail(err, NB_E_INVALID, 0, "restart: a number of retries is for the policy on-failure alone");
    if (o->restart && o->auto_remove)
        return nb_fail(err, NB_E_INVALID, 0, "restart: a box that is removed when it stops cannot be started again");
    if (o->restart && o->keep)
        return nb_fail(err, NB_E_INVALID, 0, "restart: a box without a main command does not end by itself");
    return 0;
}

static int check_health(const nb_health_check *health, nb_error *err) {
    const char *kind = health->test.count > 0 ? health->test.items[0] : "";
    bool none = strcmp(kind, "NONE") == 0, words = strcmp(kind, "CMD") == 0, shell = strcmp(kind, "CMD-SHELL") == 0;
    if (health->test.count > 0 && !none && !words && !shell)
        return nb_fail(err, NB_E_INVALID, 0, "health check: its test begins with '%s': want NONE, CMD or CMD-SHELL", kind);
    if ((none && health->test.count > 1) || (words && health->test.count < 2) || (shell && health->test.count != 2))
        return nb_fail(err, NB_E_INVALID, 0, "health check: %s",
                       none    ? "nothing comes after NONE"
                       : words ? "CMD wants a command"
                               : "CMD-SHELL wants one line for the shell");
    int result = check_time(health->interval_ns / NS_PER_MS, "health check's interval", err);
    if (result == 0)
        result = check_time(health->timeout_ns / NS_PER_MS, "health check's timeout", err);
    return result == 0 ? check_time(health->start_period_ns / NS_PER_MS, "health check's start period", err) : result;
}

int care_check(const nb_box_options *o, nb_error *err) {
    int result = check_restart(o, err);
    if (result == 0 && o->health)
        result = check_health(o->health, err);
    if (result == 0)
        result = check_time(o->auto_stop_ms, "auto-stop", err);
    if (result == 0)
        result = check_time(o->max_lifetime_ms, "maximum lifetime", err);
    if (result == 0)
        result = check_time(o->auto_delete_ms, "auto-delete", err);
    return result;
}

/* What is to be executed, from "CMD" and words or "CMD-SHELL" and a line. */
static int add_command(strv test, strv shell, buf *command, nb_error *err) {
    static const char default_shell[] = "/bin/sh\0-c";
    const char *kind = strv_next(test, NULL), *word = kind;
    if (!kind || strcmp(kind, "NONE") == 0)
        return 0;
    if (strcmp(kind, "CMD-SHELL") == 0) {
        strv with = shell.bytes > 0 ? shell : (strv){default_shell, sizeof(default_shell)};
        if (!buf_append(command, with.at, with.bytes))
            return nb_fail_oom(err);
    }
    while ((word = strv_next(test, word))) {
        if (!strv_add(command, word))
            return nb_fail_full(err, command, "health check: its command is longer than %u bytes", WIRE_IMAGE_LIST_MAX_BYTES);
    }
    return 0;
}

/* The first that says something; in milliseconds, 1 at the least. */
static uint64_t choose_ms(uint64_t own_ns, uint64_t image_ns, uint64_t default_ms) {
    uint64_t ns = own_ns ? own_ns : image_ns;
    return ns ? (ns - 1) / NS_PER_MS + 1 : default_ms;
}

int care_merge(const nb_box_options *o, const image_record *image, buf *health_command, box_care *ret_care, nb_error *err) {
    const nb_health_check nothing = {0}, *health = o->health ? o->health : &nothing;
    buf own;
    buf_init(&own, WIRE_IMAGE_LIST_MAX_BYTES);
    int result = options_add_strings(&own, health->test, "health check", err);
    if (result == 0)
        result = add_command(buf_length(&own) > 0 ? strv_of(&own) : image->health_test, image->shell, health_command, err);
    buf_done(&own);
    *ret_care = (box_care){
        .restart = o->restart,
        .restart_retries = o->restart_retries,
        .auto_stop_ms = o->auto_stop_ms,
        .max_lifetime_ms = o->max_lifetime_ms,
        .auto_delete_ms = o->auto_delete_ms,
    };
    if (result < 0 || buf_length(health_command) == 0)
        return result;
    ret_care->health_command = strv_of(health_command);
    ret_care->health_interval_ms = choose_ms(health->interval_ns, image->health_interval_ns, NB_HEALTH_INTERVAL_DEFAULT_MS);
    ret_care->health_timeout_ms = choose_ms(health->timeout_ns, image->health_timeout_ns, NB_HEALTH_TIMEOUT_DEFAULT_MS);
    ret_care->health_start_period_ms = choose_ms(health->start_period_ns, image->health_start_period_ns, 0);
    ret_care->health_retries = health->retries         ? health->retries
                               : image->health_retries ? image->health_retries
                                                       : NB_HEALTH_RETRIES_DEFAULT;
    return 0;
}
