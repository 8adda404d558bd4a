/* SPDX-License-Identifier: Apache-2.0
 *
 * image-settings.c - what the host's user says of images: images.json
 *
 * The library links no parser of JSON; SQLite, which it has anyhow, brings one, and reads the text without a database behind it.
 * Everything is checked when it is read, so that a slip of the pen is told at once and not when that limit is needed.
 */
#include "runtime/image-settings.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/quantity.h"
#include "base/size.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYSTEM_FILE "/etc/nestbox/images.json"
#define FILE_MAX_BYTES ((size_t) 64 << 10)

typedef struct setting {
    const char *name;
    size_t offset; /* of its value in image_settings */
    uint64_t value_by_default, most;
} setting;

static const setting settings_table[] = {
#define TABLE_ROW(name, value_by_default, most) {#name, offsetof(image_settings, limits.name), value_by_default, most},
    IMAGE_LIMITS(TABLE_ROW)
#undef TABLE_ROW
        {"max_seconds", offsetof(image_settings, max_seconds), IMAGE_SECONDS_DEFAULT, IMAGE_SECONDS_MAX},
    {"store_max_bytes", offsetof(image_settings, store_max_bytes), 0, IMAGE_STORE_MAX_BYTES},
};

/* What is in bytes may be a text, "20g". */
static bool is_size(const setting *s) {
    size_t length = strlen(s->name), suffix = strlen("_bytes");
    return length > suffix && strcmp(s->name + length - suffix, "_bytes") == 0;
}

static uint64_t *value_of(image_settings *settings, const setting *s) {
    return (uint64_t *) (void *) ((char *) settings + s->offset);
}

/* Takes one member of the file: its name, its type in SQLite's words, its value. */
static int take_member(sqlite3_stmt *row, const char *path, image_settings *settings, unsigned *seen, nb_error *err) {
    const char *name = (const char *) sqlite3_column_text(row, 0), *type = (const char *) sqlite3_column_text(row, 1);
    const setting *s = NULL;
    uint64_t value = 0;
    if (!name || !type)
        return nb_fail_oom(err);
    for (size_t i = 0; !s && i < ARRAY_LENGTH(settings_table); i++) {
        if (strcmp(settings_table[i].name, name) == 0)
            s = &settings_table[i];
    }
    if (!s)
        return nb_fail(err, NB_E_INVALID, 0, "read '%s': there is no setting '%.100s'", path, name);
    unsigned bit = 1u << (s - settings_table);
    if (*seen & bit)
        return nb_fail(err, NB_E_INVALID, 0, "read '%s': '%s' is there twice", path, name);
    bool good = false;
    if (strcmp(type, "integer") == 0) {
        sqlite3_int64 number = sqlite3_column_int64(row, 2); /* what does not fit is the largest there is, or below 0 */
        good = number > 0;
        value = good ? (uint64_t) number : 0;
    } else if (strcmp(type, "text") == 0 && is_size(s)) {
        const char *text = (const char *) sqlite3_column_text(row, 2);
        good = text && quantity_size(text, &value);
    }
    if (!good || value < 1 || value > s->most)
        return nb_fail(err, NB_E_INVALID, 0, "read '%s': '%s' must be 1 to %llu%s", path, name, (unsigned long long) s->most,
                       is_size(s) ? ", or a text like \"20g\"" : "");
    *value_of(settings, s) = value;
    *seen |= bit;
    return 0;
}

static void cleanup_database(sqlite3 **db) {
    (void) sqlite3_close(*db);
}

static void cleanup_statement(sqlite3_stmt **statement) {
    (void) sqlite3_finalize(*statement);
}

static int prepare(sqlite3 *db, const char *sql, const char *text, size_t length, sqlite3_stmt **ret_statement, nb_error *err) {
    if (sqlite3_prepare_v2(db, sql, -1, ret_statement, NULL) != SQLITE_OK ||
        sqlite3_bind_text(*ret_statement, 1, text, (int) length, SQLITE_STATIC) != SQLITE_OK)
        return sqlite3_errcode(db) == SQLITE_NOMEM ? nb_fail_oom(err)
                                                   : nb_fail(err, NB_E_UNSUPPORTED, 0, "read JSON with SQLite: %s", sqlite3_errmsg(db));
    return 0;
}

