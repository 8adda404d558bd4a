/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-doctor.c - nestbox doctor: whether boxes can be run here, and what to do about what is wrong
 */
#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/text.h"

#include <stdio.h>
#include <string.h>

struct doctor_args {
    const char *format;
};

static const opt doctor_opts[] = {
    OPT_CHOICE('\0', "format", struct doctor_args, format, "table|json", "table", "form of the answer"),
    OPT_END,
};

static void print_more(const char *what, const char *text) {
    if (*text)
        (void) printf("%-27s%s: %s\n", "", what, text);
}

static void print_checks(const nb_checks *checks) {
    for (size_t i = 0; i < checks->count; i++) {
        const nb_check *check = &checks->items[i];
        CLEANUP(cleanup_free) char *found = text_escape(check->found);
        (void) printf("%-9s%-18s%s\n", nb_check_state_name(check->state), check->name, found ? found : "");
        print_more("means", check->meaning);
        print_more("mend", check->remedy);
    }
    (void) printf(checks->errors ? "\nBoxes cannot be run here.\n" : "\nBoxes can be run here.\n");
}

static int doctor_run(cli *c, void *command_args, int argc, char **argv) {
    const struct doctor_args *args = command_args;
    nb_checks *checks = NULL;
    nb_error err = {0};
    nb_runtime_options options = cli_runtime_options(c);
    if (nb_doctor(&options, &checks, &err) < 0)
        return cli_fail(c, &err);
    int r = 0;
    if (strcmp(args->format, "json") == 0)
        r = json_print(json_of_checks(checks), stdout, &err);
    else
        print_checks(checks);
    int status = checks->errors ? STATUS_FAILED : STATUS_OK;
    nb_checks_free(checks);
    return r < 0 ? cli_fail(c, &err) : status;
}

const command command_doctor = {
    .name = "doctor",
    .group = GROUP_OTHER,
    .usage = "[OPTIONS]",
    .summary = "Tell whether boxes can be run here, and how to mend what is wrong",
    .details =
        "Looks at the accelerator, QEMU, the guest kernel, the host's namespaces and control groups, and the home: its database, helper\n"
        "programs and disk space. Status 1: something is there that no box can be run with.",
    .example = "nestbox doctor",
    .opts = doctor_opts,
    .args_size = sizeof(struct doctor_args),
    .min_args = 0,
    .max_args = 0,
    .order = OPT_ANYWHERE,
    .run = doctor_run,
};
