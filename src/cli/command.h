/* SPDX-License-Identifier: Apache-2.0
 *
 * command.h - what a command is, and the list of them
 *
 * A command is one file cmd-<name>.c, which holds its option table, its argument struct and its run function, and exports nothing
 * but the entry named here.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "cli/option.h"

#include <limits.h>

struct cli;

typedef enum command_group { GROUP_RUN, GROUP_BOX, GROUP_IMAGE, GROUP_VOLUME, GROUP_TEMPLATE, GROUP_OTHER, GROUP_COUNT } command_group;

#define COMMAND_ARGS_ANY UINT_MAX

typedef struct command {
    const char *name;  /* "run"; two words where it belongs to a family: "image inspect" */
    const char *alias; /* another name, or NULL */
    command_group group;
    const char *usage;   /* after the name: "[OPTIONS] IMAGE [COMMAND ARG...]" */
    const char *summary; /* one line for the list of commands */
    const char *details; /* paragraphs for --help, or NULL */
    const char *example; /* one command line that works as it stands */
    const opt *opts;
    size_t args_size; /* of the struct that opts fill; 0: none */
    unsigned min_args, max_args;
    opt_order order;
    /* Whether the exit status is that of a command in a box, so that Nestbox's own failures are 125 (docs/cli-status.md). NULL: never.
     * @args may be filled in part only, where an option was wrong. */
    bool (*gives_own_status)(const void *args);
    /* Does it and returns the exit status; what failed has been reported. @argv holds the @argc positional arguments. */
    int (*run)(struct cli *cli, void *args, int argc, char **argv);
} command;

/* All of them, NULL at the end, in the order of the list that `nestbox help` prints. */
extern const command *const commands[];

/* The command that the words at @argv name.
 *
 * @ret_words  how many words its name takes; 0 with NULL, where there is none */
const command *command_find(int argc, char **argv, int *ret_words);

extern const command command_attach, command_commit, command_completion, command_cp, command_create, command_doctor, command_events,
    command_exec, command_help, command_image_inspect, command_images, command_import, command_image_prune, command_info, command_inspect,
    command_kill, command_load, command_login, command_logout, command_logs, command_ps, command_pull, command_rm, command_rmi, command_run,
    command_save, command_system_df, command_tag, command_rename, command_restart, command_system_prune, command_start, command_stats,
    command_stop, command_template_build, command_template_ls, command_template_rm, command_template_verify, command_standby, command_top,
    command_update, command_version, command_volume_create, command_volume_inspect, command_volume_ls, command_volume_rm, command_wait;

#endif
