/* SPDX-License-Identifier: Apache-2.0
 *
 * man.h - manual pages, printed from the same tables that --help is printed from
 */
#ifndef CLI_MAN_H
#define CLI_MAN_H

#include "cli/command.h"

#include <stdio.h>

/* nestbox-COMMAND(1), as man(7) wants it. */
void man_command(const command *c, FILE *to);

/* nestbox(1): all commands by group, the global options, exit statuses and environment. */
void man_overview(const opt *global_options, FILE *to);

#endif
