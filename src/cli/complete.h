/* SPDX-License-Identifier: Apache-2.0
 *
 * complete.h - what may stand next on a command line
 */
#ifndef CLI_COMPLETE_H
#define CLI_COMPLETE_H

#include "cli/cli.h"

/* Prints a line for each word that the last of @argv may become. Nothing where that is for the shell to know: files, or what somebody makes up.
 *
 * @argv  the words behind the program's name; the last one is being typed, and may be "" */
void complete_print(cli *c, int argc, char **argv);

#endif
