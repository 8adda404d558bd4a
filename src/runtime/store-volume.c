/* SPDX-License-Identifier: Apache-2.0
 *
 * store-volume.c - named volumes in the database of a home
 */
#include "runtime/store-private.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "runtime/mount-record.h"

#define VOLUME_COLUMNS "v.name, v.created_at_ms, (SELECT count(*) FROM box_volumes b WHERE b.volume = v.name)"

static void read_volume(sqlite3_stmt *row, arena *a, void *item) {
    *(volume_record *) item = (volume_record){
        .name = store_column_text(row, 0, a),
        .created_at_ms = store_column_u64(row, 1),
        .boxes = store_column_u64(row, 2),
    };
}

static int insert_volume(store *s, const char *name, nb_error *err) {
    CLEANUP(store_cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = store_prepare(s, "INSERT OR IGNORE INTO volumes VALUES (?,?)", &statement, err);
    if (result < 0)
        return result;
    store_bind_text(statement, 1, name);
    (void) sqlite3_bind_int64(statement, 2, (sqlite3_int64) clock_wall_ms());
    return sqlite3_step(statement) == SQLITE_DONE ? 0 : store_fail(s, err, "record the volume");
}

static int use_volume(store *s, const char *box_id, const char *name, nb_error *err) {
    CLEANUP(store_cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = store_prepare(s, "INSERT OR IGNORE INTO box_volumes VALUES (?,?)", &statement, err);
    if (result < 0)
        return result;
    store_bind_text(statement, 1, box_id);
    store_bind_text(statement, 2, name);
    return sqlite3_step(statement) == SQLITE_DONE ? 0 : store_fail(s, err, "record the box's volume");
}

int store_use_volumes(store *s, const box_record *box, nb_error *err) {
    mount_words words = {0};
    int result = 0;
    while (result == 0 && mount_next(box->mounts, &words)) {
        if (mount_kind(&words) != NB_MOUNT_VOLUME)
            continue;
        result = insert_volume(s, words.source, err);
        if (result == 0)
            result = use_volume(s, box->id, words.source, err);
    }
    return result;
}

typedef struct volume_addition {
    const char *name;
    bool is_new;
} volume_addition;

static int add_volume(store *s, void *user, nb_error *err) {
    volume_addition *addition = user;
    int result = insert_volume(s, addition->name, err);
    addition->is_new = result == 0 && sqlite3_changes(s->db) > 0;
    return result;
}

int store_add_volume(store *s, const char *name, bool *ret_new, nb_error *err) {
    volume_addition addition = {.name = name};
    int result = store_in_transaction(s, add_volume, &addition, err);
    if (result == 0)
        *ret_new = addition.is_new;
    return result;
}

static int fail_unknown(const char *name, nb_error *err) {
    return nb_fail_hint(err, nb_fail(err, NB_E_NOT_FOUND, 0, "no volume is called '%s'", name), "nestbox volume ls lists them");
}

int store_find_volume(store *s, const char *name, arena *a, volume_record *ret_volume, nb_error *err) {
    store_rows list = {.a = a, .item_bytes = sizeof(volume_record), .read = read_volume};
    int result = store_query(s, "SELECT " VOLUME_COLUMNS " FROM volumes v WHERE v.name = ?", name, &list, err);
    if (result < 0)
        return result;
    if (list.count == 0)
        return fail_unknown(name, err);
    *ret_volume = *(volume_record *) list.items;
    return 0;
}

int store_list_volumes(store *s, arena *a, volume_record **ret_volumes, size_t *ret_count, nb_error *err) {
    store_rows list = {.a = a, .item_bytes = sizeof(volume_record), .read = read_volume};
    int result = store_query(s, "SELECT " VOLUME_COLUMNS " FROM volumes v ORDER BY v.name", NULL, &list, err);
    if (result < 0)
        return result;
    *ret_volumes = (volume_record *) list.items;
    *ret_count = list.count;
    return 0;
}

static int remove_volume(store *s, void *user, nb_error *err) {
    const char *name = user;
    int64_t boxes = 0;
    int result = store_query_number(s, "SELECT count(*) FROM box_volumes WHERE volume = ?", name, &boxes, err);
    if (result < 0)
        return result;
    if (boxes > 0)
        return nb_fail_hint(
            err,
            nb_fail(err, NB_E_INVALID_STATE, 0, "the volume '%s' is used by %lld box%s", name, (long long) boxes, boxes == 1 ? "" : "es"),
            "remove them first: nestbox ps -a --filter volume=%s lists them", name);
    result = store_run(s, "DELETE FROM volumes WHERE name = ?", name, err);
    return result == 0 && sqlite3_changes(s->db) == 0 ? fail_unknown(name, err) : result;
}

int store_remove_volume(store *s, const char *name, nb_error *err) {
    return store_in_transaction(s, remove_volume, (void *) name, err);
}
