/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-rename.c - nestbox rename: give a box another name
 */
#include "base/cleanup.h"
#include "cli/cli.h"

static const opt rename_opts[] = {
    OPT_END,
};

static int rename_run(cli *c, void *command_args, int argc, char **argv) {
    CLEANUP(cleanup_box) nb_box *box = NULL;
    nb_error err = {0};
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_box_open(c->runtime, argv[0], &box, &err);
    if (r == 0)
        r = nb_box_rename(box, argv[1], &err);
    return r < 0 ? cli_fail(c, &err) : STATUS_OK;
}

const command command_rename = {
    .name = "rename",
    .group = GROUP_BOX,
    .usage = "BOX NAME",
    .summary = "Give a box another name",
    .details = "Whether it runs or not. Its host name stays.",
    .example = "nestbox rename web old-web",
    .opts = rename_opts,
    .args_size = 0,
    .min_args = 2,
    .max_args = 2,
    .order = OPT_ANYWHERE,
    .run = rename_run,
};
