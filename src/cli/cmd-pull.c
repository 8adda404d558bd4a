/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-pull.c - nestbox pull: fetch an image from its registry
 */
#include "base/cleanup.h"
#include "cli/cli.h"

#include <stdio.h>

struct pull_args {
    const char *platform;
    bool quiet;
};

static const opt pull_opts[] = {
    OPT_STRING('\0', "platform", struct pull_args, platform, "OS/ARCH[/VARIANT]", NULL, "fetch it for another processor than this host's"),
    OPT_FLAG('q', "quiet", struct pull_args, quiet, "show no progress"),
    OPT_END,
};

static int pull_one(cli *c, const char *name, void *args, nb_error *err) {
    const struct pull_args *pull = args;
    CLEANUP(cleanup_image) nb_image_info *image = NULL;
    int r = nb_image_pull(c->runtime, name, pull->platform, &image, err);
    progress_end(&c->progress);
    if (r == 0)
        (void) printf("%s\n", image->id);
    return r;
}

static int pull_run(cli *c, void *command_args, int argc, char **argv) {
    const struct pull_args *args = command_args;
    nb_error err = {0};
    c->progress.quiet = args->quiet;
    int r = cli_open(c, &err);
    return r < 0 ? cli_fail(c, &err) : cli_each(c, argc, argv, pull_one, command_args, false);
}

const command command_pull = {
    .name = "pull",
    .alias = "image pull",
    .group = GROUP_IMAGE,
    .usage = "[OPTIONS] IMAGE...",
    .summary = "Fetch images from their registries and print their ids",
    .details = "IMAGE is [HOST[:PORT]/]PATH[:TAG][@sha256:...], as for docker: python:3.12 is docker.io/library/python:3.12.\n"
               "What is here already of an image is not fetched again. Plain HTTP, certificate authorities and mirrors are set in\n"
               "registries.json (docs/registries.md), limits in images.json (docs/images.md).",
    .example = "nestbox pull ghcr.io/acme/web:1",
    .opts = pull_opts,
    .args_size = sizeof(struct pull_args),
    .min_args = 1,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_ANYWHERE,
    .run = pull_run,
};
