/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-load.c - nestbox load: take an image from an archive that names it
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct load_args {
    const char *input;
    bool quiet;
};

static const opt load_opts[] = {
    OPT_STRING('i', "input", struct load_args, input, "FILE", "-", "the archive, - for stdin"),
    OPT_FLAG('q', "quiet", struct load_args, quiet, "show no progress"),
    OPT_END,
};

static int load_run(cli *c, void *command_args, int argc, char **argv) {
    const struct load_args *args = command_args;
    CLEANUP(cleanup_image) nb_image_info *image = NULL;
    nb_error err = {0};
    bool is_stdin = strcmp(args->input, "-") == 0;
    if (is_stdin && isatty(STDIN_FILENO))
        return cli_usage(c, "an archive is not read from a terminal");
    c->progress.quiet = args->quiet;
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_image_load(c->runtime, is_stdin ? NULL : args->input, is_stdin ? STDIN_FILENO : -1, &image, &err);
    progress_end(&c->progress);
    if (r < 0)
        return cli_fail(c, &err);
    CLEANUP(cleanup_free) char *name = text_escape(*image->name ? image->name : image->id);
    (void) printf("Loaded image: %s\n", name ? name : image->id);
    return STATUS_OK;
}

const command command_load = {
    .name = "load",
    .alias = "image load",
    .group = GROUP_IMAGE,
    .usage = "[OPTIONS]",
    .summary = "Take an image from a docker-save or OCI archive",
    .example = "nestbox load -i server.tar",
    .opts = load_opts,
    .args_size = sizeof(struct load_args),
    .min_args = 0,
    .max_args = 0,
    .order = OPT_ANYWHERE,
    .run = load_run,
};
