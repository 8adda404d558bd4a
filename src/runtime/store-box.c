/* SPDX-License-Identifier: Apache-2.0
 *
 * store-box.c - boxes in the database of a home
 */
#include "runtime/store-private.h"

#include "base/cleanup.h"
#include "base/size.h"
#include "runtime/mount-record.h"

/* Boxes that are made one after the other write once that their image is used: a page more in a transaction costs a tenth of making a box. */
#define USED_GRAIN_MS 60000

#define BOX_COLUMNS                                                                                                                   \
    "id, coalesce(name, ''), image, image_id, created_at_ms, argv, env, labels, cwd, user, hostname, memory_bytes, disk_bytes, cpus," \
    " pids_max, stop_signal, stop_timeout_ms, boot_timeout_ms, tty, open_stdin, detach, auto_remove, init, keep, cap_add, cap_drop,"  \
    " ulimits, no_new_privileges, timeout_ms, mounts, restart, restart_retries, auto_stop_ms, max_lifetime_ms, auto_delete_ms, "      \
    "health_command,"                                                                                                                 \
    " health_interval_ms, health_timeout_ms, health_start_period_ms, health_retries,"                                                 \
    " cpu_millis, io_bytes_per_second, io_operations_per_second"

static void read_box(sqlite3_stmt *row, arena *a, void *item) {
    *(box_record *) item = (box_record){
        .id = store_column_text(row, 0, a),
        .name = store_column_text(row, 1, a),
        .image = store_column_text(row, 2, a),
        .image_id = store_column_text(row, 3, a),
        .created_at_ms = store_column_u64(row, 4),
        .argv = store_column_list(row, 5, a),
        .env = store_column_list(row, 6, a),
        .labels = store_column_list(row, 7, a),
        .cwd = store_column_text(row, 8, a),
        .user = store_column_text(row, 9, a),
        .hostname = store_column_text(row, 10, a),
        .memory_bytes = store_column_u64(row, 11),
        .disk_bytes = store_column_u64(row, 12),
        .cpus = (uint32_t) store_column_u64(row, 13),
        .pids_max = (uint32_t) store_column_u64(row, 14),
        .stop_signal = (uint32_t) store_column_u64(row, 15),
        .stop_timeout_ms = (uint32_t) store_column_u64(row, 16),
        .boot_timeout_ms = (uint32_t) store_column_u64(row, 17),
        .tty = sqlite3_column_int(row, 18),
        .open_stdin = sqlite3_column_int(row, 19),
        .detach = sqlite3_column_int(row, 20),
        .auto_remove = sqlite3_column_int(row, 21),
        .init = sqlite3_column_int(row, 22),
        .keep = sqlite3_column_int(row, 23),
        .cap_add = store_column_list(row, 24, a),
        .cap_drop = store_column_list(row, 25, a),
        .ulimits = store_column_list(row, 26, a),
        .no_new_privileges = sqlite3_column_int(row, 27),
        .timeout_ms = store_column_u64(row, 28),
        .mounts = store_column_list(row, 29, a),
        .care = {.restart = (uint32_t) store_column_u64(row, 30),
                 .restart_retries = (uint32_t) store_column_u64(row, 31),
                 .auto_stop_ms = store_column_u64(row, 32),
                 .max_lifetime_ms = store_column_u64(row, 33),
                 .auto_delete_ms = store_column_u64(row, 34),
                 .health_command = store_column_list(row, 35, a),
                 .health_interval_ms = store_column_u64(row, 36),
                 .health_timeout_ms = store_column_u64(row, 37),
                 .health_start_period_ms = store_column_u64(row, 38),
                 .health_retries = (uint32_t) store_column_u64(row, 39)},
        .cpu_millis = (uint32_t) store_column_u64(row, 40),
        .io_bytes_per_second = store_column_u64(row, 41),
        .io_operations_per_second = (uint32_t) store_column_u64(row, 42),
    };
}

