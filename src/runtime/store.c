/* SPDX-License-Identifier: Apache-2.0
 *
 * store.c - the database of a home
 *
 * SQLite in WAL mode; every write is one IMMEDIATE transaction. Programs that share a home wait for each other, at most
 * STORE_BUSY_MS. Lists are stored packed (base/strv.h), as they travel on the wire.
 *
 * Here: the connection, the schema, and the forms of statements. What the tables hold: store-box.c, store-image.c, store-volume.c.
 */
#include "runtime/store-private.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/size.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define STORE_BUSY_MS 30000
#define STORE_LOOK_NS 5000000L

/* PRAGMA user_version; grows with each change of the tables. */
#define SCHEMA_VERSION 7

/* "NESTBOX1": PRAGMA application_id, so that another program's database is not taken for ours. */
#define APPLICATION_ID 0x4e455342

#define BLOBS_TABLE                                                                                                     \
    "CREATE TABLE image_blobs (image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE, digest TEXT NOT NULL, " \
    "PRIMARY KEY (image_id, digest)) STRICT;"

/* What version 4 knows of images beyond version 3; used_at_ms is when somebody last wanted the image. */
static const char image_columns_of_4[] = "ALTER TABLE images ADD COLUMN exposed_ports BLOB;"
                                         "ALTER TABLE images ADD COLUMN volumes BLOB;"
                                         "ALTER TABLE images ADD COLUMN shell BLOB;"
                                         "ALTER TABLE images ADD COLUMN health_test BLOB;"
                                         "ALTER TABLE images ADD COLUMN health_interval_ns INTEGER NOT NULL DEFAULT 0;"
                                         "ALTER TABLE images ADD COLUMN health_timeout_ns INTEGER NOT NULL DEFAULT 0;"
                                         "ALTER TABLE images ADD COLUMN health_start_period_ns INTEGER NOT NULL DEFAULT 0;"
                                         "ALTER TABLE images ADD COLUMN health_retries INTEGER NOT NULL DEFAULT 0;"
                                         "ALTER TABLE images ADD COLUMN used_at_ms INTEGER NOT NULL DEFAULT 0;"
                                         "UPDATE images SET used_at_ms = created_at_ms;";

/* A volume is a folder of its name; which boxes mount it is known by itself, so that one that is used cannot be removed. */
#define VOLUMES_TABLES                                                                                                        \
    "CREATE TABLE volumes (name TEXT PRIMARY KEY, created_at_ms INTEGER NOT NULL) STRICT;"                                    \
    "CREATE TABLE box_volumes (box_id TEXT NOT NULL REFERENCES boxes (id) ON DELETE CASCADE, volume TEXT NOT NULL REFERENCES" \
    " volumes (name), PRIMARY KEY (box_id, volume)) STRICT;"                                                                  \
    "CREATE INDEX box_volumes_by_volume ON box_volumes (volume);"

/* What version 6 knows of boxes beyond version 5. */
#define CARE_COLUMNS(BEGIN, END)                                                                                             \
    BEGIN "restart INTEGER NOT NULL DEFAULT 0" END BEGIN "restart_retries INTEGER NOT NULL DEFAULT 0" END BEGIN              \
          "auto_stop_ms INTEGER NOT NULL DEFAULT 0" END BEGIN "max_lifetime_ms INTEGER NOT NULL DEFAULT 0" END BEGIN         \
          "auto_delete_ms INTEGER NOT NULL DEFAULT 0" END BEGIN "health_command BLOB" END BEGIN                              \
          "health_interval_ms INTEGER NOT NULL DEFAULT 0" END BEGIN "health_timeout_ms INTEGER NOT NULL DEFAULT 0" END BEGIN \
          "health_start_period_ms INTEGER NOT NULL DEFAULT 0" END BEGIN "health_retries INTEGER NOT NULL DEFAULT 0" END

/* What version 7 knows of boxes beyond version 6. */
#define LIMITS_COLUMNS(BEGIN, END)                                                                                     \
    BEGIN "cpu_millis INTEGER NOT NULL DEFAULT 0" END BEGIN "io_bytes_per_second INTEGER NOT NULL DEFAULT 0" END BEGIN \
          "io_operations_per_second INTEGER NOT NULL DEFAULT 0" END

