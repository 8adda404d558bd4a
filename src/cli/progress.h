/* SPDX-License-Identifier: Apache-2.0
 *
 * progress.h - tells on stderr what takes long
 *
 * Work of less than a second shows nothing. On a terminal one line is written again and again and removed at the end; elsewhere a
 * plain line comes every few seconds.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    bool quiet;
    bool on_terminal;     /* stderr is one */
    bool line_shown;      /* a line to be rewritten stands there */
    uint64_t began_ms;    /* monotonic; 0: nothing goes on */
    uint64_t shown_at_ms; /* monotonic; 0: nothing shown yet */
} progress;

/* For nb_runtime_options: @user is the progress. */
void progress_show(void *user, const char *what, uint64_t done_bytes, uint64_t total_bytes);

/* The work is over: removes the line, so that results and errors start in an empty one. */
void progress_end(progress *p);

#endif
