/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-exec.c - nestbox exec: run one more command in a running box
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/strv.h"
#include "cli/cli.h"
#include "cli/environment.h"
#include "cli/session.h"
#include "cli/terminal.h"

#include <stdio.h>
#include <unistd.h>

struct exec_args {
    bool detach, interactive, tty;
    opt_list environment, environment_files;
    const char *working_directory, *user, *detach_keys;
    int64_t timeout_ms;
};

static const opt exec_opts[] = {
    OPT_FLAG('d', "detach", struct exec_args, detach, "print the exec's id and leave it running"),
    OPT_FLAG('i', "interactive", struct exec_args, interactive, "the command's stdin is ours; otherwise it is /dev/null"),
    OPT_FLAG('t', "tty", struct exec_args, tty, "give the command a terminal"),
    OPT_LIST('e', "env", struct exec_args, environment, "NAME[=VALUE]", "set a variable, or pass ours on"),
    OPT_LIST('\0', "env-file", struct exec_args, environment_files, "FILE", "read variables from a file, one in a line"),
    OPT_STRING('w', "workdir", struct exec_args, working_directory, "DIR", NULL, "working directory (default: the box's)"),
    OPT_STRING('u', "user", struct exec_args, user, "USER[:GROUP]", NULL, "user of the command (default: the box's)"),
    OPT_DURATION('\0', "timeout", struct exec_args, timeout_ms, 1, INT64_MAX, NULL, "then TERM, 2 s later KILL, and status 124"),
    DETACH_KEYS_OPTION(struct exec_args),
    OPT_END,
};

static int start(nb_box *box, const struct exec_args *args, nb_strings words, nb_exec **ret_exec, nb_error *err) {
    CLEANUP(buf_done) buf environment;
    CLEANUP(cleanup_free) char **variables = NULL;
    nb_exec_options options = NB_EXEC_OPTIONS_INIT;
    buf_init(&environment, ENVIRONMENT_MAX_BYTES);
    int r = environment_collect(args->environment_files.items, args->environment_files.count, args->environment.items,
                                args->environment.count, &environment, err);
    if (r < 0)
        return r;
    variables = strv_pointers(strv_of(&environment));
    if (!variables)
        return nb_fail_oom(err);
    options.command = words;
    options.environment = (nb_strings){(const char *const *) variables, strv_count(strv_of(&environment))};
    options.working_directory = args->working_directory;
    options.user = args->user;
    options.tty = args->tty;
    options.open_stdin = args->interactive && !args->detach;
    options.detach = args->detach;
    options.timeout_ms = args->timeout_ms > 0 ? (uint64_t) args->timeout_ms : 0;
    if (args->tty)
        (void) terminal_size(STDIN_FILENO, &options.columns, &options.rows); /* without one: the library's default */
    return nb_exec_start(box, &options, ret_exec, err);
}

static int exec_run(cli *c, void *command_args, int argc, char **argv) {
    const struct exec_args *args = command_args;
    CLEANUP(cleanup_box) nb_box *box = NULL;
    CLEANUP(cleanup_exec) nb_exec *exec = NULL;
    detach_keys keys;
    nb_error err = {0};
    if (detach_keys_parse(args->detach_keys, &keys, &err) < 0)
        return cli_usage(c, "%s", err.message);
    if (args->tty && !args->detach && session_check_terminal(&err) < 0)
        return cli_usage(c, "%s", err.message);
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_box_open(c->runtime, argv[0], &box, &err);
    if (r == 0)
        r = start(box, args, (nb_strings){(const char *const *) argv + 1, (size_t) argc - 1}, &exec, &err);
    if (r < 0)
        return cli_fail(c, &err);
    if (args->detach)
        return printf("%s\n", nb_exec_id(exec)) < 0 ? STATUS_NESTBOX : STATUS_OK;
    const session_options options = {.feed_stdin = args->interactive, .tty = args->tty, .detach = &keys};
    session_result result = {SESSION_EXITED, STATUS_OK};
    r = session_run(exec, &options, &result, &err);
    if (r == 0 && result.end == SESSION_DETACHED)
        r = nb_exec_detach(exec, &err); /* or it would be hung up on when we go */
    return r < 0 ? cli_fail(c, &err) : result.status;
}

static bool always(const void *args) {
    return true;
}

const command command_exec = {
    .name = "exec",
    .group = GROUP_RUN,
    .usage = "[OPTIONS] BOX COMMAND [ARG...]",
    .summary = "Run a command in a running box",
    .details = "Options stand before BOX; what follows it belongs to the command. The exit status is the command's:\n"
               "128+N when signal N ended it, 127 when it was not found, 126 when it could not be executed, 124 after\n"
               "--timeout, 125 when Nestbox itself failed. With -i -t, Ctrl-P Ctrl-Q detaches and leaves it running.\n"
               "With -d its stdin is /dev/null, and nestbox inspect BOX tells how it ended.",
    .example = "nestbox exec -it web sh",
    .opts = exec_opts,
    .args_size = sizeof(struct exec_args),
    .min_args = 2,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_FIRST_ONLY,
    .gives_own_status = always,
    .run = exec_run,
};
