/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-kill.c - nestbox kill: send a signal to boxes' commands
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/cli.h"

#include <signal.h>

struct kill_args {
    const char *signal;
};

static const opt kill_opts[] = {
    OPT_STRING('s', "signal", struct kill_args, signal, "SIGNAL", "KILL", "which one: TERM, SIGTERM or 15"),
    OPT_END,
};

static int kill_one(cli *c, const char *name, void *command_args, nb_error *err) {
    const struct kill_args *args = command_args;
    CLEANUP(cleanup_box) nb_box *box = NULL;
    CLEANUP(cleanup_box_info) nb_box_info *info = NULL;
    CLEANUP(cleanup_exec) nb_exec *main = NULL;
    int r = nb_box_open(c->runtime, name, &box, err);
    if (r == 0)
        r = nb_box_inspect(box, &info, err);
    if (r == 0 && info->state != NB_BOX_RUNNING)
        r = nb_fail(err, NB_E_STOPPED, 0, "box '%s' is %s", name, nb_box_state_name(info->state));
    if (r == 0)
        r = nb_exec_open(box, NULL, NB_EXEC_WATCH, &main, err);
    return r < 0 ? r : nb_exec_signal(main, nb_signal_number(args->signal), err);
}

static int kill_run(cli *c, void *command_args, int argc, char **argv) {
    const struct kill_args *args = command_args;
    nb_error err = {0};
    if (nb_signal_number(args->signal) == 0)
        return cli_usage(c, "--signal '%s': want a signal's name or number, such as TERM or 15", args->signal);
    if (cli_open(c, &err) < 0)
        return cli_fail(c, &err);
    return cli_each(c, argc, argv, kill_one, command_args, true);
}

const command command_kill = {
    .name = "kill",
    .group = GROUP_BOX,
    .usage = "[OPTIONS] BOX...",
    .summary = "Send a signal to the commands of running boxes",
    .details = "Prints the name of each. A command that runs as the box's first process ignores what it does not handle,\n"
               "but for KILL, which ends the box.",
    .example = "nestbox kill -s HUP web",
    .opts = kill_opts,
    .args_size = sizeof(struct kill_args),
    .min_args = 1,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_ANYWHERE,
    .run = kill_run,
};
