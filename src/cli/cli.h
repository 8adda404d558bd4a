/* SPDX-License-Identifier: Apache-2.0
 *
 * cli.h - what every command gets: the global options, the open home, and the way to report what went wrong
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "cli/command.h"
#include "cli/progress.h"

#include <nestbox/nestbox.h>
#include <nestbox/template.h>

/* docs/cli-status.md */
enum {
    STATUS_OK = 0,
    STATUS_FAILED = 1,
    STATUS_USAGE = 2,
    STATUS_TIMED_OUT = 124,
    STATUS_NESTBOX = 125, /* of run, exec and start -a: Nestbox itself failed, or was used wrongly */
    STATUS_REFUSED = 126,
    STATUS_NOT_FOUND = 127,
    STATUS_SIGNAL = 128 /* plus its number */
};

typedef struct cli {
    const char *home, *accelerator, *log_level; /* the global options */
    bool debug, version;
    const command *command; /* NULL until it is known */
    bool own_status;        /* failures of Nestbox are 125 for this command */
    nb_runtime *runtime;    /* NULL until cli_open() */
    progress progress;
} cli;

extern const opt cli_global_options[];

/* How cli_open() opens the home. */
nb_runtime_options cli_runtime_options(cli *c);

/* Opens the home that the global options name; cli.runtime is set afterwards. Called once by each command that needs it. */
int cli_open(cli *c, nb_error *err);

/* Prints `nestbox: COMMAND: message` and the hint on stderr, and returns the exit status that the error means for this command. */
int cli_fail(cli *c, const nb_error *err);

/* The same for wrong usage, with a hint to the command's --help. */
int cli_usage(cli *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A command over several boxes or images: does @one for each, reports each that failed, prints the names of those done to stdout where
 * @print. Returns the exit status. */
int cli_each(cli *c, int argc, char **argv, int (*one)(cli *c, const char *name, void *args, nb_error *err), void *args, bool print);

/* For CLEANUP(): the library's handles and results. */
static inline void cleanup_box(nb_box **box) {
    if (*box)
        nb_box_free(*box);
}
static inline void cleanup_exec(nb_exec **exec) {
    if (*exec)
        nb_exec_free(*exec);
}
static inline void cleanup_exec_list(nb_exec_list **list) {
    nb_exec_list_free(*list);
}
static inline void cleanup_health_results(nb_health_results **results) {
    nb_health_results_free(*results);
}
static inline void cleanup_box_info(nb_box_info **info) {
    if (*info)
        nb_box_info_free(*info);
}
static inline void cleanup_box_list(nb_box_list **list) {
    if (*list)
        nb_box_list_free(*list);
}
static inline void cleanup_image(nb_image_info **image) {
    if (*image)
        nb_image_free(*image);
}
static inline void cleanup_volume(nb_volume_info **volume) {
    nb_volume_free(*volume);
}

static inline void cleanup_volume_list(nb_volume_list **list) {
    nb_volume_list_free(*list);
}

static inline void cleanup_template(nb_template_info **info) {
    nb_template_free(*info);
}

static inline void cleanup_template_list(nb_template_list **list) {
    nb_template_list_free(*list);
}

static inline void cleanup_image_list(nb_image_list **list) {
    if (*list)
        nb_image_list_free(*list);
}

#endif
