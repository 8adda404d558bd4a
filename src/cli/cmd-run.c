/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-run.c - nestbox run: create a box, start it, stay attached until its command ends
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/attach.h"
#include "cli/box-options.h"
#include "cli/signals.h"

#include <inttypes.h>
#include <stdio.h>

struct run_args {
    box_arguments box;
    bool detach, timing, standby;
    const char *detach_keys;
};

static const opt run_opts[] = {
    OPT_FLAG('d', "detach", struct run_args, detach, "print the box's id and leave it running"),
    BOX_OPTIONS(struct run_args),
    OPT_FLAG('\0', "timing", struct run_args, timing, "tell on stderr how long each step of the start took"),
    OPT_FLAG('\0', "standby", struct run_args, standby, "take a machine that waits, where nestbox standby keeps one"),
    DETACH_KEYS_OPTION(struct run_args),
    OPT_END,
};

static void print_timing(const nb_timing *timing) {
    const struct {
        const char *step;
        uint64_t us;
    } steps[] = {
        {"prepare", timing->prepare_us},     {"machine", timing->machine_us}, {"boot", timing->boot_us},
        {"container", timing->container_us}, {"command", timing->command_us}, {"total", timing->total_us},
    };
    const uint64_t us_per_ms = 1000;
    if (timing->total_us == 0) {
        (void) fputs("nestbox: run: no timing: the box was removed before it could be asked\n", stderr);
        return;
    }
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        (void) fprintf(stderr, "%-10s%7" PRIu64 ".%03" PRIu64 " ms\n", steps[i].step, steps[i].us / us_per_ms, steps[i].us % us_per_ms);
}

/* --rm, whatever happened before. The box may have removed itself. */
static int remove_box(cli *c, nb_box *box, int status) {
    nb_error err = {0};
    int r = nb_box_remove(box, true, &err);
    if (r == 0 || r == -NB_E_NOT_FOUND)
        return status;
    int failed = cli_fail(c, &err);
    return status == STATUS_OK ? failed : status;
}

static nb_start_options start_options(const struct run_args *args) {
    nb_start_options options = NB_START_OPTIONS_INIT;
    options.standby = args->standby;
    return options;
}

static int run_detached(cli *c, const struct run_args *args, nb_box *box, nb_error *err) {
    CLEANUP(cleanup_box_info) nb_box_info *info = NULL;
    const nb_start_options how = start_options(args);
    int r = nb_box_start(box, &how, NULL, err);
    if (r < 0)
        return r;
    if (printf("%s\n", nb_box_id(box)) < 0)
        return nb_fail(err, NB_E_STORAGE, 0, "print the box's id");
    if (args->timing)
        print_timing(nb_box_inspect(box, &info, NULL) == 0 ? &info->timing : &(nb_timing){0});
    return 0;
}

static int run_attached(const struct run_args *args, const detach_keys *keys, nb_box *box, session_result *ret_result, nb_error *err) {
    const session_options options = {.feed_stdin = args->box.interactive, .tty = args->box.tty, .detach = keys};
    const nb_start_options how = start_options(args);
    nb_timing timing = {0};
    int r = attach_main(box, &how, &options, args->timing ? &timing : NULL, ret_result, err);
    if (r == 0 && args->timing)
        print_timing(&timing);
    return r;
}

static int run_run(cli *c, void *command_args, int argc, char **argv) {
    const struct run_args *args = command_args;
    CLEANUP(cleanup_box) nb_box *box = NULL;
    detach_keys keys;
    nb_error err = {0};
    if (detach_keys_parse(args->detach_keys, &keys, &err) < 0 || box_check(&args->box, &err) < 0 ||
        (args->box.tty && !args->detach && session_check_terminal(&err) < 0))
        return cli_usage(c, "%s", err.message);
    signals_note();
    int r = cli_open(c, &err);
    if (r == 0)
        r = box_create(c, &args->box, args->detach, argc, argv, &box, &err);
    int interrupted = signals_noted();
    if (r < 0)
        return interrupted && err.code == NB_E_CANCELLED ? STATUS_SIGNAL + interrupted : cli_fail(c, &err);
    if (interrupted) /* nothing ran in it yet, and nothing is to */
        return remove_box(c, box, STATUS_SIGNAL + interrupted);

    session_result result = {SESSION_EXITED, STATUS_OK};
    r = args->detach ? run_detached(c, args, box, &err) : run_attached(args, &keys, box, &result, &err);
    int status = r < 0 ? cli_fail(c, &err) : result.status;
    bool runs_on = r == 0 && (args->detach || result.end == SESSION_DETACHED);
    return args->box.remove && !runs_on ? remove_box(c, box, status) : status;
}

static bool always(const void *args) {
    return true;
}

const command command_run = {
    .name = "run",
    .group = GROUP_RUN,
    .usage = "[OPTIONS] IMAGE [COMMAND ARG...]",
    .summary = "Create a box, start it, and stay attached until its command ends",
    .details = "Options stand before IMAGE; what follows it belongs to the command. The exit status is the command's:\n"
               "128+N when signal N ended it, 127 when it was not found, 126 when it could not be executed, 124 after\n"
               "--timeout, 125 when Nestbox itself failed. Signals are passed on; a second Ctrl-C kills the box.\n"
               "Without -d the box ends with this program. With -i -t, Ctrl-P Ctrl-Q detaches and leaves it running.",
    .example = "nestbox run --rm busybox echo hello",
    .opts = run_opts,
    .args_size = sizeof(struct run_args),
    .min_args = 1,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_FIRST_ONLY,
    .gives_own_status = always,
    .run = run_run,
};
