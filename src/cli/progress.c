/* SPDX-License-Identifier: Apache-2.0
 *
 * progress.c - tells on stderr what takes long
 */
#include "cli/progress.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/quantity.h"
#include "cli/text.h"

#include <stdio.h>

#define QUIET_AT_FIRST_MS 1000
#define TERMINAL_INTERVAL_MS 100 /* ten a second look like motion */
#define PLAIN_INTERVAL_MS 5000   /* a log is to stay readable */
#define ERASE_LINE "\r\033[K"

void progress_show(void *user, const char *what, uint64_t done_bytes, uint64_t total_bytes) {
    progress *p = user;
    uint64_t now_ms = clock_monotonic_ms();
    if (p->quiet)
        return;
    if (p->began_ms == 0)
        p->began_ms = now_ms;
    uint64_t interval_ms = p->on_terminal ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS;
    if (now_ms - p->began_ms < QUIET_AT_FIRST_MS || (p->shown_at_ms && now_ms - p->shown_at_ms < interval_ms))
        return;

    char done[QUANTITY_SIZE_TEXT_SIZE], total[QUANTITY_SIZE_TEXT_SIZE];
    CLEANUP(cleanup_free) char *words = text_escape(what);
    quantity_size_text(done_bytes, done);
    quantity_size_text(total_bytes, total);
    (void) fprintf(stderr, "%s%s", p->on_terminal ? ERASE_LINE : "", words ? words : "working");
    if (done_bytes || total_bytes)
        (void) fprintf(stderr, ": %s", done);
    if (total_bytes)
        (void) fprintf(stderr, " of %s", total);
    if (!p->on_terminal)
        (void) fputc('\n', stderr);
    (void) fflush(stderr);
    p->line_shown = p->on_terminal;
    p->shown_at_ms = now_ms;
}

void progress_end(progress *p) {
    if (p->line_shown)
        (void) fputs(ERASE_LINE, stderr);
    p->line_shown = false;
    p->began_ms = p->shown_at_ms = 0;
}
