/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-template-rm.c - nestbox template rm: remove saved machines
 */
#include "base/cleanup.h"
#include "cli/cli.h"

#include <stdio.h>

struct template_rm_args {
    bool all, force;
};

static const opt template_rm_opts[] = {
    OPT_FLAG('a', "all", struct template_rm_args, all, "all of them"),
    OPT_FLAG('f', "force", struct template_rm_args, force, "one that is not there is no error"),
    OPT_END,
};

static int remove_one(cli *c, const char *key, void *command_args, nb_error *err) {
    const struct template_rm_args *args = command_args;
    int r = nb_template_remove(c->runtime, key, err);
    return r == -NB_E_NOT_FOUND && args->force ? 0 : r;
}

static int remove_all(cli *c) {
    CLEANUP(cleanup_template_list) nb_template_list *list = NULL;
    nb_error err = {0};
    int r = nb_template_list_get(c->runtime, &list, &err);
    for (size_t i = 0; r == 0 && i < list->count; i++) {
        r = nb_template_remove(c->runtime, list->items[i].key, &err);
        if (r == -NB_E_NOT_FOUND) /* somebody else was quicker */
            r = 0;
        else if (r == 0)
            (void) printf("%s\n", list->items[i].key);
    }
    return r < 0 ? cli_fail(c, &err) : STATUS_OK;
}

static int template_rm_run(cli *c, void *command_args, int argc, char **argv) {
    const struct template_rm_args *args = command_args;
    nb_error err = {0};
    if (args->all == (argc > 0))
        return cli_usage(c, "name templates, or all of them with --all");
    if (cli_open(c, &err) < 0)
        return cli_fail(c, &err);
    return args->all ? remove_all(c) : cli_each(c, argc, argv, remove_one, command_args, true);
}

const command command_template_rm = {
    .name = "template rm",
    .alias = "template remove",
    .group = GROUP_TEMPLATE,
    .usage = "[OPTIONS] KEY...",
    .summary = "Remove saved machines that boxes go on from",
    .details = "KEY is a key of nestbox template ls, or its beginning. Boxes that run do not notice; the next start makes what it needs "
               "anew. Prints the\n"
               "key of each that was removed.",
    .example = "nestbox template rm -a",
    .opts = template_rm_opts,
    .args_size = sizeof(struct template_rm_args),
    .min_args = 0,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_ANYWHERE,
    .run = template_rm_run,
};
