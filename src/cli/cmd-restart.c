/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-restart.c - nestbox restart: stop boxes and start them again
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/cli.h"

struct restart_args {
    int64_t grace_ms;
};

static const opt restart_opts[] = {
    OPT_DURATION('t', "time", struct restart_args, grace_ms, 0, UINT32_MAX, NULL,
                 "wait this long for the command, then kill it (default: the box's --stop-timeout)"),
    OPT_END,
};

static int restart_one(cli *c, const char *name, void *command_args, nb_error *err) {
    const struct restart_args *args = command_args;
    CLEANUP(cleanup_box) nb_box *box = NULL;
    nb_start_options options = NB_START_OPTIONS_INIT;
    options.detach = true; /* however it was made: this program ends at once */
    CLEANUP(cleanup_box_info) nb_box_info *info = NULL;
    int r = nb_box_open(c->runtime, name, &box, err);
    if (r == 0)
        r = nb_box_inspect(box, &info, err);
    if (r == 0 && info->auto_remove)
        r = nb_fail(err, NB_E_INVALID_STATE, 0, "restart box '%s': it was made with --rm, and goes when it stops", name);
    if (r == 0)
        r = nb_box_stop(box, args->grace_ms, err);
    return r < 0 ? r : nb_box_start(box, &options, NULL, err);
}

static int restart_run(cli *c, void *command_args, int argc, char **argv) {
    nb_error err = {0};
    if (cli_open(c, &err) < 0)
        return cli_fail(c, &err);
    return cli_each(c, argc, argv, restart_one, command_args, true);
}

const command command_restart = {
    .name = "restart",
    .group = GROUP_BOX,
    .usage = "[OPTIONS] BOX...",
    .summary = "Stop boxes and start them again",
    .details = "One that is not running is only started. Prints the name of each.",
    .example = "nestbox restart -t 30 web",
    .opts = restart_opts,
    .args_size = sizeof(struct restart_args),
    .min_args = 1,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_ANYWHERE,
    .run = restart_run,
};