static void bind_box(sqlite3_stmt *statement, const box_record *box) {
    store_bind_text(statement, 1, box->id);
    if (box->name[0])
        store_bind_text(statement, 2, box->name);
    store_bind_text(statement, 3, box->image);
    store_bind_text(statement, 4, box->image_id);
    store_bind_list(statement, 6, box->argv);
    store_bind_list(statement, 7, box->env);
    store_bind_list(statement, 8, box->labels);
    store_bind_text(statement, 9, box->cwd);
    store_bind_text(statement, 10, box->user);
    store_bind_text(statement, 11, box->hostname);
    store_bind_list(statement, 25, box->cap_add);
    store_bind_list(statement, 26, box->cap_drop);
    store_bind_list(statement, 27, box->ulimits);
    store_bind_list(statement, 30, box->mounts);
    store_bind_list(statement, 36, box->care.health_command);
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
        {31, box->care.restart},
        {32, box->care.restart_retries},
        {33, box->care.auto_stop_ms},
        {34, box->care.max_lifetime_ms},
        {35, box->care.auto_delete_ms},
        {37, box->care.health_interval_ms},
        {38, box->care.health_timeout_ms},
        {39, box->care.health_start_period_ms},
        {40, box->care.health_retries},
        {41, box->cpu_millis},
        {42, box->io_bytes_per_second},
        {43, box->io_operations_per_second},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++)
        (void) sqlite3_bind_int64(statement, numbers[i].at, (sqlite3_int64) numbers[i].value);
}

static int fail_name(const char *name, nb_error *err) {
    return nb_fail_hint(err, nb_fail(err, NB_E_ALREADY_EXISTS, 0, "the name '%s' is taken by another box", name),
                        "choose another name, or remove that box: nestbox rm %s", name);
}

