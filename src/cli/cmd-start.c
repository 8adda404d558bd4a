/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-start.c - nestbox start: run boxes that were made before, or have stopped
 */
#include "base/cleanup.h"
#include "cli/attach.h"
#include "cli/cli.h"
#include "cli/signals.h"

struct start_args {
    bool attach, interactive, standby;
    const char *detach_keys;
};

static const opt start_opts[] = {
    OPT_FLAG('a', "attach", struct start_args, attach, "stay attached to the command until it ends"),
    OPT_FLAG('i', "interactive", struct start_args, interactive, "and feed its stdin, if the box was made with -i; implies -a"),
    OPT_FLAG('\0', "standby", struct start_args, standby,
             "take machines that wait, where nestbox standby keeps some and the boxes have not run yet"),
    DETACH_KEYS_OPTION(struct start_args),
    OPT_END,
};

static int start_one(cli *c, const char *name, void *command_args, nb_error *err) {
    const struct start_args *args = command_args;
    CLEANUP(cleanup_box) nb_box *box = NULL;
    nb_start_options options = NB_START_OPTIONS_INIT;
    options.standby = args->standby;
    options.detach = true; /* however it was made: this program ends at once */
    int r = nb_box_open(c->runtime, name, &box, err);
    return r < 0 ? r : nb_box_start(box, &options, NULL, err);
}

static int start_attached(cli *c, const struct start_args *args, const char *name) {
    CLEANUP(cleanup_box) nb_box *box = NULL;
    CLEANUP(cleanup_box_info) nb_box_info *info = NULL;
    detach_keys keys;
    nb_error err = {0};
    if (detach_keys_parse(args->detach_keys, &keys, &err) < 0)
        return cli_usage(c, "%s", err.message);
    int r = nb_box_open(c->runtime, name, &box, &err);
    if (r == 0)
        r = nb_box_inspect(box, &info, &err);
    if (r < 0)
        return cli_fail(c, &err);
    if (info->tty && args->interactive && session_check_terminal(&err) < 0)
        return cli_usage(c, "%s", err.message);
    bool feeds = args->interactive && info->open_stdin;
    const session_options options = {.feed_stdin = feeds, .tty = info->tty, .detach = &keys};
    session_result result = {SESSION_EXITED, STATUS_OK};
    nb_start_options how = NB_START_OPTIONS_INIT;
    how.standby = args->standby;
    signals_note();
    r = attach_main(box, &how, &options, NULL, &result, &err);
    int status = r < 0 ? cli_fail(c, &err) : result.status;
    if (info->auto_remove && !(r == 0 && result.end == SESSION_DETACHED))
        (void) nb_box_remove(box, true, NULL); /* the box does it by itself; this only makes it sure */
    return status;
}

static int start_run(cli *c, void *command_args, int argc, char **argv) {
    struct start_args *args = command_args;
    nb_error err = {0};
    bool attach = args->attach || args->interactive;
    if (attach && argc > 1)
        return cli_usage(c, "--attach takes one box, not %d", argc);
    if (cli_open(c, &err) < 0)
        return cli_fail(c, &err);
    return attach ? start_attached(c, args, argv[0]) : cli_each(c, argc, argv, start_one, args, true);
}

static bool when_attached(const void *command_args) {
    const struct start_args *args = command_args;
    return args->attach || args->interactive;
}

const command command_start = {
    .name = "start",
    .group = GROUP_RUN,
    .usage = "[OPTIONS] BOX...",
    .summary = "Start boxes that were made before or have stopped",
    .details = "Prints the name of each box that was started. With -a the output is the command's and so is the exit\n"
               "status, as with nestbox run; Ctrl-P Ctrl-Q detaches from a box with a terminal and leaves it running.",
    .example = "nestbox start -a -i web",
    .opts = start_opts,
    .args_size = sizeof(struct start_args),
    .min_args = 1,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_ANYWHERE,
    .gives_own_status = when_attached,
    .run = start_run,
};
