/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-create.c - nestbox create: make a box that start will run
 */
#include "base/cleanup.h"
#include "cli/box-options.h"

#include <stdio.h>

struct create_args {
    box_arguments box;
};

static const opt create_opts[] = {
    BOX_OPTIONS(struct create_args),
    OPT_UNSUPPORTED('d', "detach", NULL),   /* what start does without -a, whatever is said here */
    OPT_UNSUPPORTED('\0', "standby", NULL), /* likewise */
    OPT_UNSUPPORTED('\0', "timeout", "DURATION"),
    OPT_UNSUPPORTED('\0', "timing", NULL),
    OPT_END,
};

static int create_run(cli *c, void *command_args, int argc, char **argv) {
    const struct create_args *args = command_args;
    CLEANUP(cleanup_box) nb_box *box = NULL;
    nb_error err = {0};
    if (box_check(&args->box, &err) < 0)
        return cli_usage(c, "%s", err.message);
    int r = cli_open(c, &err);
    if (r == 0)
        r = box_create(c, &args->box, false, argc, argv, &box, &err);
    if (r < 0)
        return cli_fail(c, &err);
    (void) printf("%s\n", nb_box_id(box));
    return STATUS_OK;
}

const command command_create = {
    .name = "create",
    .group = GROUP_RUN,
    .usage = "[OPTIONS] IMAGE [COMMAND ARG...]",
    .summary = "Make a box and print its id; nothing runs",
    .details = "Options stand before IMAGE; what follows it belongs to the command. The box runs on in the background once\n"
               "nestbox start has started it.",
    .example = "nestbox create --name web busybox httpd -f",
    .opts = create_opts,
    .args_size = sizeof(struct create_args),
    .min_args = 1,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_FIRST_ONLY,
    .run = create_run,
};
