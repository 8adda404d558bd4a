/* SPDX-License-Identifier: Apache-2.0
 *
 * progress.c - tells on stderr what takes long
 */
#include "cli/progress.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/quantity.h"
#include "cli/terminal.h"
#include "cli/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUIET_AT_FIRST_MS 1000
#define TERMINAL_INTERVAL_MS 100 /* ten a second look like motion */
#define PLAIN_INTERVAL_MS 5000   /* a log is to stay readable */
#define ERASE_REST_OF_LINE "\033[K"
#define ERASE_BELOW "\033[J"

/* A terminal that does not say its size. */
#define COLUMNS_DEFAULT 80
#define ROWS_DEFAULT 24
#define LINE_SIZE 512
#define BAR_WIDTH 24u
/* As much of a digest as people compare. */
#define ITEM_WIDTH 12u
#define WHAT_WIDTH 12u

/* --------------------------------------------------------------------------------------------------------------- the parts */

static void part_done(progress_part *part) {
    free(part->what);
    free(part->item);
    *part = (progress_part){0};
}

/* False: out of memory; then it is not shown, and nothing else fails. */
static bool part_take(progress_part *part, const nb_progress *news) {
    if (!part->what || strcmp(part->what, news->what) != 0) {
        free(part->what);
        part->what = text_escape(news->what);
    }
    if (!part->item)
        part->item = text_escape(news->item);
    part->done_bytes = news->done_bytes;
    part->total_bytes = news->total_bytes;
    return part->what && part->item;
}

/* @item as parts have it, escaped. One that is not there is made behind the others, but not counted. */
static progress_part *find_part(progress *p, const char *item) {
    for (size_t i = 0; i < p->count; i++) {
        if (strcmp(p->parts[i].item, item) == 0)
            return &p->parts[i];
    }
    progress_part *more = realloc(p->parts, (p->count + 1) * sizeof(*more));
    if (!more)
        return NULL;
    p->parts = more;
    more[p->count] = (progress_part){0};
    return &more[p->count];
}

static void take(progress *p, const nb_progress *news) {
    part_done(&p->whole);
    if (!*news->item) {
        if (!part_take(&p->whole, news))
            part_done(&p->whole);
        return;
    }
    CLEANUP(cleanup_free) char *item = text_escape(news->item);
    progress_part *part = item ? find_part(p, item) : NULL;
    bool is_new = part == p->parts + p->count;
    if (part && part_take(part, news))
        p->count += is_new;
    else if (part && is_new)
        part_done(part);
}

static bool is_whole(const progress_part *part) {
    return part->total_bytes > 0 && part->done_bytes == part->total_bytes;
}

static bool is_on_its_way(const progress_part *part) {
    return part->done_bytes > 0 && !is_whole(part);
}

/* ------------------------------------------------------------------------------------------------------------------- lines */

/* "3.1 MiB of 12.0 MiB", "3.1 MiB", "". */
static void amount_text(const progress_part *part, char into[2 * QUANTITY_SIZE_TEXT_SIZE + 8]) {
    char done[QUANTITY_SIZE_TEXT_SIZE], total[QUANTITY_SIZE_TEXT_SIZE];
    quantity_size_text(part->done_bytes, done);
    quantity_size_text(part->total_bytes, total);
    (void) snprintf(into, 2 * QUANTITY_SIZE_TEXT_SIZE + 8, "%s%s%s", part->done_bytes || part->total_bytes ? done : "",
                    part->total_bytes ? " of " : "", part->total_bytes ? total : "");
}

static void part_line(const progress_part *part, char into[LINE_SIZE]) {
    char bar[BAR_WIDTH + 1] = "", amount[2 * QUANTITY_SIZE_TEXT_SIZE + 8];
    const char *colon = strchr(part->item, ':');
    unsigned filled = part->total_bytes ? (unsigned) ((double) part->done_bytes / (double) part->total_bytes * BAR_WIDTH) : 0;
    for (unsigned i = 0; part->total_bytes && i < BAR_WIDTH; i++)
        bar[i] = i < filled ? '=' : i == filled && part->done_bytes > 0 ? '>' : ' ';
    amount_text(part, amount);
    (void) snprintf(into, LINE_SIZE, "%-*.*s  %-*.*s %s%s%s %s", (int) ITEM_WIDTH, (int) ITEM_WIDTH, colon ? colon + 1 : part->item,
                    (int) WHAT_WIDTH, (int) WHAT_WIDTH, part->what, *bar ? "[" : "", bar, *bar ? "]" : "", amount);
}

