/* SPDX-License-Identifier: Apache-2.0
 *
 * progress.h - tells on stderr what takes long
 *
 * Work of less than a second shows nothing. On a terminal there is a line with a bar for each part of the work, which are written again and
 * again and removed at the end; elsewhere a plain line of the whole comes every few seconds.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <nestbox/nestbox.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As nb_progress had it last. */
typedef struct progress_part {
    char *what, *item; /* owned */
    uint64_t done_bytes, total_bytes;
} progress_part;

typedef struct progress {
    bool quiet;
    bool on_terminal; /* stderr is one */
    progress_part *parts;
    size_t count;
    progress_part whole;  /* what NULL: it was not spoken of last */
    unsigned lines_shown; /* lines to be rewritten stand there, and the cursor below them */
    uint64_t began_ms;    /* monotonic; 0: nothing goes on */
    uint64_t shown_at_ms; /* monotonic; 0: nothing shown yet */
} progress;

void progress_show(progress *p, const nb_progress *news);

/* The work is over: removes the lines, so that results and errors start in an empty one. */
void progress_end(progress *p);

#endif
