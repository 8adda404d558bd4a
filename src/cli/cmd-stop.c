/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-stop.c - nestbox stop: end running boxes
 */
#include "base/cleanup.h"
#include "cli/cli.h"

struct stop_args {
    int64_t grace_ms;
};

static const opt stop_opts[] = {
    OPT_DURATION('t', "time", struct stop_args, grace_ms, 0, UINT32_MAX, NULL,
                 "wait this long for the command, then kill it (default: the box's --stop-timeout)"),
    OPT_END,
};

static int stop_one(cli *c, const char *name, void *command_args, nb_error *err) {
    const struct stop_args *args = command_args;
    CLEANUP(cleanup_box) nb_box *box = NULL;
    int r = nb_box_open(c->runtime, name, &box, err);
    return r < 0 ? r : nb_box_stop(box, args->grace_ms, err);
}

static int stop_run(cli *c, void *command_args, int argc, char **argv) {
    nb_error err = {0};
    if (cli_open(c, &err) < 0)
        return cli_fail(c, &err);
    return cli_each(c, argc, argv, stop_one, command_args, true);
}

const command command_stop = {
    .name = "stop",
    .group = GROUP_BOX,
    .usage = "[OPTIONS] BOX...",
    .summary = "Stop running boxes",
    .details = "Sends the stop signal to the command, after the grace period SIGKILL to everything in the box, and shuts the\n"
               "machine down. Prints the name of each; one that is not running is fine.",
    .example = "nestbox stop -t 30 web",
    .opts = stop_opts,
    .args_size = sizeof(struct stop_args),
    .min_args = 1,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_ANYWHERE,
    .run = stop_run,
};