static int check_text(sqlite3 *db, const char *path, const char *text, size_t length, nb_error *err) {
    CLEANUP(cleanup_statement) sqlite3_stmt *statement = NULL;
    if (memchr(text, '\0', length)) /* where SQLite would take the text to end */
        return nb_fail(err, NB_E_INVALID, 0, "read '%s': it is not JSON", path);
    int result = prepare(db, "SELECT CASE WHEN json_valid(?1) THEN json_type(?1) ELSE 'none' END", text, length, &statement, err);
    if (result < 0)
        return result;
    const char *type = sqlite3_step(statement) == SQLITE_ROW ? (const char *) sqlite3_column_text(statement, 0) : NULL;
    if (!type)
        return nb_fail_oom(err);
    if (strcmp(type, "none") == 0)
        return nb_fail(err, NB_E_INVALID, 0, "read '%s': it is not JSON", path);
    return strcmp(type, "object") == 0 ? 0 : nb_fail(err, NB_E_INVALID, 0, "read '%s': it must be an object", path);
}

static int parse(const char *path, const char *text, size_t length, image_settings *settings, nb_error *err) {
    CLEANUP(cleanup_database) sqlite3 *db = NULL;
    CLEANUP(cleanup_statement) sqlite3_stmt *members = NULL;
    unsigned seen = 0;
    if (sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return nb_fail_oom(err);
    int result = check_text(db, path, text, length, err);
    if (result == 0)
        result = prepare(db, "SELECT key, type, value FROM json_each(?1)", text, length, &members, err);
    int step = SQLITE_DONE;
    while (result == 0 && (step = sqlite3_step(members)) == SQLITE_ROW)
        result = take_member(members, path, settings, &seen, err);
    return result == 0 && step != SQLITE_DONE ? nb_fail_oom(err) : result;
}

/* 1: read; 0: there is no such file. */
static int read_file(const char *path, image_settings *settings, nb_error *err) {
    CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length;
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0 || fd_read_file(fd, FILE_MAX_BYTES, &text, &length) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "read '%s'", path);
    int result = parse(path, text, length, settings, err);
    return result < 0 ? result : 1;
}

/* Reads one of the places: "FOLDER/REST", where FOLDER is a variable's value. */
static int read_below(const char *variable, const char *rest, image_settings *settings, nb_error *err) {
    const char *folder = getenv(variable);
    char path[PATH_MAX];
    if (!folder || !*folder || snprintf(path, sizeof(path), "%s%s", folder, rest) >= (int) sizeof(path))
        return 0;
    return read_file(path, settings, err);
}

int image_settings_load(image_settings *ret_settings, nb_error *err) {
    const char *given = getenv("NESTBOX_IMAGES");
    image_settings settings;
    for (size_t i = 0; i < ARRAY_LENGTH(settings_table); i++)
        *value_of(&settings, &settings_table[i]) = settings_table[i].value_by_default;
    int result;
    if (given && *given) {
        result = read_file(given, &settings, err);
        if (result == 0)
            return nb_fail(err, NB_E_NOT_FOUND, ENOENT, "read '%s' ($NESTBOX_IMAGES)", given);
    } else {
        result = read_below("XDG_CONFIG_HOME", "/nestbox/images.json", &settings, err);
        if (result == 0)
            result = read_below("HOME", "/.config/nestbox/images.json", &settings, err);
        if (result == 0)
            result = read_file(SYSTEM_FILE, &settings, err);
    }
    if (result < 0)
        return result;
    *ret_settings = settings;
    return 0;
}

int image_settings_time_is_over(const image_settings *settings, nb_error *err) {
    return nb_fail_hint(err, nb_fail(err, NB_E_TIMEOUT, 0, "it takes longer than %llu seconds", (unsigned long long) settings->max_seconds),
                        "raise max_seconds in images.json, to %u at most (docs/images.md)", IMAGE_SECONDS_MAX);
}
