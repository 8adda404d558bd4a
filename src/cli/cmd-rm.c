/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-rm.c - nestbox rm: remove boxes with all that is theirs
 */
#include "base/cleanup.h"
#include "cli/cli.h"

#include <stdio.h>

struct rm_args {
    bool force, all, volumes;
};

static const opt rm_opts[] = {
    OPT_FLAG('f', "force", struct rm_args, force, "kill a running box first"),
    OPT_FLAG('a', "all", struct rm_args, all, "every box"),
    OPT_FLAG('v', "volumes", struct rm_args, volumes, "changes nothing: there are no unnamed volumes, and named ones stay"),
    OPT_END,
};

static int remove_one(cli *c, const char *name, void *command_args, nb_error *err) {
    const struct rm_args *args = command_args;
    CLEANUP(cleanup_box) nb_box *box = NULL;
    int r = nb_box_open(c->runtime, name, &box, err);
    return r < 0 ? r : nb_box_remove(box, args->force, err);
}

static int remove_all(cli *c, struct rm_args *args) {
    CLEANUP(cleanup_box_list) nb_box_list *list = NULL;
    nb_error err = {0};
    if (nb_box_list_get(c->runtime, &list, &err) < 0)
        return cli_fail(c, &err);
    int status = STATUS_OK;
    for (size_t i = 0; i < list->count; i++) {
        int r = remove_one(c, list->items[i].id, args, &err);
        if (r == 0)
            (void) printf("%s\n", list->items[i].id);
        else if (r != -NB_E_NOT_FOUND) /* somebody else was quicker */
            status = cli_fail(c, &err);
    }
    return status;
}

static int rm_run(cli *c, void *command_args, int argc, char **argv) {
    struct rm_args *args = command_args;
    nb_error err = {0};
    if (args->all && argc > 0)
        return cli_usage(c, "--all takes no BOX");
    if (!args->all && argc == 0)
        return cli_usage(c, "name a BOX, or all of them with --all");
    if (cli_open(c, &err) < 0)
        return cli_fail(c, &err);
    return args->all ? remove_all(c, args) : cli_each(c, argc, argv, remove_one, args, true);
}

const command command_rm = {
    .name = "rm",
    .group = GROUP_BOX,
    .usage = "[OPTIONS] BOX...",
    .summary = "Remove boxes, their disks and their logs",
    .details = "A running box is refused unless -f is given. Prints the name of each that was removed.",
    .example = "nestbox rm -f web",
    .opts = rm_opts,
    .args_size = sizeof(struct rm_args),
    .min_args = 0,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_ANYWHERE,
    .run = rm_run,
};
