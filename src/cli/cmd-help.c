/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-help.c - nestbox help: the list of commands, or one of them
 */
#include "cli/cli.h"
#include "cli/help.h"
#include "cli/man.h"

#include <stdio.h>

struct help_args {
    bool man;
};

static const opt help_opts[] = {
    OPT_FLAG('\0', "man", struct help_args, man, "as the source of a manual page"),
    OPT_END,
};

static int help_run(cli *c, void *args, int argc, char **argv) {
    int words = 0;
    const struct help_args *help_args = args;
    if (argc == 0 && help_args->man) {
        man_overview(cli_global_options, stdout);
        return STATUS_OK;
    }
    if (argc == 0) {
        help_overview(cli_global_options, stdout);
        return STATUS_OK;
    }
    const command *asked = command_find(argc, argv, &words);
    if (!asked || words != argc)
        return cli_usage(c, "no command '%s%s%s'", argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
    if (help_args->man)
        man_command(asked, stdout);
    else
        help_command(asked, stdout);
    return STATUS_OK;
}

const command command_help = {
    .name = "help",
    .group = GROUP_OTHER,
    .usage = "[OPTIONS] [COMMAND]",
    .summary = "List the commands, or tell about one",
    .example = "nestbox help run",
    .opts = help_opts,
    .args_size = sizeof(struct help_args),
    .min_args = 0,
    .max_args = 2, /* "image inspect" */
    .order = OPT_ANYWHERE,
    .run = help_run,
};
