/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-volume-create.c - nestbox volume create: make a named volume
 */
#include "base/cleanup.h"
#include "cli/cli.h"

#include <stdio.h>

static const opt volume_create_opts[] = {
    OPT_UNSUPPORTED('d', "driver", "NAME"),
    OPT_UNSUPPORTED('o', "opt", "KEY=VALUE"),
    OPT_UNSUPPORTED('\0', "label", "KEY=VALUE"),
    OPT_END,
};

static int volume_create_run(cli *c, void *command_args, int argc, char **argv) {
    CLEANUP(cleanup_volume) nb_volume_info *volume = NULL;
    nb_error err = {0};
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_volume_create(c->runtime, argv[0], &volume, &err);
    if (r < 0)
        return cli_fail(c, &err);
    (void) printf("%s\n", volume->name);
    return STATUS_OK;
}

const command command_volume_create = {
    .name = "volume create",
    .group = GROUP_VOLUME,
    .usage = "NAME",
    .summary = "Make a named volume",
    .details =
        "A folder in the home, for -v NAME:DST. One that is there stays as it is; run and create make what is missing by themselves.",
    .example = "nestbox volume create data",
    .opts = volume_create_opts,
    .min_args = 1,
    .max_args = 1,
    .order = OPT_ANYWHERE,
    .run = volume_create_run,
};
