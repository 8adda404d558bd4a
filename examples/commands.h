/* SPDX-License-Identifier: Apache-2.0
 *
 * commands.h - several commands at once in one box, for the examples of event loops: what does not depend on the loop
 *
 *     loop-libuv 'echo one; sleep 1; echo two' 'date' 'exit 3'
 *
 * Each line goes to the box's shell, as an exec of its own. What they write appears as it comes, with the command's number before it.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include <nestbox/nestbox.h>

#include <stdbool.h>

#define COMMANDS_MAX 32

typedef struct command {
    nb_exec *exec;
    int number;
    int status; /* once it has ended */
} command;

typedef struct commands {
    nb_runtime *runtime;
    nb_box *box;
    command items[COMMANDS_MAX];
    int count, running;
} commands;

/* Starts a box and, in it, a command for each argument. False: it has said why, and commands_end() is to be called. */
bool commands_start(commands *all, int argc, char **argv);

/* Prints what has come of a command; to be called when nb_exec_fd() polls readable. True: it has ended, and is not to be watched any more. */
bool command_read(commands *all, command *c);

/* Removes the box. The status of the last command that failed, else 0. */
int commands_end(commands *all);

#endif
