/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-commit.c - nestbox commit: make an image of a box that does not run
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/cli.h"

#include <stdio.h>

struct commit_args {
    opt_list changes;
    bool quiet;
};

static const opt commit_opts[] = {
    OPT_LIST('c', "change", struct commit_args, changes, "INSTRUCTION",
             "apply a Dockerfile's instruction, such as 'CMD [\"/bin/server\"]'"),
    OPT_FLAG('q', "quiet", struct commit_args, quiet, "show no progress"),
    OPT_UNSUPPORTED('a', "author", "TEXT"),
    OPT_UNSUPPORTED('m', "message", "TEXT"),
    OPT_UNSUPPORTED('p', "pause", NULL),
    OPT_END,
};

static int commit_run(cli *c, void *command_args, int argc, char **argv) {
    const struct commit_args *args = command_args;
    CLEANUP(cleanup_box) nb_box *box = NULL;
    CLEANUP(cleanup_image) nb_image_info *image = NULL;
    nb_commit_options options = NB_COMMIT_OPTIONS_INIT;
    nb_error err = {0};
    options.name = argc > 1 ? argv[1] : NULL;
    options.changes = (nb_strings){args->changes.items, args->changes.count};
    c->progress.quiet = args->quiet;
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_box_open(c->runtime, argv[0], &box, &err);
    if (r == 0)
        r = nb_box_commit(box, &options, &image, &err);
    progress_end(&c->progress);
    if (r < 0)
        return cli_fail(c, &err);
    (void) printf("%s\n", image->id);
    return STATUS_OK;
}

const command command_commit = {
    .name = "commit",
    .group = GROUP_IMAGE,
    .usage = "[OPTIONS] BOX [NAME]",
    .summary = "Make an image of what is on a box's disk",
    .details = "BOX does not run: stop it first. It is started for this without its command, and stopped again. The image runs what\n"
               "the box ran, unless it is changed: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR. It has\n"
               "one layer. Prints the image's id.",
    .example = "nestbox commit -c 'CMD [\"/usr/bin/app\"]' web web:2",
    .opts = commit_opts,
    .args_size = sizeof(struct commit_args),
    .min_args = 1,
    .max_args = 2,
    .order = OPT_ANYWHERE,
    .run = commit_run,
};
