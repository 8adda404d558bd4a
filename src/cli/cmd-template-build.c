/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-template-build.c - nestbox template build: save a machine before the first box goes on from it
 */
#include "base/cleanup.h"
#include "cli/cli.h"

#include <stdio.h>

struct template_build_args {
    uint64_t memory_bytes, disk_bytes;
    uint32_t cpus;
    bool init;
};

static const opt template_build_opts[] = {
    OPT_SIZE('m', "memory", struct template_build_args, memory_bytes, NB_MEMORY_MIN_BYTES, NB_MEMORY_MAX_BYTES, "256m",
             "what its boxes may use"),
    OPT_COUNT('\0', "cpus", struct template_build_args, cpus, 1, NB_CPUS_MAX, "1", "processors"),
    OPT_SIZE('\0', "disk", struct template_build_args, disk_bytes, NB_DISK_MIN_BYTES, NB_DISK_MAX_BYTES, NULL,
             "size of the boxes' disk, with IMAGE; default: as run has it"),
    OPT_FLAG('\0', "init", struct template_build_args, init, "for boxes that have an init, with IMAGE"),
    OPT_END,
};

static int template_build_run(cli *c, void *command_args, int argc, char **argv) {
    const struct template_build_args *args = command_args;
    CLEANUP(cleanup_template) nb_template_info *built = NULL;
    nb_error err = {0};
    nb_template_options options = NB_TEMPLATE_OPTIONS_INIT;
    options.memory_bytes = args->memory_bytes;
    options.cpus = args->cpus;
    options.image = argc > 0 ? argv[0] : NULL;
    options.disk_bytes = args->disk_bytes;
    options.init = args->init;
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_template_build(c->runtime, &options, &built, &err);
    if (r < 0)
        return cli_fail(c, &err);
    (void) printf("%s\n", built->key);
    return STATUS_OK;
}

const command command_template_build = {
    .name = "template build",
    .group = GROUP_TEMPLATE,
    .usage = "[OPTIONS] [IMAGE]",
    .summary = "Save a machine before the first box goes on from it",
    .details = "Without IMAGE the machine alone, for boxes of every image; with IMAGE, one of the home's, a machine that has the image's "
               "disk mounted and a\n"
               "container over it, and the machine alone as well. Starts make them by themselves, the second kind at an image's second "
               "start; this is for\n"
               "who wants the first one to be quick. One that is there is left as it is. Prints its key.",
    .example = "nestbox template build -m 1g busybox",
    .opts = template_build_opts,
    .args_size = sizeof(struct template_build_args),
    .min_args = 0,
    .max_args = 1,
    .order = OPT_ANYWHERE,
    .run = template_build_run,
};
