/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-tag.c - nestbox tag: give an image another name
 */
#include "cli/cli.h"

static const opt tag_opts[] = {OPT_END};

static int tag_run(cli *c, void *command_args, int argc, char **argv) {
    nb_error err = {0};
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_image_tag(c->runtime, argv[0], argv[1], &err);
    return r < 0 ? cli_fail(c, &err) : STATUS_OK;
}

const command command_tag = {
    .name = "tag",
    .alias = "image tag",
    .group = GROUP_IMAGE,
    .usage = "IMAGE NAME",
    .summary = "Give an image another name",
    .details = "NAME is [HOST[:PORT]/]PATH[:TAG]; an image that had it loses it.",
    .example = "nestbox tag busybox team/base:1",
    .opts = tag_opts,
    .min_args = 2,
    .max_args = 2,
    .order = OPT_ANYWHERE,
    .run = tag_run,
};
