/* SPDX-License-Identifier: Apache-2.0
 *
 * store.c - the database of a home
 *
 * SQLite in WAL mode; every write is one IMMEDIATE transaction. Programs that share a home wait for each other, at most
 * STORE_BUSY_MS. Lists are stored packed (base/strv.h), as they travel on the wire.
 */
#include "runtime/store.h"

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
#define SCHEMA_VERSION 4

/* "NESTBOX1": PRAGMA application_id, so that another program's database is not taken for ours. */
#define APPLICATION_ID 0x4e455342

/* Boxes that are made one after the other write once that their image is used: a page more in a transaction costs a tenth of making a box. */
#define USED_GRAIN_MS 60000

/* An id's prefix shorter than this is more likely a mistake than meant. */
#define IMAGE_PREFIX_MIN 4u

struct store {
    sqlite3 *db;
    pthread_mutex_t mutex; /* one user of the connection at a time, over a whole transaction */
};

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
    " cap_add BLOB, cap_drop BLOB, ulimits BLOB, no_new_privileges INTEGER NOT NULL, timeout_ms INTEGER NOT NULL) STRICT;"
    "CREATE INDEX boxes_by_image ON boxes (image_id);" BLOBS_TABLE;

/* What made each older schema into the next; the first of them is that of version 2. */
static const char *const migrations[] = {BLOBS_TABLE, image_columns_of_4};
#define SCHEMA_OLDEST 2
static_assert(SCHEMA_OLDEST + sizeof(migrations) / sizeof(migrations[0]) == SCHEMA_VERSION, "a way from each schema to the next");

static void cleanup_statement(sqlite3_stmt **statement) {
    (void) sqlite3_finalize(*statement);
}

static int fail(store *s, nb_error *err, const char *what) {
    int code = sqlite3_errcode(s->db);
    if (code == SQLITE_NOMEM)
        return nb_fail_oom(err);
    if (code == SQLITE_FULL || code == SQLITE_IOERR)
        return nb_fail_hint(err, nb_fail(err, NB_E_STORAGE, sqlite3_system_errno(s->db), "%s: %s", what, sqlite3_errmsg(s->db)),
                            "make room on the home's file system");
    return nb_fail(err, NB_E_DATABASE, 0, "%s: %s", what, sqlite3_errmsg(s->db));
}

static int execute(store *s, const char *sql, nb_error *err) {
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(s, err, "write the state database");
}

static int prepare(store *s, const char *sql, sqlite3_stmt **ret_statement, nb_error *err) {
    return sqlite3_prepare_v2(s->db, sql, -1, ret_statement, NULL) == SQLITE_OK ? 0 : fail(s, err, "read the state database");
}

static void bind_text(sqlite3_stmt *statement, int at, const char *text) {
    (void) sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
}

static void bind_list(sqlite3_stmt *statement, int at, strv list) {
    (void) sqlite3_bind_blob64(statement, at, list.at ? list.at : "", list.bytes, SQLITE_STATIC);
}

static const char *column_text(sqlite3_stmt *statement, int at, arena *a) {
    return arena_string(a, (const char *) sqlite3_column_text(statement, at));
}

static strv column_list(sqlite3_stmt *statement, int at, arena *a) {
    const void *bytes = sqlite3_column_blob(statement, at);
    size_t length = (size_t) sqlite3_column_bytes(statement, at);
    strv list = {arena_text(a, bytes, length), length};
    return strv_is_valid(list) ? list : (strv){"", 0};
}

static uint64_t column_u64(sqlite3_stmt *statement, int at) {
    return (uint64_t) sqlite3_column_int64(statement, at);
}

