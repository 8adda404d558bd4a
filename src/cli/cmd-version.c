/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-version.c - nestbox version
 */
#include "cli/cli.h"

#include <stdio.h>

static const opt version_opts[] = {OPT_END};

static int version_run(cli *c, void *args, int argc, char **argv) {
    (void) printf("nestbox %s\n", nb_version());
    return STATUS_OK;
}

const command command_version = {
    .name = "version",
    .group = GROUP_OTHER,
    .usage = "",
    .summary = "Print the version",
    .example = "nestbox version",
    .opts = version_opts,
    .min_args = 0,
    .max_args = 0,
    .order = OPT_ANYWHERE,
    .run = version_run,
};
