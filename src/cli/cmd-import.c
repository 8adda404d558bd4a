/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-import.c - nestbox import: make an image from a tar of a root file system
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/size.h"
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct import_args {
    const char *command;
    opt_list changes;
    bool quiet;
};

static const opt import_opts[] = {
    OPT_STRING('\0', "cmd", struct import_args, command, "COMMAND", NULL,
               "the image's command: a line for its shell, or a JSON array of words"),
    OPT_FLAG('q', "quiet", struct import_args, quiet, "show no progress"),
    OPT_LIST('c', "change", struct import_args, changes, "INSTRUCTION", "apply a Dockerfile's instruction, such as 'ENV A=1'"),
    OPT_UNSUPPORTED('m', "message", "TEXT"),
    OPT_UNSUPPORTED('\0', "platform", "OS/ARCH"),
    OPT_END,
};

/* "-" is stdin. The caller's to close; -1 with @err. */
static int open_archive(const char *path, nb_error *err) {
    bool is_stdin = strcmp(path, "-") == 0;
    if (is_stdin && isatty(STDIN_FILENO)) {
        (void) nb_fail(err, NB_E_INVALID, 0, "an archive is not read from a terminal");
        return -1;
    }
    int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        (void) nb_fail(err, errno == ENOENT ? NB_E_NOT_FOUND : NB_E_STORAGE, errno, "open the archive '%s'", path);
    return fd;
}

/* A JSON array of strings as words that live as long as @ret_json. */
static int parse_words(const char *text, json_t **ret_json, const char ***ret_words, size_t *ret_count, nb_error *err) {
    json_t *json = json_loads(text, 0, NULL);
    size_t count = json_array_size(json); /* 0 for what is no array */
    const char **words = calloc(count + 1, sizeof(*words));
    bool all_strings = words && count > 0;
    for (size_t i = 0; all_strings && i < count; i++) {
        words[i] = json_string_value(json_array_get(json, i));
        all_strings = words[i] != NULL;
    }
    if (!all_strings) {
        bool no_memory = !words;
        free((void *) words);
        json_decref(json);
        return no_memory ? nb_fail_oom(err)
                         : nb_fail(err, NB_E_INVALID, 0, "--cmd '%s': want a JSON array of strings, or a line for sh", text);
    }
    *ret_json = json;
    *ret_words = words;
    *ret_count = count;
    return 0;
}

static int import(cli *c, const struct import_args *args, const char *path, const char *name, nb_image_info **ret_image, nb_error *err) {
    const char *shell_words[] = {"/bin/sh", "-c", args->command};
    const char **words = NULL;
    json_t *json = NULL;
    nb_import_options options = NB_IMPORT_OPTIONS_INIT;
    options.changes = (nb_strings){args->changes.items, args->changes.count};
    options.command = (nb_strings){shell_words, args->command ? ARRAY_LENGTH(shell_words) : 0};
    if (args->command && *args->command == '[') {
        int r = parse_words(args->command, &json, &words, &options.command.count, err);
        if (r < 0)
            return r;
        options.command.items = words;
    }
    CLEANUP(cleanup_fd) int fd = open_archive(path, err);
    int r = fd < 0 ? -NB_E_INVALID : cli_open(c, err);
    if (r == 0)
        r = nb_image_import(c->runtime, fd, name, &options, ret_image, err);
    progress_end(&c->progress);
    free((void *) words);
    json_decref(json);
    return r;
}

static int import_run(cli *c, void *command_args, int argc, char **argv) {
    const struct import_args *args = command_args;
    CLEANUP(cleanup_image) nb_image_info *image = NULL;
    nb_error err = {0};
    c->progress.quiet = args->quiet;
    if (import(c, args, argv[0], argv[1], &image, &err) < 0)
        return cli_fail(c, &err);
    (void) printf("%s\n", image->id);
    return STATUS_OK;
}

const command command_import = {
    .name = "import",
    .alias = "image import",
    .group = GROUP_IMAGE,
    .usage = "[OPTIONS] FILE|- NAME",
    .summary = "Make an image from a tar of a root file system",
    .details = "The tar may be compressed. Prints the image's id.",
    .example = "nestbox import --cmd '[\"/bin/server\", \"-v\"]' rootfs.tar.gz server",
    .opts = import_opts,
    .args_size = sizeof(struct import_args),
    .min_args = 2,
    .max_args = 2,
    .order = OPT_ANYWHERE,
    .run = import_run,
};
