/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-save.c - nestbox save: write an image as an OCI archive
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct save_args {
    const char *output;
};

static const opt save_opts[] = {
    OPT_STRING('o', "output", struct save_args, output, "FILE", "-", "where to, - for stdout"),
    OPT_END,
};

/* The file has its name when it is whole, and not before. */
static int save_to_file(cli *c, const char *image, const char *path, nb_error *err) {
    CLEANUP(cleanup_free) char *temporary = NULL;
    mode_t mask = umask(0);
    (void) umask(mask);
    if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
        return nb_fail_oom(err);
    CLEANUP(cleanup_fd) int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "make '%s'", path);
    int r = nb_image_save(c->runtime, image, fd, err);
    if (r == 0 && (fchmod(fd, 0666 & ~mask) < 0 || rename(temporary, path) < 0))
        r = nb_fail(err, NB_E_STORAGE, errno, "make '%s'", path);
    if (r < 0)
        (void) unlink(temporary);
    return r;
}

static int save_run(cli *c, void *command_args, int argc, char **argv) {
    const struct save_args *args = command_args;
    nb_error err = {0};
    bool is_stdout = strcmp(args->output, "-") == 0;
    if (is_stdout && isatty(STDOUT_FILENO))
        return cli_usage(c, "an archive is not written to a terminal: use -o FILE");
    int r = cli_open(c, &err);
    if (r == 0)
        r = is_stdout ? nb_image_save(c->runtime, argv[0], STDOUT_FILENO, &err) : save_to_file(c, argv[0], args->output, &err);
    return r < 0 ? cli_fail(c, &err) : STATUS_OK;
}

const command command_save = {
    .name = "save",
    .alias = "image save",
    .group = GROUP_IMAGE,
    .usage = "[OPTIONS] IMAGE",
    .summary = "Write an image as an OCI archive",
    .details = "An image from a registry keeps its layers as they were; any other gets one layer, which a machine of its own reads.\n"
               "docker, podman and skopeo load the archive.",
    .example = "nestbox save -o python.tar python:3.12",
    .opts = save_opts,
    .args_size = sizeof(struct save_args),
    .min_args = 1,
    .max_args = 1,
    .order = OPT_ANYWHERE,
    .run = save_run,
};