static const char schema[] =
    "CREATE TABLE images (id TEXT PRIMARY KEY, created_at_ms INTEGER NOT NULL, size_bytes INTEGER NOT NULL, disk_bytes INTEGER NOT NULL,"
    " entrypoint BLOB, command BLOB, env BLOB, labels BLOB, cwd TEXT NOT NULL, user TEXT NOT NULL, stop_signal TEXT NOT NULL,"
    " architecture TEXT NOT NULL, os TEXT NOT NULL, exposed_ports BLOB, volumes BLOB, shell BLOB, health_test BLOB,"
    " health_interval_ns INTEGER NOT NULL DEFAULT 0, health_timeout_ns INTEGER NOT NULL DEFAULT 0,"
    " health_start_period_ns INTEGER NOT NULL DEFAULT 0, health_retries INTEGER NOT NULL DEFAULT 0,"
    " used_at_ms INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE TABLE image_names (name TEXT PRIMARY KEY, image_id TEXT NOT NULL REFERENCES images (id), source TEXT NOT NULL) STRICT;"
    "CREATE INDEX image_names_by_image ON image_names (image_id);"
    "CREATE TABLE boxes (id TEXT PRIMARY KEY, name TEXT UNIQUE, image TEXT NOT NULL, image_id TEXT NOT NULL REFERENCES images (id),"
    " created_at_ms INTEGER NOT NULL, argv BLOB, env BLOB, labels BLOB, cwd TEXT NOT NULL, user TEXT NOT NULL, hostname TEXT NOT NULL,"
    " memory_bytes INTEGER NOT NULL, disk_bytes INTEGER NOT NULL, cpus INTEGER NOT NULL, pids_max INTEGER NOT NULL,"
    " stop_signal INTEGER NOT NULL, stop_timeout_ms INTEGER NOT NULL, boot_timeout_ms INTEGER NOT NULL, tty INTEGER NOT NULL,"
    " open_stdin INTEGER NOT NULL, detach INTEGER NOT NULL, auto_remove INTEGER NOT NULL, init INTEGER NOT NULL, keep INTEGER NOT NULL,"
    " cap_add BLOB, cap_drop BLOB, ulimits BLOB, no_new_privileges INTEGER NOT NULL, timeout_ms INTEGER NOT NULL, mounts BLOB" CARE_COLUMNS(
        ", ", "") LIMITS_COLUMNS(", ", "") ") STRICT;"
                                           "CREATE INDEX boxes_by_image ON boxes (image_id);" BLOBS_TABLE VOLUMES_TABLES;

/* What made each older schema into the next; the first of them is that of version 2. */
static const char *const migrations[] = {BLOBS_TABLE, image_columns_of_4, "ALTER TABLE boxes ADD COLUMN mounts BLOB;" VOLUMES_TABLES,
                                         CARE_COLUMNS("ALTER TABLE boxes ADD COLUMN ", ";"),
                                         LIMITS_COLUMNS("ALTER TABLE boxes ADD COLUMN ", ";")};
#define SCHEMA_OLDEST 2
static_assert(SCHEMA_OLDEST + sizeof(migrations) / sizeof(migrations[0]) == SCHEMA_VERSION, "a way from each schema to the next");

void store_cleanup_statement(sqlite3_stmt **statement) {
    (void) sqlite3_finalize(*statement);
}

int store_fail(store *s, nb_error *err, const char *what) {
    int code = sqlite3_errcode(s->db);
    if (code == SQLITE_NOMEM)
        return nb_fail_oom(err);
    if (code == SQLITE_FULL || code == SQLITE_IOERR)
        return nb_fail_hint(err, nb_fail(err, NB_E_STORAGE, sqlite3_system_errno(s->db), "%s: %s", what, sqlite3_errmsg(s->db)),
                            "make room on the home's file system");
    return nb_fail(err, NB_E_DATABASE, 0, "%s: %s", what, sqlite3_errmsg(s->db));
}

static int execute(store *s, const char *sql, nb_error *err) {
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_fail(s, err, "write the state database");
}

int store_prepare(store *s, const char *sql, sqlite3_stmt **ret_statement, nb_error *err) {
    return sqlite3_prepare_v2(s->db, sql, -1, ret_statement, NULL) == SQLITE_OK ? 0 : store_fail(s, err, "read the state database");
}

void store_bind_text(sqlite3_stmt *statement, int at, const char *text) {
    (void) sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
}

void store_bind_list(sqlite3_stmt *statement, int at, strv list) {
    (void) sqlite3_bind_blob64(statement, at, list.at ? list.at : "", list.bytes, SQLITE_STATIC);
}

