/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-help.c - nestbox help: the list of commands, or one of them
 */
#include "cli/cli.h"
#include "cli/help.h"

#include <stdio.h>

static const opt help_opts[] = {OPT_END};

static int help_run(cli *c, void *args, int argc, char **argv) {
    int words = 0;
    if (argc == 0) {
        help_overview(cli_global_options, stdout);
        return STATUS_OK;
    }
    const command *asked = command_find(argc, argv, &words);
    if (!asked || words != argc)
        return cli_usage(c, "no command '%s%s%s'", argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
    help_command(asked, stdout);
    return STATUS_OK;
}

const command command_help = {
    .name = "help",
    .group = GROUP_OTHER,
    .usage = "[COMMAND]",
    .summary = "List the commands, or tell about one",
    .example = "nestbox help run",
    .opts = help_opts,
    .min_args = 0,
    .max_args = 2, /* "image inspect" */
    .order = OPT_ANYWHERE,
    .run = help_run,
};