static int in_transaction(store *s, int (*change)(store *s, void *user, nb_error *err), void *user, nb_error *err) {
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
    CLEANUP(cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = prepare(s, sql, &statement, err);
    if (result < 0)
        return result;
    if (sqlite3_step(statement) != SQLITE_ROW)
        return fail(s, err, "read the state database");
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
        result = fail(s, err, "write the state database");
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
            return fail(s, err, "write the state database");
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
        result = s->db ? fail(s, err, "open") : nb_fail_oom(err);
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

void store_close(store *s) {
    if (!s)
        return;
    (void) sqlite3_close(s->db);
    (void) pthread_mutex_destroy(&s->mutex);
    free(s);
}

/* What a query gives: records in the arena, one after the other. */
typedef struct row_list {
    arena *a;
    size_t item_bytes;
    void (*read)(sqlite3_stmt *row, arena *a, void *item);
    char *items;
    size_t count, capacity;
} row_list;

static void add_row(row_list *list, sqlite3_stmt *row) {
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

/* Adds every row of a query with at most one text bound. */
static int query(store *s, const char *sql, const char *key, row_list *list, nb_error *err) {
    CLEANUP(cleanup_statement) sqlite3_stmt *statement = NULL;
    (void) pthread_mutex_lock(&s->mutex);
    int result = prepare(s, sql, &statement, err);
    if (result == 0 && key)
        bind_text(statement, 1, key);
    int step = SQLITE_DONE;
    while (result == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW)
        add_row(list, statement);
    if (step != SQLITE_DONE)
        result = fail(s, err, "read the state database");
    (void) pthread_mutex_unlock(&s->mutex);
    return result == 0 && list->a->failed ? nb_fail_oom(err) : result;
}

/* -------------------------------------------------------------------------------------------------------------- boxes */

#define BOX_COLUMNS                                                                                                                   \
    "id, coalesce(name, ''), image, image_id, created_at_ms, argv, env, labels, cwd, user, hostname, memory_bytes, disk_bytes, cpus," \
    " pids_max, stop_signal, stop_timeout_ms, boot_timeout_ms, tty, open_stdin, detach, auto_remove, init, keep, cap_add, cap_drop,"  \
    " ulimits, no_new_privileges, timeout_ms"

static void read_box(sqlite3_stmt *row, arena *a, void *item) {
    *(box_record *) item = (box_record){
        .id = column_text(row, 0, a),
        .name = column_text(row, 1, a),
        .image = column_text(row, 2, a),
        .image_id = column_text(row, 3, a),
        .created_at_ms = column_u64(row, 4),
        .argv = column_list(row, 5, a),
        .env = column_list(row, 6, a),
        .labels = column_list(row, 7, a),
        .cwd = column_text(row, 8, a),
        .user = column_text(row, 9, a),
        .hostname = column_text(row, 10, a),
        .memory_bytes = column_u64(row, 11),
        .disk_bytes = column_u64(row, 12),
        .cpus = (uint32_t) column_u64(row, 13),
        .pids_max = (uint32_t) column_u64(row, 14),
        .stop_signal = (uint32_t) column_u64(row, 15),
        .stop_timeout_ms = (uint32_t) column_u64(row, 16),
        .boot_timeout_ms = (uint32_t) column_u64(row, 17),
        .tty = sqlite3_column_int(row, 18),
        .open_stdin = sqlite3_column_int(row, 19),
        .detach = sqlite3_column_int(row, 20),
        .auto_remove = sqlite3_column_int(row, 21),
        .init = sqlite3_column_int(row, 22),
        .keep = sqlite3_column_int(row, 23),
        .cap_add = column_list(row, 24, a),
        .cap_drop = column_list(row, 25, a),
        .ulimits = column_list(row, 26, a),
        .no_new_privileges = sqlite3_column_int(row, 27),
        .timeout_ms = column_u64(row, 28),
    };
}

static void bind_box(sqlite3_stmt *statement, const box_record *box) {
    bind_text(statement, 1, box->id);
    if (box->name[0])
        bind_text(statement, 2, box->name);
    bind_text(statement, 3, box->image);
    bind_text(statement, 4, box->image_id);
    bind_list(statement, 6, box->argv);
    bind_list(statement, 7, box->env);
    bind_list(statement, 8, box->labels);
    bind_text(statement, 9, box->cwd);
    bind_text(statement, 10, box->user);
    bind_text(statement, 11, box->hostname);
    bind_list(statement, 25, box->cap_add);
    bind_list(statement, 26, box->cap_drop);
    bind_list(statement, 27, box->ulimits);
    const struct {
        int at;
        uint64_t value;
    } numbers[] = {
        {5, box->created_at_ms},
        {12, box->memory_bytes},
        {13, box->disk_bytes},
        {14, box->cpus},
        {15, box->pids_max},
        {16, box->stop_signal},
        {17, box->stop_timeout_ms},
        {18, box->boot_timeout_ms},
        {19, box->tty},
        {20, box->open_stdin},
        {21, box->detach},
        {22, box->auto_remove},
        {23, box->init},
        {24, box->keep},
        {28, box->no_new_privileges},
        {29, box->timeout_ms},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++)
        (void) sqlite3_bind_int64(statement, numbers[i].at, (sqlite3_int64) numbers[i].value);
}

static int fail_name(const char *name, nb_error *err) {
    return nb_fail_hint(err, nb_fail(err, NB_E_ALREADY_EXISTS, 0, "the name '%s' is taken by another box", name),
                        "choose another name, or remove that box: nestbox rm %s", name);
}

static int add_box(store *s, const box_record *box, nb_error *err) {
    CLEANUP(cleanup_statement) sqlite3_stmt *statement = NULL;
    int result =
        prepare(s,
                "INSERT INTO boxes (id, name, image, image_id, created_at_ms, argv, env, labels, cwd, user, hostname, memory_bytes,"
                " disk_bytes, cpus, pids_max, stop_signal, stop_timeout_ms, boot_timeout_ms, tty, open_stdin, detach, auto_remove,"
                " init, keep, cap_add, cap_drop, ulimits, no_new_privileges, timeout_ms)"
                " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                &statement, err);
    if (result < 0)
        return result;
    bind_box(statement, box);
    int step = sqlite3_step(statement);
    if (step == SQLITE_DONE)
        return 0;
    int extended = sqlite3_extended_errcode(s->db);
    if (extended == SQLITE_CONSTRAINT_UNIQUE)
        return fail_name(box->name, err);
    if (extended == SQLITE_CONSTRAINT_FOREIGNKEY)
        return nb_fail(err, NB_E_NOT_FOUND, 0, "the image '%s' was removed meanwhile", box->image);
    return fail(s, err, "record the box");
}

/* An image that was used less than @grain_ms before stays as it is, which saves the write. */
static int use_image(store *s, const char *id, uint64_t at_ms, uint64_t grain_ms, nb_error *err) {
    CLEANUP(cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = prepare(s, "UPDATE images SET used_at_ms = ?2 WHERE id = ?1 AND used_at_ms < ?2 - ?3", &statement, err);
    if (result < 0)
        return result;
    bind_text(statement, 1, id);
    (void) sqlite3_bind_int64(statement, 2, (sqlite3_int64) at_ms);
    (void) sqlite3_bind_int64(statement, 3, (sqlite3_int64) grain_ms);
    return sqlite3_step(statement) == SQLITE_DONE ? 0 : fail(s, err, "write the state database");
}

static int add_box_and_use(store *s, void *user, nb_error *err) {
    const box_record *box = user;
    int result = add_box(s, box, err);
    return result < 0 ? result : use_image(s, box->image_id, box->created_at_ms, USED_GRAIN_MS, err);
}

int store_add_box(store *s, const box_record *box, nb_error *err) {
    return in_transaction(s, add_box_and_use, (void *) box, err);
}

static int rename_box(store *s, const char *id, const char *name, nb_error *err) {
    CLEANUP(cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = prepare(s, "UPDATE boxes SET name = ?2 WHERE id = ?1", &statement, err);
    if (result < 0)
        return result;
    bind_text(statement, 1, id);
    bind_text(statement, 2, name);
    if (sqlite3_step(statement) != SQLITE_DONE)
        return sqlite3_extended_errcode(s->db) == SQLITE_CONSTRAINT_UNIQUE ? fail_name(name, err) : fail(s, err, "rename the box");
    return sqlite3_changes(s->db) > 0 ? 0 : nb_fail(err, NB_E_NOT_FOUND, 0, "the box was removed meanwhile");
}

int store_rename_box(store *s, const char *id, const char *name, nb_error *err) {
    (void) pthread_mutex_lock(&s->mutex);
    int result = rename_box(s, id, name, err);
    (void) pthread_mutex_unlock(&s->mutex);
    return result;
}

int store_find_box(store *s, const char *name_or_id, arena *a, box_record *ret_box, nb_error *err) {
    row_list list = {.a = a, .item_bytes = sizeof(box_record), .read = read_box};
    int result = query(s, "SELECT " BOX_COLUMNS " FROM boxes WHERE name = ?1 OR id = ?1 ORDER BY name IS NOT ?1", name_or_id, &list, err);
    /* substr, not LIKE: the user's text is no pattern */
    if (result == 0 && list.count == 0 && name_or_id[0])
        result = query(s, "SELECT " BOX_COLUMNS " FROM boxes WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2", name_or_id, &list, err);
    else if (result == 0 && list.count > 1)
        list.count = 1; /* a name wins over another box's id */
    if (result < 0)
        return result;
    if (list.count == 0)
        return nb_fail_hint(err, nb_fail(err, NB_E_NOT_FOUND, 0, "no box is called '%s'", name_or_id), "nestbox ps -a lists them");
    if (list.count > 1)
        return nb_fail(err, NB_E_INVALID, 0, "several boxes' ids begin with '%s'", name_or_id);
    *ret_box = *(box_record *) list.items;
    return 0;
}

int store_list_boxes(store *s, arena *a, box_record **ret_boxes, size_t *ret_count, nb_error *err) {
    row_list list = {.a = a, .item_bytes = sizeof(box_record), .read = read_box};
    int result = query(s, "SELECT " BOX_COLUMNS " FROM boxes ORDER BY created_at_ms DESC, id", NULL, &list, err);
    if (result < 0)
        return result;
    *ret_boxes = (box_record *) list.items;
    *ret_count = list.count;
    return 0;
}

/* One statement with at most one text bound. */
static int run_statement(store *s, const char *sql, const char *text, nb_error *err) {
    CLEANUP(cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = prepare(s, sql, &statement, err);
    if (result < 0)
        return result;
    if (text)
        bind_text(statement, 1, text);
    return sqlite3_step(statement) == SQLITE_DONE ? 0 : fail(s, err, "write the state database");
}

int store_remove_box(store *s, const char *id, nb_error *err) {
    (void) pthread_mutex_lock(&s->mutex);
    int result = run_statement(s, "DELETE FROM boxes WHERE id = ?", id, err);
    (void) pthread_mutex_unlock(&s->mutex);
    return result;
}

static int query_number(store *s, const char *sql, const char *text, int64_t *ret_number, nb_error *err) {
    CLEANUP(cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = prepare(s, sql, &statement, err);
    if (result < 0)
        return result;
    if (text)
        bind_text(statement, 1, text);
    if (sqlite3_step(statement) != SQLITE_ROW)
        return fail(s, err, "read the state database");
    *ret_number = sqlite3_column_int64(statement, 0);
    return 0;
}

int store_has_box(store *s, const char *id, bool *ret_has, nb_error *err) {
    int64_t count = 0;
    (void) pthread_mutex_lock(&s->mutex);
    int result = query_number(s, "SELECT count(*) FROM boxes WHERE id = ?", id, &count, err);
    (void) pthread_mutex_unlock(&s->mutex);
    if (result == 0)
        *ret_has = count > 0;
    return result;
}

/* ------------------------------------------------------------------------------------------------------------- images */

#define IMAGE_COLUMNS                                                                                                                  \
    "i.id, coalesce(n.name, ''), coalesce(n.source, ''), i.created_at_ms, i.size_bytes, i.disk_bytes, i.entrypoint, i.command, i.env," \
    " i.labels, i.cwd, i.user, i.stop_signal, i.architecture, i.os, i.exposed_ports, i.volumes, i.shell, i.health_test,"               \
    " i.health_interval_ns, i.health_timeout_ns, i.health_start_period_ns, i.health_retries, i.used_at_ms"

static void read_image(sqlite3_stmt *row, arena *a, void *item) {
    *(image_record *) item = (image_record){
        .id = column_text(row, 0, a),
        .name = column_text(row, 1, a),
        .source = column_text(row, 2, a),
        .created_at_ms = column_u64(row, 3),
        .size_bytes = column_u64(row, 4),
        .disk_bytes = column_u64(row, 5),
        .entrypoint = column_list(row, 6, a),
        .command = column_list(row, 7, a),
        .env = column_list(row, 8, a),
        .labels = column_list(row, 9, a),
        .cwd = column_text(row, 10, a),
        .user = column_text(row, 11, a),
        .stop_signal = column_text(row, 12, a),
        .architecture = column_text(row, 13, a),
        .os = column_text(row, 14, a),
        .exposed_ports = column_list(row, 15, a),
        .volumes = column_list(row, 16, a),
        .shell = column_list(row, 17, a),
        .health_test = column_list(row, 18, a),
        .health_interval_ns = column_u64(row, 19),
        .health_timeout_ns = column_u64(row, 20),
        .health_start_period_ns = column_u64(row, 21),
        .health_retries = (uint32_t) column_u64(row, 22),
        .used_at_ms = column_u64(row, 23),
    };
}

/* One that is here is the same image, for its id is its configuration's digest. But it may have been recorded by a Nestbox that read less of
 * the configuration: what that did not know is put in. */
static const char insert_image_sql[] =
    "INSERT INTO images (id, created_at_ms, size_bytes, disk_bytes, entrypoint, command, env, labels, cwd, user, stop_signal, architecture,"
    " os, exposed_ports, volumes, shell, health_test, health_interval_ns, health_timeout_ns, health_start_period_ns, health_retries,"
    " used_at_ms) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22)"
    " ON CONFLICT (id) DO UPDATE SET exposed_ports = excluded.exposed_ports, volumes = excluded.volumes, shell = excluded.shell,"
    " health_test = excluded.health_test, health_interval_ns = excluded.health_interval_ns,"
    " health_timeout_ns = excluded.health_timeout_ns, health_start_period_ns = excluded.health_start_period_ns,"
    " health_retries = excluded.health_retries, used_at_ms = max(used_at_ms, excluded.used_at_ms)";

static void bind_image(sqlite3_stmt *statement, const image_record *image) {
    const struct {
        int at;
        uint64_t value;
    } numbers[] = {
        {2, image->created_at_ms},       {3, image->size_bytes},         {4, image->disk_bytes},
        {18, image->health_interval_ns}, {19, image->health_timeout_ns}, {20, image->health_start_period_ns},
        {21, image->health_retries},     {22, image->used_at_ms},
    };
    bind_text(statement, 1, image->id);
    bind_list(statement, 5, image->entrypoint);
    bind_list(statement, 6, image->command);
    bind_list(statement, 7, image->env);
    bind_list(statement, 8, image->labels);
    bind_text(statement, 9, image->cwd);
    bind_text(statement, 10, image->user);
    bind_text(statement, 11, image->stop_signal);
    bind_text(statement, 12, image->architecture);
    bind_text(statement, 13, image->os);
    bind_list(statement, 14, image->exposed_ports);
    bind_list(statement, 15, image->volumes);
    bind_list(statement, 16, image->shell);
    bind_list(statement, 17, image->health_test);
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++)
        (void) sqlite3_bind_int64(statement, numbers[i].at, (sqlite3_int64) numbers[i].value);
}

static int insert_image(store *s, const image_record *image, nb_error *err) {
    CLEANUP(cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = prepare(s, insert_image_sql, &statement, err);
    if (result < 0)
        return result;
    bind_image(statement, image);
    return sqlite3_step(statement) == SQLITE_DONE ? 0 : fail(s, err, "record the image");
}

static int name_image(store *s, const image_record *image, nb_error *err) {
    CLEANUP(cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = prepare(s, "INSERT OR REPLACE INTO image_names VALUES (?,?,?)", &statement, err);
    if (result < 0)
        return result;
    bind_text(statement, 1, image->name);
    bind_text(statement, 2, image->id);
    bind_text(statement, 3, image->source);
    if (sqlite3_step(statement) == SQLITE_DONE)
        return 0;
    return sqlite3_extended_errcode(s->db) == SQLITE_CONSTRAINT_FOREIGNKEY
               ? nb_fail(err, NB_E_NOT_FOUND, 0, "the image was removed meanwhile")
               : fail(s, err, "name the image");
}

static int add_image(store *s, void *user, nb_error *err) {
    const image_record *image = user;
    int result = insert_image(s, image, err);
    return result < 0 ? result : name_image(s, image, err);
}

static int name_and_use(store *s, void *user, nb_error *err) {
    const image_record *image = user;
    int result = name_image(s, image, err);
    return result < 0 ? result : use_image(s, image->id, clock_wall_ms(), 0, err);
}

int store_name_image(store *s, const image_record *image, nb_error *err) {
    return in_transaction(s, name_and_use, (void *) image, err);
}

int store_add_image(store *s, const image_record *image, nb_error *err) {
    return in_transaction(s, add_image, (void *) image, err);
}

typedef struct image_blobs {
    const char *image_id;
    strv digests;
} image_blobs;

static int set_image_blobs(store *s, void *user, nb_error *err) {
    const image_blobs *blobs = user;
    CLEANUP(cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = run_statement(s, "DELETE FROM image_blobs WHERE image_id = ?", blobs->image_id, err);
    if (result == 0)
        result = prepare(s, "INSERT OR IGNORE INTO image_blobs VALUES (?,?)", &statement, err);
    for (const char *digest = strv_next(blobs->digests, NULL); result == 0 && digest; digest = strv_next(blobs->digests, digest)) {
        bind_text(statement, 1, blobs->image_id);
        bind_text(statement, 2, digest);
        if (sqlite3_step(statement) != SQLITE_DONE)
            result = fail(s, err, "record the image's blobs");
        (void) sqlite3_reset(statement);
    }
    return result;
}

int store_set_image_blobs(store *s, const char *image_id, strv digests, nb_error *err) {
    return in_transaction(s, set_image_blobs, &(image_blobs){image_id, digests}, err);
}

static void read_digest(sqlite3_stmt *row, arena *a, void *item) {
    *(const char **) item = column_text(row, 0, a);
}

int store_list_blobs(store *s, const char *image_id, arena *a, strv *ret_digests, nb_error *err) {
    row_list list = {.a = a, .item_bytes = sizeof(const char *), .read = read_digest};
    size_t bytes = 0, at = 0;
    const char *sql = image_id ? "SELECT digest FROM image_blobs WHERE image_id = ?" : "SELECT digest FROM image_blobs";
    int result = query(s, sql, image_id, &list, err);
    if (result < 0)
        return result;
    const char *const *digests = (const char *const *) (const void *) list.items;
    for (size_t i = 0; i < list.count; i++)
        bytes += strlen(digests[i]) + 1;
    char *packed = arena_alloc(a, bytes + 1);
    if (!packed)
        return nb_fail_oom(err);
    for (size_t i = 0; i < list.count; at += strlen(digests[i++]) + 1)
        memcpy(packed + at, digests[i], strlen(digests[i]) + 1);
    *ret_digests = (strv){packed, bytes};
    return 0;
}

int store_find_image(store *s, const char *name_or_id, arena *a, image_record *ret_image, nb_error *err) {
    row_list list = {.a = a, .item_bytes = sizeof(image_record), .read = read_image};
    int result =
        query(s, "SELECT " IMAGE_COLUMNS " FROM image_names n JOIN images i ON i.id = n.image_id WHERE n.name = ?", name_or_id, &list, err);
    size_t digits = strncmp(name_or_id, "sha256:", 7) == 0 ? strlen(name_or_id) - 7 : strlen(name_or_id);
    if (result == 0 && list.count == 0 && digits >= IMAGE_PREFIX_MIN)
        result = query(s,
                       "SELECT " IMAGE_COLUMNS " FROM images i LEFT JOIN (SELECT '' AS name, '' AS source) n"
                       " WHERE substr(i.id, 1, length(?1)) = ?1 OR substr(i.id, 8, length(?1)) = ?1 LIMIT 2",
                       name_or_id, &list, err);
    if (result < 0)
        return result;
    if (list.count == 0)
        return nb_fail(err, NB_E_NOT_FOUND, 0, "the image '%s' is not here", name_or_id);
    if (list.count > 1)
        return nb_fail(err, NB_E_INVALID, 0, "several images' ids begin with '%s'", name_or_id);
    *ret_image = *(image_record *) list.items;
    return 0;
}

int store_list_images(store *s, arena *a, image_record **ret_images, size_t *ret_count, nb_error *err) {
    row_list list = {.a = a, .item_bytes = sizeof(image_record), .read = read_image};
    int result = query(s,
                       "SELECT " IMAGE_COLUMNS " FROM images i LEFT JOIN image_names n ON i.id = n.image_id"
                       " ORDER BY i.created_at_ms DESC, n.name",
                       NULL, &list, err);
    if (result < 0)
        return result;
    *ret_images = (image_record *) list.items;
    *ret_count = list.count;
    return 0;
}

int store_list_unused_images(store *s, arena *a, image_record **ret_images, size_t *ret_count, nb_error *err) {
    row_list list = {.a = a, .item_bytes = sizeof(image_record), .read = read_image};
    int result = query(s,
                       "SELECT " IMAGE_COLUMNS " FROM images i LEFT JOIN (SELECT '' AS name, '' AS source) n"
                       " WHERE NOT EXISTS (SELECT 1 FROM boxes b WHERE b.image_id = i.id) ORDER BY i.used_at_ms, i.created_at_ms, i.id",
                       NULL, &list, err);
    if (result < 0)
        return result;
    *ret_images = (image_record *) list.items;
    *ret_count = list.count;
    return 0;
}

typedef struct image_removal {
    const image_record *image;
    bool gone;
} image_removal;

static int remove_image(store *s, void *user, nb_error *err) {
    image_removal *removal = user;
    const image_record *image = removal->image;
    int64_t names = 0, boxes = 0;
    int result = image->name[0] ? run_statement(s, "DELETE FROM image_names WHERE name = ?", image->name, err)
                                : run_statement(s, "DELETE FROM image_names WHERE image_id = ?", image->id, err);
    if (result == 0)
        result = query_number(s, "SELECT count(*) FROM image_names WHERE image_id = ?", image->id, &names, err);
    if (result == 0)
        result = query_number(s, "SELECT count(*) FROM boxes WHERE image_id = ?", image->id, &boxes, err);
    if (result < 0 || names > 0)
        return result;
    if (boxes > 0)
        return nb_fail_hint(
            err, nb_fail(err, NB_E_INVALID_STATE, 0, "the image is used by %lld box%s", (long long) boxes, boxes == 1 ? "" : "es"),
            "remove them first: nestbox ps -a lists them");
    removal->gone = true;
    return run_statement(s, "DELETE FROM images WHERE id = ?", image->id, err);
}

int store_remove_image(store *s, const image_record *image, bool *ret_gone, nb_error *err) {
    image_removal removal = {.image = image};
    int result = in_transaction(s, remove_image, &removal, err);
    if (result == 0)
        *ret_gone = removal.gone;
    return result;
}

int store_image_is_used(store *s, const char *id, bool *ret_used, nb_error *err) {
    int64_t boxes = 0;
    (void) pthread_mutex_lock(&s->mutex);
    int result = query_number(s, "SELECT count(*) FROM boxes WHERE image_id = ?", id, &boxes, err);
    (void) pthread_mutex_unlock(&s->mutex);
    if (result == 0)
        *ret_used = boxes > 0;
    return result;
}

int store_count(store *s, size_t *ret_boxes, size_t *ret_images, nb_error *err) {
    int64_t boxes = 0, images = 0;
    (void) pthread_mutex_lock(&s->mutex);
    int result = query_number(s, "SELECT count(*) FROM boxes", NULL, &boxes, err);
    if (result == 0)
        result = query_number(s, "SELECT count(*) FROM images", NULL, &images, err);
    (void) pthread_mutex_unlock(&s->mutex);
    if (result == 0) {
        *ret_boxes = (size_t) boxes;
        *ret_images = (size_t) images;
    }
    return result;
}
