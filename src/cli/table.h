/* SPDX-License-Identifier: Apache-2.0
 *
 * table.h - listings in columns
 *
 * Cells are escaped (text.h) when they are added, so that nothing a guest or an image names can move the cursor.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <nestbox/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct table {
    char **cells; /* row by row, the headings first; owned */
    size_t count, capacity;
    size_t columns;
    bool out_of_memory; /* latched by table_add(), told by table_print() */
} table;

/* @headings  one string literal per column */
void table_init(table *t, const char *const *headings, size_t columns);
void table_done(table *t);

/* The next cell; a row is full after as many as there are headings. */
void table_add(table *t, const char *text);

/* Prints headings and rows, columns aligned and three blanks apart, no blanks at line ends. -NB_E_NO_MEMORY if a cell was lost: then
 * nothing is printed. */
int table_print(const table *t, FILE *to, nb_error *err);

#endif
