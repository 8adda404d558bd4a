/* SPDX-License-Identifier: Apache-2.0
 *
 * store-image.c - images in the database of a home
 */
#include "runtime/store-private.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/size.h"

#include <string.h>

/* An id's prefix shorter than this is more likely a mistake than meant. */
#define IMAGE_PREFIX_MIN 4u

int store_use_image(store *s, const char *id, uint64_t at_ms, uint64_t grain_ms, nb_error *err) {
    CLEANUP(store_cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = store_prepare(s, "UPDATE images SET used_at_ms = ?2 WHERE id = ?1 AND used_at_ms < ?2 - ?3", &statement, err);
    if (result < 0)
        return result;
    store_bind_text(statement, 1, id);
    (void) sqlite3_bind_int64(statement, 2, (sqlite3_int64) at_ms);
    (void) sqlite3_bind_int64(statement, 3, (sqlite3_int64) grain_ms);
    return sqlite3_step(statement) == SQLITE_DONE ? 0 : store_fail(s, err, "write the state database");
}

#define IMAGE_COLUMNS                                                                                                                  \
    "i.id, coalesce(n.name, ''), coalesce(n.source, ''), i.created_at_ms, i.size_bytes, i.disk_bytes, i.entrypoint, i.command, i.env," \
    " i.labels, i.cwd, i.user, i.stop_signal, i.architecture, i.os, i.exposed_ports, i.volumes, i.shell, i.health_test,"               \
    " i.health_interval_ns, i.health_timeout_ns, i.health_start_period_ns, i.health_retries, i.used_at_ms"

static void read_image(sqlite3_stmt *row, arena *a, void *item) {
    *(image_record *) item = (image_record){
        .id = store_column_text(row, 0, a),
        .name = store_column_text(row, 1, a),
        .source = store_column_text(row, 2, a),
        .created_at_ms = store_column_u64(row, 3),
        .size_bytes = store_column_u64(row, 4),
        .disk_bytes = store_column_u64(row, 5),
        .entrypoint = store_column_list(row, 6, a),
        .command = store_column_list(row, 7, a),
        .env = store_column_list(row, 8, a),
        .labels = store_column_list(row, 9, a),
        .cwd = store_column_text(row, 10, a),
        .user = store_column_text(row, 11, a),
        .stop_signal = store_column_text(row, 12, a),
        .architecture = store_column_text(row, 13, a),
        .os = store_column_text(row, 14, a),
        .exposed_ports = store_column_list(row, 15, a),
        .volumes = store_column_list(row, 16, a),
        .shell = store_column_list(row, 17, a),
        .health_test = store_column_list(row, 18, a),
        .health_interval_ns = store_column_u64(row, 19),
        .health_timeout_ns = store_column_u64(row, 20),
        .health_start_period_ns = store_column_u64(row, 21),
        .health_retries = (uint32_t) store_column_u64(row, 22),
        .used_at_ms = store_column_u64(row, 23),
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
    store_bind_text(statement, 1, image->id);
    store_bind_list(statement, 5, image->entrypoint);
    store_bind_list(statement, 6, image->command);
    store_bind_list(statement, 7, image->env);
    store_bind_list(statement, 8, image->labels);
    store_bind_text(statement, 9, image->cwd);
    store_bind_text(statement, 10, image->user);
    store_bind_text(statement, 11, image->stop_signal);
    store_bind_text(statement, 12, image->architecture);
    store_bind_text(statement, 13, image->os);
    store_bind_list(statement, 14, image->exposed_ports);
    store_bind_list(statement, 15, image->volumes);
    store_bind_list(statement, 16, image->shell);
    store_bind_list(statement, 17, image->health_test);
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++)
        (void) sqlite3_bind_int64(statement, numbers[i].at, (sqlite3_int64) numbers[i].value);
}

static int insert_image(store *s, const image_record *image, nb_error *err) {
    CLEANUP(store_cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = store_prepare(s, insert_image_sql, &statement, err);
    if (result < 0)
        return result;
    bind_image(statement, image);
    return sqlite3_step(statement) == SQLITE_DONE ? 0 : store_fail(s, err, "record the image");
}

static int name_image(store *s, const image_record *image, nb_error *err) {
    CLEANUP(store_cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = store_prepare(s, "INSERT OR REPLACE INTO image_names VALUES (?,?,?)", &statement, err);
    if (result < 0)
        return result;
    store_bind_text(statement, 1, image->name);
    store_bind_text(statement, 2, image->id);
    store_bind_text(statement, 3, image->source);
    if (sqlite3_step(statement) == SQLITE_DONE)
        return 0;
    return sqlite3_extended_errcode(s->db) == SQLITE_CONSTRAINT_FOREIGNKEY
               ? nb_fail(err, NB_E_NOT_FOUND, 0, "the image was removed meanwhile")
               : store_fail(s, err, "name the image");
}

static int add_image(store *s, void *user, nb_error *err) {
    const image_record *image = user;
    int result = insert_image(s, image, err);
    return result < 0 ? result : name_image(s, image, err);
}

static int name_and_use(store *s, void *user, nb_error *err) {
    const image_record *image = user;
    int result = name_image(s, image, err);
    return result < 0 ? result : store_use_image(s, image->id, clock_wall_ms(), 0, err);
}

int store_name_image(store *s, const image_record *image, nb_error *err) {
    return store_in_transaction(s, name_and_use, (void *) image, err);
}

int store_add_image(store *s, const image_record *image, nb_error *err) {
    return store_in_transaction(s, add_image, (void *) image, err);
}

typedef struct image_blobs {
    const char *image_id;
    strv digests;
} image_blobs;

static int set_image_blobs(store *s, void *user, nb_error *err) {
    const image_blobs *blobs = user;
    CLEANUP(store_cleanup_statement) sqlite3_stmt *statement = NULL;
    int result = store_run(s, "DELETE FROM image_blobs WHERE image_id = ?", blobs->image_id, err);
    if (result == 0)
        result = store_prepare(s, "INSERT OR IGNORE INTO image_blobs VALUES (?,?)", &statement, err);
    for (const char *digest = strv_next(blobs->digests, NULL); result == 0 && digest; digest = strv_next(blobs->digests, digest)) {
        store_bind_text(statement, 1, blobs->image_id);
        store_bind_text(statement, 2, digest);
        if (sqlite3_step(statement) != SQLITE_DONE)
            result = store_fail(s, err, "record the image's blobs");
        (void) sqlite3_reset(statement);
    }
    return result;
}

int store_set_image_blobs(store *s, const char *image_id, strv digests, nb_error *err) {
    return store_in_transaction(s, set_image_blobs, &(image_blobs){image_id, digests}, err);
}

static void read_digest(sqlite3_stmt *row, arena *a, void *item) {
    *(const char **) item = store_column_text(row, 0, a);
}

int store_list_blobs(store *s, const char *image_id, arena *a, strv *ret_digests, nb_error *err) {
    store_rows list = {.a = a, .item_bytes = sizeof(const char *), .read = read_digest};
    size_t bytes = 0, at = 0;
    const char *sql = image_id ? "SELECT digest FROM image_blobs WHERE image_id = ?" : "SELECT digest FROM image_blobs";
    int result = store_query(s, sql, image_id, &list, err);
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
    store_rows list = {.a = a, .item_bytes = sizeof(image_record), .read = read_image};
    int result = store_query(s, "SELECT " IMAGE_COLUMNS " FROM image_names n JOIN images i ON i.id = n.image_id WHERE n.name = ?",
                             name_or_id, &list, err);
    size_t digits = strncmp(name_or_id, "sha256:", 7) == 0 ? strlen(name_or_id) - 7 : strlen(name_or_id);
    if (result == 0 && list.count == 0 && digits >= IMAGE_PREFIX_MIN)
        result = store_query(s,
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
    store_rows list = {.a = a, .item_bytes = sizeof(image_record), .read = read_image};
    int result = store_query(s,
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
    store_rows list = {.a = a, .item_bytes = sizeof(image_record), .read = read_image};
    int result =
        store_query(s,
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
    int result = image->name[0] ? store_run(s, "DELETE FROM image_names WHERE name = ?", image->name, err)
                                : store_run(s, "DELETE FROM image_names WHERE image_id = ?", image->id, err);
    if (result == 0)
        result = store_query_number(s, "SELECT count(*) FROM image_names WHERE image_id = ?", image->id, &names, err);
    if (result == 0)
        result = store_query_number(s, "SELECT count(*) FROM boxes WHERE image_id = ?", image->id, &boxes, err);
    if (result < 0 || names > 0)
        return result;
    if (boxes > 0)
        return nb_fail_hint(
            err, nb_fail(err, NB_E_INVALID_STATE, 0, "the image is used by %lld box%s", (long long) boxes, boxes == 1 ? "" : "es"),
            "remove them first: nestbox ps -a lists them");
    removal->gone = true;
    return store_run(s, "DELETE FROM images WHERE id = ?", image->id, err);
}

int store_remove_image(store *s, const image_record *image, bool *ret_gone, nb_error *err) {
    image_removal removal = {.image = image};
    int result = store_in_transaction(s, remove_image, &removal, err);
    if (result == 0)
        *ret_gone = removal.gone;
    return result;
}

int store_image_is_used(store *s, const char *id, bool *ret_used, nb_error *err) {
    int64_t boxes = 0;
    (void) pthread_mutex_lock(&s->mutex);
    int result = store_query_number(s, "SELECT count(*) FROM boxes WHERE image_id = ?", id, &boxes, err);
    (void) pthread_mutex_unlock(&s->mutex);
    if (result == 0)
        *ret_used = boxes > 0;
    return result;
}
