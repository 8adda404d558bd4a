/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-rmi.c - nestbox rmi: remove images
 */
#include "cli/cli.h"

static const opt rmi_opts[] = {
    OPT_UNSUPPORTED('f', "force", NULL),
    OPT_END,
};

static int remove_one(cli *c, const char *name, void *args, nb_error *err) {
    return nb_image_remove(c->runtime, name, err);
}

static int rmi_run(cli *c, void *args, int argc, char **argv) {
    nb_error err = {0};
    if (cli_open(c, &err) < 0)
        return cli_fail(c, &err);
    return cli_each(c, argc, argv, remove_one, NULL, true);
}

const command command_rmi = {
    .name = "rmi",
    .alias = "image rm",
    .group = GROUP_IMAGE,
    .usage = "IMAGE...",
    .summary = "Remove images",
    .details = "An image that a box was made from is kept. Prints the name of each that was removed.",
    .example = "nestbox rmi server",
    .opts = rmi_opts,
    .min_args = 1,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_ANYWHERE,
    .run = rmi_run,
};
