/* SPDX-License-Identifier: Apache-2.0
 *
 * care-options.h - the options that say what a box's supervisor sees to by itself, shared by run and create
 */
#ifndef CLI_CARE_OPTIONS_H
#define CLI_CARE_OPTIONS_H

#include "cli/option.h"

#include <nestbox/nestbox.h>

typedef struct care_arguments {
    const char *restart, *health_command;
    int64_t health_interval_ms, health_timeout_ms, health_start_period_ms;
    uint32_t health_retries;
    bool no_health_check;
    int64_t auto_stop_ms, max_lifetime_ms, auto_delete_ms;
} care_arguments;

#define CARE_TIME_MAX_MS (INT64_C(366) * 24 * 3600 * 1000)

/* For the option table of a command whose argument struct @args has care_arguments named @care. */
#define CARE_OPTIONS(args, care)                                                                                                          \
    OPT_STRING('\0', "restart", args, care.restart, "POLICY", "no",                                                                       \
               "start it again when it ends: no, always, unless-stopped or on-failure[:N]"),                                              \
        OPT_STRING('\0', "health-cmd", args, care.health_command, "COMMAND", NULL, "look at the box's health with a line for its shell"), \
        OPT_DURATION('\0', "health-interval", args, care.health_interval_ms, 1, CARE_TIME_MAX_MS, NULL,                                   \
                     "time between two looks (default: the image's, else 30s)"),                                                          \
        OPT_DURATION('\0', "health-timeout", args, care.health_timeout_ms, 1, CARE_TIME_MAX_MS, NULL,                                     \
                     "how long a look may take (default: the image's, else 30s)"),                                                        \
        OPT_DURATION('\0', "health-start-period", args, care.health_start_period_ms, 0, CARE_TIME_MAX_MS, NULL,                           \
                     "until then a failure does not count (default: the image's, else 0s)"),                                              \
        OPT_COUNT('\0', "health-retries", args, care.health_retries, 1, UINT32_MAX, NULL,                                                 \
                  "failures in a row that make it unhealthy (default: the image's, else 3)"),                                             \
        OPT_FLAG('\0', "no-healthcheck", args, care.no_health_check, "do not look at the box's health, whatever the image says"),         \
        OPT_DURATION('\0', "auto-stop", args, care.auto_stop_ms, 1, CARE_TIME_MAX_MS, NULL,                                               \
                     "stop it when nobody has used it for so long"),                                                                      \
        OPT_DURATION('\0', "max-lifetime", args, care.max_lifetime_ms, 1, CARE_TIME_MAX_MS, NULL, "stop it when it has run for so long"), \
        OPT_DURATION('\0', "auto-delete", args, care.auto_delete_ms, 1, CARE_TIME_MAX_MS, NULL,                                           \
                     "remove it when it has been stopped for so long")

/* "no", "always", "unless-stopped", "on-failure", "on-failure:N". -NB_E_INVALID, naming the option. */
int care_parse_restart(const char *text, nb_restart_policy *ret_policy, uint32_t *ret_retries, nb_error *err);

/* What the option table cannot check: -NB_E_INVALID, naming the option. */
int care_arguments_check(const care_arguments *care, nb_error *err);

/* The health check that the options ask for. */
typedef struct care_health {
    const char *words[2];
    nb_health_check check;
} care_health;

/* Puts checked arguments into @options.
 *
 * @health  must live as long as @options */
void care_arguments_apply(const care_arguments *care, care_health *health, nb_box_options *options);

#endif
