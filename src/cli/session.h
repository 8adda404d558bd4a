/* SPDX-License-Identifier: Apache-2.0
 *
 * session.h - connects this program's streams, terminal and signals with a process in a box, until it ends
 *
 * Signals are passed on, one that signals.h noted before among them. A second SIGINT, whenever it comes, kills the process with all that came from it, and a third leaves without
 * waiting for its end: Ctrl-C twice gets out of anything. On a raw terminal Ctrl-C is a byte for the process instead.
 */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include "cli/detach-keys.h"

#include <nestbox/nestbox.h>

typedef struct session_options {
    bool feed_stdin;           /* read stdin for the process; otherwise it is never touched */
    bool tty;                  /* the process has a terminal: raw mode while stdin is fed, and the window's size is passed on */
    const detach_keys *detach; /* leave the process running, where it has a terminal and stdin is fed; borrowed */
} session_options;

typedef enum session_end {
    SESSION_EXITED,   /* the status is that of the process, or 124 after its timeout */
    SESSION_DETACHED, /* it runs on; status 0 */
    SESSION_CLOSED,   /* nobody reads our output any more; it was killed; status 141, as if we had died of SIGPIPE */
    SESSION_LEFT,     /* it was killed, and no end of it was seen in time; status 130 or 141 */
} session_end;

typedef struct session_result {
    session_end end;
    int status;
} session_result;

/* -t's condition: stdin is a terminal. -NB_E_INVALID: "the input device is not a TTY". */
int session_check_terminal(nb_error *err);

/* Pumps until the end. Terminal and signals are as before when it returns, whatever it returns.
 *
 * Errors: those of nb_exec_next(); -NB_E_STORAGE when a stream of ours cannot be read or written: then the process was killed. */
int session_run(nb_exec *exec, const session_options *options, session_result *ret_result, nb_error *err);

#endif
