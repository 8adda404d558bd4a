/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-image-prune.c - nestbox image prune: remove images that nothing needs
 */
#include "base/cleanup.h"
#include "cli/cli.h"

#include <stdio.h>

struct prune_args {
    bool all, force;
};

static const opt prune_opts[] = {
    OPT_FLAG('a', "all", struct prune_args, all, "those that have a name too"),
    OPT_FLAG('f', "force", struct prune_args, force, "accepted for habit's sake: nothing is asked"),
    OPT_END,
};

static int prune_run(cli *c, void *command_args, int argc, char **argv) {
    const struct prune_args *args = command_args;
    CLEANUP(cleanup_image_list) nb_image_list *removed = NULL;
    nb_error err = {0};
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_image_prune(c->runtime, args->all, &removed, &err);
    if (r < 0)
        return cli_fail(c, &err);
    for (size_t i = 0; i < removed->count; i++)
        (void) printf("%s\n", removed->items[i].id);
    return STATUS_OK;
}

const command command_image_prune = {
    .name = "image prune",
    .group = GROUP_IMAGE,
    .usage = "[OPTIONS]",
    .summary = "Remove images that no box is made from",
    .details = "Without -a only those that have lost their names to newer ones. Prints the ids of those that were removed.",
    .example = "nestbox image prune -a",
    .opts = prune_opts,
    .args_size = sizeof(struct prune_args),
    .min_args = 0,
    .max_args = 0,
    .order = OPT_ANYWHERE,
    .run = prune_run,
};
