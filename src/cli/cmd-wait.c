/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-wait.c - nestbox wait: until boxes' commands have ended
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/cli.h"

#include <stdio.h>

static const opt wait_opts[] = {OPT_END};

static int wait_one(cli *c, const char *name, void *args, nb_error *err) {
    CLEANUP(cleanup_box) nb_box *box = NULL;
    CLEANUP(cleanup_exec) nb_exec *main = NULL;
    nb_exit_status status;
    int r = nb_box_open(c->runtime, name, &box, err);
    if (r == 0)
        r = nb_exec_open(box, NULL, NB_EXEC_WATCH, &main, err);
    if (r == 0)
        r = nb_exec_wait(main, -1, &status, err);
    if (r < 0)
        return r;
    return printf("%d\n", status.code) < 0 || fflush(stdout) != 0 ? nb_fail(err, NB_E_STORAGE, 0, "print the status") : 0;
}

static int wait_run(cli *c, void *args, int argc, char **argv) {
    nb_error err = {0};
    if (cli_open(c, &err) < 0)
        return cli_fail(c, &err);
    return cli_each(c, argc, argv, wait_one, NULL, false);
}

const command command_wait = {
    .name = "wait",
    .group = GROUP_BOX,
    .usage = "BOX...",
    .summary = "Wait until boxes have stopped and print their exit statuses",
    .details = "One line for each box, in the order given, with the status of its command; at once where it has ended.",
    .example = "nestbox wait web",
    .opts = wait_opts,
    .min_args = 1,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_ANYWHERE,
    .run = wait_run,
};
