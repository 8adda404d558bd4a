/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-attach.c - nestbox attach: take the streams of a running box's command
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/session.h"

struct attach_args {
    bool no_stdin;
    const char *detach_keys;
};

static const opt attach_opts[] = {
    OPT_FLAG('\0', "no-stdin", struct attach_args, no_stdin, "do not feed its stdin"),
    DETACH_KEYS_OPTION(struct attach_args),
    OPT_END,
};

static int attach_run(cli *c, void *command_args, int argc, char **argv) {
    const struct attach_args *args = command_args;
    CLEANUP(cleanup_box) nb_box *box = NULL;
    CLEANUP(cleanup_box_info) nb_box_info *info = NULL;
    CLEANUP(cleanup_exec) nb_exec *main = NULL;
    detach_keys keys;
    nb_error err = {0};
    if (detach_keys_parse(args->detach_keys, &keys, &err) < 0)
        return cli_usage(c, "%s", err.message);
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_box_open(c->runtime, argv[0], &box, &err);
    if (r == 0)
        r = nb_box_inspect(box, &info, &err);
    if (r == 0 && info->state != NB_BOX_RUNNING)
        r = nb_fail_hint(&err, nb_fail(&err, NB_E_STOPPED, 0, "box '%s' is %s", argv[0], nb_box_state_name(info->state)),
                         "start it with nestbox start -a");
    if (r < 0)
        return cli_fail(c, &err);
    bool feeds = info->open_stdin && !args->no_stdin;
    if (info->tty && feeds && session_check_terminal(&err) < 0)
        return cli_usage(c, "%s", err.message);
    const session_options options = {.feed_stdin = feeds, .tty = info->tty, .detach = &keys};
    session_result result = {SESSION_EXITED, STATUS_OK};
    r = nb_exec_open(box, NULL, NB_EXEC_STREAMS, &main, &err);
    if (r == 0)
        r = session_run(main, &options, &result, &err);
    return r < 0 ? cli_fail(c, &err) : result.status;
}

static bool always(const void *args) {
    return true;
}

const command command_attach = {
    .name = "attach",
    .group = GROUP_RUN,
    .usage = "[OPTIONS] BOX",
    .summary = "Take the streams of a running box's command",
    .details = "What it wrote before is in nestbox logs. The exit status is the command's, signals are passed on, and with\n"
               "a terminal Ctrl-P Ctrl-Q detaches. One program at a time has the streams.",
    .example = "nestbox attach web",
    .opts = attach_opts,
    .args_size = sizeof(struct attach_args),
    .min_args = 1,
    .max_args = 1,
    .order = OPT_ANYWHERE,
    .gives_own_status = always,
    .run = attach_run,
};