static void whole_line(const progress_part *whole, char into[LINE_SIZE]) {
    char amount[2 * QUANTITY_SIZE_TEXT_SIZE + 8];
    amount_text(whole, amount);
    (void) snprintf(into, LINE_SIZE, "%.400s%s%s", whole->what, *amount ? ": " : "", amount);
}

/* All parts in one line. */
static void sum_line(const progress *p, char into[LINE_SIZE]) {
    progress_part sum = {0};
    size_t whole = 0;
    const char *what = "";
    char amount[2 * QUANTITY_SIZE_TEXT_SIZE + 8];
    for (size_t i = 0; i < p->count; i++) {
        sum.done_bytes += p->parts[i].done_bytes;
        sum.total_bytes += p->parts[i].total_bytes;
        whole += is_whole(&p->parts[i]);
        if (is_on_its_way(&p->parts[i]))
            what = p->parts[i].what;
    }
    amount_text(&sum, amount);
    (void) snprintf(into, LINE_SIZE, "%.100s%s%zu of %zu parts: %s", what, *what ? ", " : "", whole, p->count, amount);
}

/* -------------------------------------------------------------------------------------------------------------- on a terminal */

/* One that is wider than the terminal would take two lines, and be rewritten in the wrong place. */
static void print_line(progress *p, const char *line, unsigned columns) {
    CLEANUP(cleanup_free) char *fitting = text_cut(line, columns - 1);
    (void) fprintf(stderr, "%s" ERASE_REST_OF_LINE "\n", fitting ? fitting : "");
    p->lines_shown++;
}

static void move_up(progress *p) {
    if (p->lines_shown > 0)
        (void) fprintf(stderr, "\033[%uA\r", p->lines_shown);
    p->lines_shown = 0;
}

/* Where there is no room for all, only those have a line that are on their way, and what then is too much becomes one line. */
static void draw(progress *p) {
    uint16_t columns, rows;
    char line[LINE_SIZE];
    if (!terminal_size(STDERR_FILENO, &columns, &rows) || columns < 2 || rows < 4) {
        columns = COLUMNS_DEFAULT;
        rows = ROWS_DEFAULT;
    }
    unsigned room = rows - 2u, before = p->lines_shown;
    bool crowded = p->count + 1 > room;
    move_up(p);
    size_t left_out = 0;
    for (size_t i = 0; i < p->count; i++) {
        if (crowded && (!is_on_its_way(&p->parts[i]) || p->lines_shown + 2 > room)) {
            left_out++;
            continue;
        }
        part_line(&p->parts[i], line);
        print_line(p, line, columns);
    }
    if (left_out > 0) {
        sum_line(p, line);
        print_line(p, line, columns);
    }
    if (p->whole.what) {
        whole_line(&p->whole, line);
        print_line(p, line, columns);
    }
    if (p->lines_shown < before)
        (void) fputs(ERASE_BELOW, stderr);
}

/* --------------------------------------------------------------------------------------------------------------------- both */

static void print_plainly(const progress *p) {
    char line[LINE_SIZE];
    if (p->whole.what)
        whole_line(&p->whole, line);
    else
        sum_line(p, line);
    (void) fprintf(stderr, "%s\n", line);
}

void progress_show(progress *p, const nb_progress *news) {
    uint64_t now_ms = clock_monotonic_ms();
    if (p->quiet)
        return;
    if (p->began_ms == 0)
        p->began_ms = now_ms;
    take(p, news);
    uint64_t interval_ms = p->on_terminal ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS;
    if (now_ms - p->began_ms < QUIET_AT_FIRST_MS || (p->shown_at_ms && now_ms - p->shown_at_ms < interval_ms))
        return;
    if (p->on_terminal)
        draw(p);
    else
        print_plainly(p);
    (void) fflush(stderr);
    p->shown_at_ms = now_ms;
}

void progress_end(progress *p) {
    bool shown = p->lines_shown > 0;
    move_up(p);
    if (shown)
        (void) fputs(ERASE_BELOW, stderr);
    for (size_t i = 0; i < p->count; i++)
        part_done(&p->parts[i]);
    free(p->parts);
    part_done(&p->whole);
    p->parts = NULL;
    p->count = 0;
    p->began_ms = p->shown_at_ms = 0;
}
