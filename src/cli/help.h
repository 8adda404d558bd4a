/* SPDX-License-Identifier: Apache-2.0
 *
 * help.h - --help, printed from the same tables that parse the options
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "cli/command.h"

#include <stdio.h>

/* Usage, details, options with their defaults, example. */
void help_command(const command *c, FILE *to);

/* All commands by group, and the global options. */
void help_overview(const opt *global_options, FILE *to);

/* "Boxes" */
const char *help_group_title(command_group group);

#endif