const char *store_column_text(sqlite3_stmt *statement, int at, arena *a) {
    return arena_string(a, (const char *) sqlite3_column_text(statement, at));
}

strv store_column_list(sqlite3_stmt *statement, int at, arena *a) {
    const void *bytes = sqlite3_column_blob(statement, at);
    size_t length = (size_t) sqlite3_column_bytes(statement, at);
    strv list = arena_list(a, (strv){bytes, length});
    return strv_is_valid(list) ? list : (strv){"", 0};
}

uint64_t store_column_u64(sqlite3_stmt *statement, int at) {
    return (uint64_t) sqlite3_column_int64(statement, at);
}

int store_in_transaction(store *s, int (*change)(store *s, void *user, nb_error *err), void *user, nb_error *err) {
    (void) pthread_mutex_lock(&s->mutex);
    int result = execute(s, "BEGIN IMMEDIATE", err);
    if (result == 0) {
        result = change(s, user, err);
        if (result == 0)
            result = execute(s, "COMMIT", err);
        if (result < 0)
            (void) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    }
    (void) pthread_mutex_unlock(&s->mutex);
    return result;
}

/* ------------------------------------------------------------------------------------------------------------ opening */

static int read_pragma(store *s, const char *sql, int *ret_value, nb_error *err) {
    CLEANUP(store_cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = store_prepare(s, sql, &statement, err);
    if (result < 0)
        return result;
    if (sqlite3_step(statement) != SQLITE_ROW)
        return store_fail(s, err, "read the state database");
    *ret_value = sqlite3_column_int(statement, 0);
    return 0;
}

static int migrate(store *s, int version, nb_error *err) {
    char number[64];
    for (; version < SCHEMA_VERSION; version++) {
        int result = execute(s, migrations[version - SCHEMA_OLDEST], err);
        if (result < 0)
            return result;
    }
    (void) snprintf(number, sizeof(number), "PRAGMA user_version = %d", SCHEMA_VERSION);
    return execute(s, number, err);
}

static int make_tables(store *s, nb_error *err) {
    char numbers[128];
    (void) snprintf(numbers, sizeof(numbers), "PRAGMA application_id = %d; PRAGMA user_version = %d;", APPLICATION_ID, SCHEMA_VERSION);
    int result = execute(s, schema, err);
    return result < 0 ? result : execute(s, numbers, err);
}

/* Under a write lock, so that of two programs one makes the tables. */
static int check_schema(store *s, nb_error *err) {
    int version = 0, application = 0, tables = 0;
    int result = execute(s, "BEGIN IMMEDIATE", err);
    if (result < 0)
        return result;
    result = read_pragma(s, "PRAGMA user_version", &version, err);
    if (result == 0)
        result = read_pragma(s, "PRAGMA application_id", &application, err);
    if (result == 0)
        result = read_pragma(s, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (result == 0 && tables == 0)
        result = make_tables(s, err);
    else if (result == 0 && application != APPLICATION_ID)
        result = nb_fail(err, NB_E_DATABASE, 0, "the file is a database of another program");
    else if (result == 0 && version > SCHEMA_VERSION)
        result = nb_fail_hint(err,
                              nb_fail(err, NB_E_DATABASE, 0, "the home was written by a newer Nestbox (schema %d, this one knows %d)",
                                      version, SCHEMA_VERSION),
                              "use that version, or another home");
    else if (result == 0 && version >= SCHEMA_OLDEST)
        result = version < SCHEMA_VERSION ? migrate(s, version, err) : 0;
    else if (result == 0)
        result = nb_fail(err, NB_E_DATABASE, 0, "the schema %d was never released", version);
    if (sqlite3_exec(s->db, result == 0 ? "COMMIT" : "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK && result == 0)
        result = store_fail(s, err, "write the state database");
    return result;
}

/* The switch to WAL does not ask the busy handler: programs that open a new home at once have to wait for each other by themselves. */
static int use_wal(store *s, nb_error *err) {
    deadline until = deadline_in(STORE_BUSY_MS);
    for (;;) {
        int code = sqlite3_exec(s->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
        if (code == SQLITE_OK)
            return 0;
        if (code != SQLITE_BUSY || deadline_passed(until))
            return store_fail(s, err, "write the state database");
        (void) nanosleep(&(struct timespec){.tv_nsec = STORE_LOOK_NS}, NULL);
    }
}

int store_open(const char *path, store **ret_store, nb_error *err) {
    store *s = calloc(1, sizeof(*s));
    if (!s)
        return nb_fail_oom(err);
    (void) pthread_mutex_init(&s->mutex, NULL);
    int result = 0;
    /* Made by us first, because SQLite would make it as readable as the embedder's umask allows; its other files take after it. And not
     * by open(): closing a descriptor of the file would drop the locks of this process's other connections to it, fcntl(2). */
    if (mknod(path, S_IFREG | 0600, 0) < 0 && errno != EEXIST)
        result = nb_fail(err, nb_code_of_errno(errno), errno, "make the file");
    else if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        result = s->db ? store_fail(s, err, "open") : nb_fail_oom(err);
    if (result == 0) {
        (void) sqlite3_extended_result_codes(s->db, 0);
        (void) sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
        result = use_wal(s, err);
    }
    if (result == 0)
        result = execute(s, "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;", err);
    if (result == 0)
        result = check_schema(s, err);
    if (result < 0) {
        store_close(s);
        return nb_fail_within(err, result, "state database '%s'", path);
    }
    *ret_store = s;
    return 0;
}

int store_check(store *s, nb_error *err) {
    CLEANUP(store_cleanup_statement) sqlite3_stmt *statement = NULL;
    (void) pthread_mutex_lock(&s->mutex);
    int result = store_prepare(s, "PRAGMA quick_check(1)", &statement, err);
    if (result == 0 && sqlite3_step(statement) != SQLITE_ROW)
        result = store_fail(s, err, "read the state database");
    const char *found = result == 0 ? (const char *) sqlite3_column_text(statement, 0) : "";
    if (result == 0 && (!found || strcmp(found, "ok") != 0))
        result = nb_fail(err, NB_E_DATABASE, 0, "the state database is damaged: %s", found ? found : "");
    (void) pthread_mutex_unlock(&s->mutex);
    return result;
}

void store_close(store *s) {
    if (!s)
        return;
    (void) sqlite3_close(s->db);
    (void) pthread_mutex_destroy(&s->mutex);
    free(s);
}

static void add_row(store_rows *list, sqlite3_stmt *row) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 16;
        char *items = arena_alloc(list->a, capacity * list->item_bytes);
        if (!items)
            return;
        if (list->count > 0)
            memcpy(items, list->items, list->count * list->item_bytes);
        list->items = items;
        list->capacity = capacity;
    }
    list->read(row, list->a, list->items + list->count++ * list->item_bytes);
}

int store_query(store *s, const char *sql, const char *key, store_rows *list, nb_error *err) {
    CLEANUP(store_cleanup_statement) sqlite3_stmt *statement = NULL;
    (void) pthread_mutex_lock(&s->mutex);
    int result = store_prepare(s, sql, &statement, err);
    if (result == 0 && key)
        store_bind_text(statement, 1, key);
    int step = SQLITE_DONE;
    while (result == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW)
        add_row(list, statement);
    if (step != SQLITE_DONE)
        result = store_fail(s, err, "read the state database");
    (void) pthread_mutex_unlock(&s->mutex);
    return result == 0 && list->a->failed ? nb_fail_oom(err) : result;
}

int store_run(store *s, const char *sql, const char *text, nb_error *err) {
    CLEANUP(store_cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = store_prepare(s, sql, &statement, err);
    if (result < 0)
        return result;
    if (text)
        store_bind_text(statement, 1, text);
    return sqlite3_step(statement) == SQLITE_DONE ? 0 : store_fail(s, err, "write the state database");
}

int store_query_number(store *s, const char *sql, const char *text, int64_t *ret_number, nb_error *err) {
    CLEANUP(store_cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = store_prepare(s, sql, &statement, err);
    if (result < 0)
        return result;
    if (text)
        store_bind_text(statement, 1, text);
    if (sqlite3_step(statement) != SQLITE_ROW)
        return store_fail(s, err, "read the state database");
    *ret_number = sqlite3_column_int64(statement, 0);
    return 0;
}

int store_count(store *s, size_t *ret_boxes, size_t *ret_images, nb_error *err) {
    int64_t boxes = 0, images = 0;
    (void) pthread_mutex_lock(&s->mutex);
    int result = store_query_number(s, "SELECT count(*) FROM boxes", NULL, &boxes, err);
    if (result == 0)
        result = store_query_number(s, "SELECT count(*) FROM images", NULL, &images, err);
    (void) pthread_mutex_unlock(&s->mutex);
    if (result == 0) {
        *ret_boxes = (size_t) boxes;
        *ret_images = (size_t) images;
    }
    return result;
}
