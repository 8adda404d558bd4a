/* SPDX-License-Identifier: Apache-2.0
 *
 * table.c - listings in columns
 */
#include "cli/table.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/size.h"
#include "cli/text.h"

#include <assert.h>
#include <stdlib.h>

#define COLUMN_GAP 3
#define CELLS_FIRST 64 /* a few boxes without growing */

void table_init(table *t, const char *const *headings, size_t columns) {
    *t = (table){.columns = columns};
    for (size_t i = 0; i < columns; i++)
        table_add(t, headings[i]);
}

void table_done(table *t) {
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (table){0};
}

static bool make_room(table *t) {
    if (t->count < t->capacity)
        return true;
    size_t wanted = t->capacity ? t->capacity : CELLS_FIRST / 2, bytes;
    if (!mul_size(wanted, 2, &wanted) || !mul_size(wanted, sizeof(char *), &bytes))
        return false;
    char **grown = realloc(t->cells, bytes);
    if (!grown)
        return false;
    t->cells = grown;
    t->capacity = wanted;
    return true;
}

void table_add(table *t, const char *text) {
    if (t->out_of_memory)
        return;
    char *cell = make_room(t) ? text_escape(text) : NULL;
    if (cell)
        t->cells[t->count++] = cell;
    else
        t->out_of_memory = true;
}

static size_t take_blanks(size_t *blanks) {
    size_t taken = *blanks;
    *blanks = 0;
    return taken;
}

int table_print(const table *t, FILE *to, nb_error *err) {
    CLEANUP(cleanup_free) size_t *widths = calloc(t->columns, sizeof(*widths));
    if (!widths || t->out_of_memory)
        return nb_fail_oom(err);
    assert(t->count % t->columns == 0);
    for (size_t i = 0; i < t->count; i++) {
        size_t width = text_width(t->cells[i]);
        if (width > widths[i % t->columns])
            widths[i % t->columns] = width;
    }
    size_t blanks = 0; /* owed before the next cell that is not empty */
    for (size_t i = 0; i < t->count; i++) {
        size_t column = i % t->columns;
        if (*t->cells[i])
            (void) fprintf(to, "%*s%s", (int) take_blanks(&blanks), "", t->cells[i]);
        blanks += widths[column] - text_width(t->cells[i]) + COLUMN_GAP;
        if (column == t->columns - 1) {
            (void) fputc('\n', to);
            blanks = 0;
        }
    }
    return 0;
}
