/* SPDX-License-Identifier: Apache-2.0
 *
 * store-private.h - what the parts of the store share: a connection, and the few forms that all statements have
 */
#ifndef RUNTIME_STORE_PRIVATE_H
#define RUNTIME_STORE_PRIVATE_H

#include "runtime/store.h"

#include <pthread.h>
#include <sqlite3.h>

struct store {
    sqlite3 *db;
    pthread_mutex_t mutex; /* one user of the connection at a time, over a whole transaction */
};

void store_cleanup_statement(sqlite3_stmt **statement);

/* SQLite's last error as ours. @what was to be done. */
int store_fail(store *s, nb_error *err, const char *what);

int store_prepare(store *s, const char *sql, sqlite3_stmt **ret_statement, nb_error *err);
void store_bind_text(sqlite3_stmt *statement, int at, const char *text);
void store_bind_list(sqlite3_stmt *statement, int at, strv list);

/* Of a row; strings and lists are copied into the arena. */
const char *store_column_text(sqlite3_stmt *statement, int at, arena *a);
strv store_column_list(sqlite3_stmt *statement, int at, arena *a);
uint64_t store_column_u64(sqlite3_stmt *statement, int at);

/* What a query gives: records in the arena, one after the other. */
typedef struct store_rows {
    arena *a;
    size_t item_bytes;
    void (*read)(sqlite3_stmt *row, arena *a, void *item);
    char *items;
    size_t count, capacity;
} store_rows;

/* Adds every row of a query with at most one text bound. Takes the mutex. */
int store_query(store *s, const char *sql, const char *key, store_rows *list, nb_error *err);

/* Makes a change whole or not at all. Takes the mutex; the functions below are for within it. */
int store_in_transaction(store *s, int (*change)(store *s, void *user, nb_error *err), void *user, nb_error *err);

/* One statement with at most one text bound. */
int store_run(store *s, const char *sql, const char *text, nb_error *err);
/* The number that a query with at most one text bound gives. */
int store_query_number(store *s, const char *sql, const char *text, int64_t *ret_number, nb_error *err);

/* The image is used now. One that was used less than @grain_ms before stays as it is, which saves the write. */
int store_use_image(store *s, const char *id, uint64_t at_ms, uint64_t grain_ms, nb_error *err);

/* Of the box's mounts those that are named volumes: makes them where they are not there, and has the box use them. */
int store_use_volumes(store *s, const box_record *box, nb_error *err);

#endif
