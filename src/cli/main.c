/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c - nestbox, the command line: finds the command, fills its arguments, runs it
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/help.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A program may be started without its first three descriptors; the next file opened must not become stdout. */
static int open_standard_streams(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) /* the lowest free one is fd; not CLOEXEC, as those are */
            return -1;
    }
    return 0;
}

static int check_count(cli *c, const command *wanted, int argc) {
    if ((unsigned) argc < wanted->min_args)
        return cli_usage(c, "too few arguments: want %s", wanted->usage);
    if ((unsigned) argc > wanted->max_args)
        return cli_usage(c, "too many arguments: want %s", *wanted->usage ? wanted->usage : "none");
    return STATUS_OK;
}

/* @argv follows the command's name. */
static int run_command(cli *c, const command *wanted, int argc, char **argv) {
    CLEANUP(cleanup_free) void *args = calloc(1, wanted->args_size + 1);
    opt_parsed parsed;
    nb_error err = {0};
    c->command = wanted;
    if (!args) {
        (void) nb_fail_oom(&err);
        return cli_fail(c, &err);
    }
    int r = options_parse(wanted->opts, args, wanted->order, argc, argv, &parsed, &err);
    c->own_status = wanted->gives_own_status && wanted->gives_own_status(args);
    int status;
    if (r < 0) {
        status = cli_usage(c, "%s", err.message);
    } else if (parsed.help) {
        help_command(wanted, stdout);
        status = STATUS_OK;
    } else {
        status = check_count(c, wanted, parsed.positional_count);
        if (status == STATUS_OK)
            status = wanted->run(c, args, parsed.positional_count, argv);
    }
    options_done(wanted->opts, args);
    return status;
}

/* What stands before the command. */
static int run(cli *c, int argc, char **argv) {
    opt_parsed parsed;
    nb_error err = {0};
    if (options_parse(cli_global_options, c, OPT_FIRST_ONLY, argc, argv, &parsed, &err) < 0)
        return cli_usage(c, "%s", err.message);
    if (c->version)
        return run_command(c, &command_version, 0, argv);
    if (parsed.help)
        return run_command(c, &command_help, 0, argv);
    if (parsed.positional_count == 0) {
        help_overview(cli_global_options, stderr);
        return STATUS_USAGE;
    }
    int words;
    const command *wanted = command_find(parsed.positional_count, argv, &words);
    if (!wanted)
        return cli_usage(c, "unknown command '%s'", argv[0]);
    return run_command(c, wanted, parsed.positional_count - words, argv + words);
}

int main(int argc, char **argv) {
    if (open_standard_streams() < 0)
        return STATUS_NESTBOX;
    cli c = {0};
    int status = run(&c, argc > 0 ? argc - 1 : 0, argv + (argc > 0));
    if (c.runtime)
        nb_runtime_close(c.runtime);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == STATUS_OK) {
        nb_error err = {0};
        (void) nb_fail(&err, NB_E_STORAGE, errno, "write standard output");
        status = cli_fail(&c, &err);
    }
    return status;
}
