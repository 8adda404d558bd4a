/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-volume-rm.c - nestbox volume rm: remove named volumes with all that is in them
 */
#include "cli/cli.h"

struct volume_rm_args {
    bool force;
};

static const opt volume_rm_opts[] = {
    OPT_FLAG('f', "force", struct volume_rm_args, force, "one that is not there is no error"),
    OPT_END,
};

static int remove_one(cli *c, const char *name, void *command_args, nb_error *err) {
    const struct volume_rm_args *args = command_args;
    int r = nb_volume_remove(c->runtime, name, err);
    return r == -NB_E_NOT_FOUND && args->force ? 0 : r;
}

static int volume_rm_run(cli *c, void *command_args, int argc, char **argv) {
    nb_error err = {0};
    if (cli_open(c, &err) < 0)
        return cli_fail(c, &err);
    return cli_each(c, argc, argv, remove_one, command_args, true);
}

const command command_volume_rm = {
    .name = "volume rm",
    .alias = "volume remove",
    .group = GROUP_VOLUME,
    .usage = "[OPTIONS] NAME...",
    .summary = "Remove named volumes with all that is in them",
    .details = "One that a box mounts, running or not, is refused. Prints the name of each that was removed.",
    .example = "nestbox volume rm data",
    .opts = volume_rm_opts,
    .args_size = sizeof(struct volume_rm_args),
    .min_args = 1,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_ANYWHERE,
    .run = volume_rm_run,
};