static int add_box(store *s, const box_record *box, nb_error *err) {
    CLEANUP(store_cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = store_prepare(
        s,
        "INSERT INTO boxes (id, name, image, image_id, created_at_ms, argv, env, labels, cwd, user, hostname, memory_bytes,"
        " disk_bytes, cpus, pids_max, stop_signal, stop_timeout_ms, boot_timeout_ms, tty, open_stdin, detach, auto_remove,"
        " init, keep, cap_add, cap_drop, ulimits, no_new_privileges, timeout_ms, mounts, restart, restart_retries, auto_stop_ms,"
        " max_lifetime_ms, auto_delete_ms, health_command, health_interval_ms, health_timeout_ms,"
        " health_start_period_ms, health_retries, cpu_millis, io_bytes_per_second, io_operations_per_second)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
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
    return store_fail(s, err, "record the box");
}

static int add_box_and_use(store *s, void *user, nb_error *err) {
    const box_record *box = user;
    int result = add_box(s, box, err);
    if (result == 0)
        result = store_use_volumes(s, box, err);
    return result < 0 ? result : store_use_image(s, box->image_id, box->created_at_ms, USED_GRAIN_MS, err);
}

int store_add_box(store *s, const box_record *box, nb_error *err) {
    return store_in_transaction(s, add_box_and_use, (void *) box, err);
}

typedef struct mounts_change {
    const char *id;
    int (*change)(void *user, strv before, buf *after, nb_error *err);
    void *user;
} mounts_change;

static int read_mounts(store *s, const char *id, buf *mounts, nb_error *err) {
    CLEANUP(store_cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = store_prepare(s, "SELECT mounts FROM boxes WHERE id = ?", &statement, err);
    if (result < 0)
        return result;
    store_bind_text(statement, 1, id);
    int step = sqlite3_step(statement);
    if (step == SQLITE_DONE)
        return nb_fail(err, NB_E_NOT_FOUND, 0, "the box was removed meanwhile");
    if (step != SQLITE_ROW)
        return store_fail(s, err, "read the state database");
    const void *bytes = sqlite3_column_blob(statement, 0);
    return buf_append(mounts, bytes, (size_t) sqlite3_column_bytes(statement, 0)) ? 0 : nb_fail_oom(err);
}

static int write_mounts(store *s, const char *id, strv mounts, nb_error *err) {
    CLEANUP(store_cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = store_prepare(s, "UPDATE boxes SET mounts = ?2 WHERE id = ?1", &statement, err);
    if (result < 0)
        return result;
    store_bind_text(statement, 1, id);
    store_bind_list(statement, 2, mounts);
    if (sqlite3_step(statement) != SQLITE_DONE)
        return store_fail(s, err, "record the box's mounts");
    result = store_run(s, "DELETE FROM box_volumes WHERE box_id = ?", id, err);
    return result < 0 ? result : store_use_volumes(s, &(box_record){.id = id, .mounts = mounts}, err);
}

static int change_mounts(store *s, void *user, nb_error *err) {
    const mounts_change *c = user;
    CLEANUP(buf_done) buf before, after;
    buf_init(&before, MOUNT_RECORD_MAX_BYTES);
    buf_init(&after, MOUNT_RECORD_MAX_BYTES);
    int result = read_mounts(s, c->id, &before, err);
    if (result == 0)
        result = c->change(c->user, strv_of(&before), &after, err);
    return result < 0 ? result : write_mounts(s, c->id, strv_of(&after), err);
}

int store_change_mounts(store *s, const char *id, int (*change)(void *user, strv before, buf *after, nb_error *err), void *user,
                        nb_error *err) {
    return store_in_transaction(s, change_mounts, &(mounts_change){id, change, user}, err);
}

static int rename_box(store *s, const char *id, const char *name, nb_error *err) {
    CLEANUP(store_cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = store_prepare(s, "UPDATE boxes SET name = ?2 WHERE id = ?1", &statement, err);
    if (result < 0)
        return result;
    store_bind_text(statement, 1, id);
    store_bind_text(statement, 2, name);
    if (sqlite3_step(statement) != SQLITE_DONE)
        return sqlite3_extended_errcode(s->db) == SQLITE_CONSTRAINT_UNIQUE ? fail_name(name, err) : store_fail(s, err, "rename the box");
    return sqlite3_changes(s->db) > 0 ? 0 : nb_fail(err, NB_E_NOT_FOUND, 0, "the box was removed meanwhile");
}

int store_rename_box(store *s, const char *id, const char *name, nb_error *err) {
    (void) pthread_mutex_lock(&s->mutex);
    int result = rename_box(s, id, name, err);
    (void) pthread_mutex_unlock(&s->mutex);
    return result;
}

int store_find_box(store *s, const char *name_or_id, arena *a, box_record *ret_box, nb_error *err) {
    store_rows list = {.a = a, .item_bytes = sizeof(box_record), .read = read_box};
    int result =
        store_query(s, "SELECT " BOX_COLUMNS " FROM boxes WHERE name = ?1 OR id = ?1 ORDER BY name IS NOT ?1", name_or_id, &list, err);
    /* substr, not LIKE: the user's text is no pattern */
    if (result == 0 && list.count == 0 && name_or_id[0])
        result = store_query(s, "SELECT " BOX_COLUMNS " FROM boxes WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2", name_or_id, &list, err);
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
    store_rows list = {.a = a, .item_bytes = sizeof(box_record), .read = read_box};
    int result = store_query(s, "SELECT " BOX_COLUMNS " FROM boxes ORDER BY created_at_ms DESC, id", NULL, &list, err);
    if (result < 0)
        return result;
    *ret_boxes = (box_record *) list.items;
    *ret_count = list.count;
    return 0;
}

int store_remove_box(store *s, const char *id, bool *ret_gone, nb_error *err) {
    (void) pthread_mutex_lock(&s->mutex);
    int result = store_run(s, "DELETE FROM boxes WHERE id = ?", id, err);
    if (result == 0)
        *ret_gone = sqlite3_changes(s->db) > 0;
    (void) pthread_mutex_unlock(&s->mutex);
    return result;
}

int store_has_box(store *s, const char *id, bool *ret_has, nb_error *err) {
    int64_t count = 0;
    (void) pthread_mutex_lock(&s->mutex);
    int result = store_query_number(s, "SELECT count(*) FROM boxes WHERE id = ?", id, &count, err);
    (void) pthread_mutex_unlock(&s->mutex);
    if (result == 0)
        *ret_has = count > 0;
    return result;
}
