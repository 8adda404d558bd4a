/* SPDX-License-Identifier: Apache-2.0
 *
 * care-options.c - the options that say what a box's supervisor sees to by itself, shared by run and create
 */
#include "cli/care-options.h"

#include "base/error.h"
#include "base/quantity.h"

#include <string.h>

#define NS_PER_MS UINT64_C(1000000)
#define RESTART_FORM "no, always, unless-stopped, on-failure or on-failure:N"

int care_parse_restart(const char *text, nb_restart_policy *ret_policy, uint32_t *ret_retries, nb_error *err) {
    static const struct {
        const char *name;
        nb_restart_policy policy;
    } policies[] = {
#define POLICY_ITEM(policy, number, text) {text, policy},
        NB_RESTART_POLICIES(POLICY_ITEM)
#undef POLICY_ITEM
    };
    static const char counted[] = "on-failure:";
    uint64_t retries = 0;
    if (strncmp(text, counted, strlen(counted)) == 0) {
        if (!quantity_count(text + strlen(counted), 1, UINT32_MAX, &retries))
            return nb_fail(err, NB_E_INVALID, 0, "--restart '%s': want a number of retries from 1 to %u", text, UINT32_MAX);
        *ret_policy = NB_RESTART_ON_FAILURE;
        *ret_retries = (uint32_t) retries;
        return 0;
    }
    for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
        if (strcmp(policies[i].name, text) == 0) {
            *ret_policy = policies[i].policy;
            *ret_retries = 0;
            return 0;
        }
    }
    return nb_fail(err, NB_E_INVALID, 0, "--restart '%s': want " RESTART_FORM, text);
}

int care_arguments_check(const care_arguments *care, nb_error *err) {
    nb_restart_policy policy;
    uint32_t retries;
    bool health = care->health_command || care->health_interval_ms >= 0 || care->health_timeout_ms >= 0 ||
                  care->health_start_period_ms >= 0 || care->health_retries > 0;
    if (care->no_health_check && health)
        return nb_fail(err, NB_E_INVALID, 0, "--no-healthcheck excludes the --health- options");
    if (care->health_command && !*care->health_command)
        return nb_fail(err, NB_E_INVALID, 0, "--health-cmd '': want a line for the box's shell");
    return care_parse_restart(care->restart, &policy, &retries, err);
}

static uint64_t ns_of(int64_t ms) {
    return ms > 0 ? (uint64_t) ms * NS_PER_MS : 0;
}

static uint64_t ms_of(int64_t ms) {
    return ms > 0 ? (uint64_t) ms : 0;
}

void care_arguments_apply(const care_arguments *care, care_health *health, nb_box_options *options) {
    size_t count = care->no_health_check ? 1 : care->health_command ? 2 : 0;
    *health = (care_health){
        .words = {care->no_health_check ? "NONE" : "CMD-SHELL", care->health_command},
        .check = {.interval_ns = ns_of(care->health_interval_ms),
                  .timeout_ns = ns_of(care->health_timeout_ms),
                  .start_period_ns = ns_of(care->health_start_period_ms),
                  .retries = care->health_retries},
    };
    health->check.test = (nb_strings){health->words, count};
    options->health = &health->check;
    (void) care_parse_restart(care->restart, &options->restart, &options->restart_retries, NULL);
    options->auto_stop_ms = ms_of(care->auto_stop_ms);
    options->max_lifetime_ms = ms_of(care->max_lifetime_ms);
    options->auto_delete_ms = ms_of(care->auto_delete_ms);
}
