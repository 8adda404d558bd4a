/* SPDX-License-Identifier: Apache-2.0
 *
 * signals.h - signals sent to this program: noted while a library call blocks, queued while a command in a box is attached
 *
 * In either mode the program is asked first and dies second: see session.h for what a second SIGINT does there. While only noted, the
 * second of the same kind has its default effect, so that Ctrl-C twice ends any wait.
 */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <nestbox/error.h>

#include <signal.h>
#include <stdbool.h>

/* From now on the first SIGINT, SIGTERM and SIGHUP is only noted. Program-wide, once. */
void signals_note(void);

/* The one noted last and not asked for yet, or 0. */
int signals_noted(void);

/* Whether there is one. */
bool signals_are_noted(void);

typedef struct signal_queue {
    int fd; /* polls readable when signals_next() has one; -1: nothing is taken */
    sigset_t mask_before;
    struct sigaction pipe_before;
} signal_queue;

/* Queues the signals that are passed to a command instead of letting them act here, and makes SIGPIPE an error of write(2). */
int signals_take(signal_queue *ret_queue, nb_error *err);

/* The next, or 0 when there is none. */
int signals_next(const signal_queue *q);

/* Undoes signals_take(); what is still queued is dropped. On a queue with fd -1 nothing. */
void signals_give_back(signal_queue *q);

#endif
