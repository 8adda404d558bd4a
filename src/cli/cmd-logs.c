/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-logs.c - nestbox logs: what a box has written
 *
 * -n needs to know how many lines there are: the log is read twice, first to count, then to print, so that nothing of it is kept in
 * memory. What is added between the two readings is printed as well.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/quantity.h"
#include "cli/cli.h"
#include "cli/when.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct logs_args {
    const char *tail, *since;
    bool timestamps, console, follow;
};

static const opt logs_opts[] = {
    OPT_STRING('n', "tail", struct logs_args, tail, "N", "all", "only the last N lines"),
    OPT_STRING('\0', "since", struct logs_args, since, "TIME", NULL, "only what came since then: RFC 3339, seconds since 1970, or 10m ago"),
    OPT_FLAG('t', "timestamps", struct logs_args, timestamps, "put the time before each line"),
    OPT_FLAG('\0', "console", struct logs_args, console, "the guest kernel's console instead of the command's output"),
    OPT_FLAG('f', "follow", struct logs_args, follow, "go on with what is written until the box has stopped"),
    OPT_UNSUPPORTED('\0', "until", "TIME"),
    OPT_END,
};

enum { STREAM_OUT = 0, STREAM_ERR = 1, STREAM_COUNT = 2 };

/* One reading. stdout and stderr come mixed, and each may stop in the middle of a line while the other goes on. */
typedef struct reading {
    uint64_t since_ms;
    bool counts_only, timestamps, at_once;
    uint64_t skip;  /* lines at the start that are not printed */
    uint64_t lines; /* begun so far */
    struct {
        bool inside; /* a line has begun and not ended */
        bool shown;  /* and it is printed */
    } streams[STREAM_COUNT];
} reading;

/* 0, or -NB_E_STORAGE when the stream takes no more. */
static int print_piece(const reading *r, FILE *to, bool at_start, uint64_t at_ms, const char *bytes, size_t length) {
    if (at_start && r->timestamps) {
        char time[WHEN_TEXT_SIZE] = "-"; /* where the log does not know it */
        if (at_ms)
            when_rfc3339(at_ms, time);
        (void) fprintf(to, "%s ", time);
    }
    bool printed = fwrite(bytes, 1, length, to) == length && (!r->at_once || fflush(to) == 0);
    return printed ? 0 : -NB_E_STORAGE;
}

/* For nb_box_logs(). */
static int on_piece(void *user, int stream, uint64_t at_ms, const void *bytes, size_t length) {
    reading *r = user;
    int index = stream == STDERR_FILENO ? STREAM_ERR : STREAM_OUT;
    const char *at = bytes, *end = at + length;
    if (at_ms && at_ms < r->since_ms)
        return 0;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t) (end - at));
        size_t piece = newline ? (size_t) (newline - at) + 1 : (size_t) (end - at);
        bool at_start = !r->streams[index].inside;
        if (at_start)
            r->streams[index].shown = r->lines++ >= r->skip;
        r->streams[index].inside = !newline;
        if (!r->counts_only && r->streams[index].shown) {
            int failed = print_piece(r, index == STREAM_ERR ? stderr : stdout, at_start, at_ms, at, piece);
            if (failed)
                return failed;
        }
        at += piece;
    }
    return 0;
}

static int print_log(nb_box *box, const struct logs_args *args, uint64_t tail, uint64_t since_ms, nb_error *err) {
    nb_log_kind kind = args->console ? NB_LOG_CONSOLE : NB_LOG_MAIN;
    uint64_t skip = 0;
    if (tail != UINT64_MAX) {
        reading counting = {.since_ms = since_ms, .counts_only = true};
        int r = nb_box_logs(box, kind, on_piece, &counting, err);
        if (r < 0)
            return r;
        skip = counting.lines > tail ? counting.lines - tail : 0;
    }
    reading printing = {.since_ms = since_ms, .timestamps = args->timestamps, .at_once = args->follow, .skip = skip};
    int r = args->follow ? nb_box_logs_follow(box, on_piece, &printing, -1, err) : nb_box_logs(box, kind, on_piece, &printing, err);
    if (r == -NB_E_STORAGE && (ferror(stdout) || ferror(stderr)))
        return nb_fail(err, NB_E_STORAGE, errno, "print the log");
    return r;
}

static int logs_run(cli *c, void *command_args, int argc, char **argv) {
    const struct logs_args *args = command_args;
    CLEANUP(cleanup_box) nb_box *box = NULL;
    nb_error err = {0};
    uint64_t tail = UINT64_MAX, since_ms = 0;
    if (strcmp(args->tail, "all") != 0 && !quantity_count(args->tail, 0, UINT64_MAX - 1, &tail))
        return cli_usage(c, "--tail '%s': want a number of lines, or all", args->tail);
    if (args->since && !when_parse(args->since, clock_wall_ms(), &since_ms))
        return cli_usage(c, "--since '%s': want " WHEN_FORM, args->since);
    if (args->follow && args->console)
        return cli_usage(c, "--follow and --console exclude each other");
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_box_open(c->runtime, argv[0], &box, &err);
    if (r == 0)
        r = print_log(box, args, tail, since_ms, &err);
    return r < 0 ? cli_fail(c, &err) : STATUS_OK;
}

const command command_logs = {
    .name = "logs",
    .group = GROUP_BOX,
    .usage = "[OPTIONS] BOX",
    .summary = "Print what a box's command has written",
    .details = "Of the last start, so far, or with -f until the box has stopped; stdout goes to stdout and stderr to stderr.",
    .example = "nestbox logs -n 20 -t web",
    .opts = logs_opts,
    .args_size = sizeof(struct logs_args),
    .min_args = 1,
    .max_args = 1,
    .order = OPT_ANYWHERE,
    .run = logs_run,
};
