/* SPDX-License-Identifier: Apache-2.0
 *
 * cli.c - the global options, the open home, and the way to report what went wrong
 */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/signals.h"
#include "cli/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const opt cli_global_options[] = {
    OPT_STRING('\0', "home", cli, home, "DIR", NULL, "folder of boxes and images (default: $NESTBOX_HOME, else ~/.local/share/nestbox)"),
    OPT_CHOICE('\0', "accel", cli, accelerator, "kvm|tcg", NULL, "how machines run (default: $NESTBOX_ACCEL, else KVM where it is real)"),
    OPT_CHOICE('\0', "log-level", cli, log_level, "error|warning|info|debug", "warning", "which decisions are told on stderr"),
    OPT_FLAG('\0', "debug", cli, debug, "the same as --log-level debug"),
    OPT_FLAG('\0', "version", cli, version, "print the version"),
    OPT_UNSUPPORTED('\0', "url", "URL"),
    OPT_END,
};

/* The words of --log-level, in the order of nb_log_level. */
static const char *const log_words[] = {
    [NB_LOG_ERROR] = "error", [NB_LOG_WARNING] = "warning", [NB_LOG_INFO] = "info", [NB_LOG_DEBUG] = "debug"};

static nb_log_level wanted_log_level(const cli *c) {
    if (c->debug)
        return NB_LOG_DEBUG;
    nb_log_level level = NB_LOG_ERROR;
    while (level < NB_LOG_DEBUG && strcmp(log_words[level], c->log_level) != 0)
        level++;
    return level;
}

/* A message may carry what a guest or an image named. */
static void print_escaped(const char *text) {
    CLEANUP(cleanup_free) char *escaped = text_escape(text);
    (void) fputs(escaped ? escaped : "out of memory", stderr);
}

static void on_log_line(void *user, nb_log_level level, const char *line) {
    cli *c = user;
    progress_end(&c->progress);
    (void) fprintf(stderr, "nestbox: %s: ", level >= NB_LOG_ERROR && level <= NB_LOG_DEBUG ? log_words[level] : "log");
    print_escaped(line);
    (void) fputc('\n', stderr);
}

/* Whoever has noted a signal instead of dying of it is not kept waiting by what takes long. */
static int on_progress(void *user, const nb_progress *news) {
    cli *c = user;
    progress_show(&c->progress, news);
    return signals_are_noted();
}

nb_runtime_options cli_runtime_options(cli *c) {
    nb_runtime_options options = NB_RUNTIME_OPTIONS_INIT;
    options.home = c->home;
    options.accelerator = c->accelerator;
    options.log = on_log_line;
    options.log_user = c;
    options.log_level = wanted_log_level(c);
    options.progress = on_progress;
    options.progress_user = c;
    return options;
}

int cli_open(cli *c, nb_error *err) {
    const char *url = getenv("NESTBOX_URL");
    if (url && *url)
        return nb_fail_hint(err, nb_fail(err, NB_E_UNSUPPORTED, 0, "NESTBOX_URL '%s': not supported yet", url),
                            "unset it to use this machine");
    c->progress.on_terminal = isatty(STDERR_FILENO);
    nb_runtime_options options = cli_runtime_options(c);
    return nb_runtime_open(&options, &c->runtime, err);
}

static void print_error(cli *c, const nb_error *err) {
    progress_end(&c->progress);
    (void) fflush(stdout); /* what was done before it failed stands before the error */
    if (c->command)
        (void) fprintf(stderr, "nestbox: %s: ", c->command->name);
    else
        (void) fputs("nestbox: ", stderr);
    print_escaped(*err->message ? err->message : nb_error_text(err->code));
    if (*err->hint) {
        (void) fputs("\nhint: ", stderr);
        print_escaped(err->hint);
    }
    (void) fputc('\n', stderr);
}

int cli_fail(cli *c, const nb_error *err) {
    print_error(c, err);
    if (!c->own_status)
        return STATUS_FAILED;
    switch (err->code) {
    case NB_E_COMMAND_NOT_FOUND:
        return STATUS_NOT_FOUND;
    case NB_E_COMMAND_REFUSED:
        return STATUS_REFUSED;
    default: /* an open set: the library adds codes */
        return STATUS_NESTBOX;
    }
}

static int wrong_usage(cli *c, nb_error *err) {
    if (!*err->hint && c->command)
        (void) nb_fail_hint(err, 0, "nestbox %s --help", c->command->name);
    else if (!*err->hint)
        (void) nb_fail_hint(err, 0, "nestbox help");
    print_error(c, err);
    return c->own_status ? STATUS_NESTBOX : STATUS_USAGE;
}

int cli_usage(cli *c, const char *format, ...) {
    nb_error err = {.code = NB_E_INVALID};
    va_list arguments;
    va_start(arguments, format);
    (void) vsnprintf(err.message, sizeof(err.message), format, arguments);
    va_end(arguments);
    return wrong_usage(c, &err);
}

int cli_each(cli *c, int argc, char **argv, int (*one)(cli *c, const char *name, void *args, nb_error *err), void *args, bool print) {
    int status = STATUS_OK;
    for (int i = 0; i < argc; i++) {
        nb_error err = {0};
        if (one(c, argv[i], args, &err) < 0)
            status = cli_fail(c, &err);
        else if (print)
            (void) printf("%s\n", argv[i]);
    }
    return status;
}
