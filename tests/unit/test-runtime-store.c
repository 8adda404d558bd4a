/* SPDX-License-Identifier: Apache-2.0
 *
 * test-runtime-store.c - the database of a home, shared, damaged, newer than we are
 */
#include "base/cleanup.h"
#include "fail.h"
#include "runtime/store.h"
#include "test-folder.h"

#include <nestbox/state.h>

#include <sqlite3.h>
#include <string.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LIST(text) ((strv){(text), sizeof(text) - 1})
#define WRITERS 4
#define BOXES_PER_WRITER 25
#define MINUTE_MS 60000

typedef struct bench {
    test_folder folder;
    char path[128];
    store *s;
    arena a;
} bench;

static int set_up(void **state) {
    static bench b;
    b = (bench){.folder = test_folder_make()};
    (void) snprintf(b.path, sizeof(b.path), "%s/nestbox.db", b.folder.path);
    nb_error err;
    if (store_open(b.path, &b.s, &err) < 0)
        fail_msg("%s", err.message);
    *state = &b;
    return 0;
}

static int tear_down(void **state) {
    bench *b = *state;
    store_close(b->s);
    arena_done(&b->a);
    test_folder_remove(&b->folder);
    return 0;
}

static image_record image(const char *id, const char *name) {
    return (image_record){.id = id,
                          .name = name,
                          .source = "",
                          .created_at_ms = 1,
                          .cwd = "",
                          .user = "",
                          .stop_signal = "",
                          .architecture = "amd64",
                          .os = "linux"};
}

static box_record box(const char *id, const char *name) {
    return (box_record){.id = id,
                        .name = name,
                        .image = "busybox",
                        .image_id = "sha256:aaaa1",
                        .created_at_ms = 1,
                        .cwd = "/",
                        .user = "",
                        .hostname = "h"};
}

static void add_image(bench *b, const char *id, const char *name) {
    image_record i = image(id, name);
    assert_int_equal(store_add_image(b->s, &i, NULL), 0);
}

static int add_box(bench *b, const char *id, const char *name) {
    box_record x = box(id, name);
    return store_add_box(b->s, &x, NULL);
}

static void a_box_comes_back_as_it_went(void **state) {
    bench *b = *state;
    add_image(b, "sha256:aaaa1", "busybox");
    box_record in = box("abcdefghijkl", "web"), out;
    in.argv = LIST("sh\0-c\0\0'; DROP TABLE boxes; --\0");
    in.env = LIST("A=\xff\n\0");
    in.memory_bytes = UINT64_C(1) << 62;
    in.cpus = UINT32_MAX;
    in.cpu_millis = 1;
    in.io_bytes_per_second = 2;
    in.io_operations_per_second = 3;
    in.stop_signal = 64;
    in.tty = in.keep = in.init = true;
    in.care = (box_care){.restart = NB_RESTART_ON_FAILURE,
                         .restart_retries = UINT32_MAX,
                         .auto_stop_ms = 1,
                         .max_lifetime_ms = 2,
                         .auto_delete_ms = 3,
                         .health_command = LIST("sh\0-c\0exit 1\0"),
                         .health_interval_ms = 4,
                         .health_timeout_ms = 5,
                         .health_start_period_ms = 6,
                         .health_retries = 7};
    assert_int_equal(store_add_box(b->s, &in, NULL), 0);
    assert_int_equal(store_find_box(b->s, "web", &b->a, &out, NULL), 0);
    assert_string_equal(out.id, in.id);
    assert_int_equal(out.argv.bytes, in.argv.bytes);
    assert_memory_equal(out.argv.at, in.argv.at, in.argv.bytes);
    assert_memory_equal(out.env.at, in.env.at, in.env.bytes);
    assert_int_equal(out.labels.bytes, 0);
    assert_int_equal(out.care.health_command.bytes, in.care.health_command.bytes);
    assert_memory_equal(out.care.health_command.at, in.care.health_command.at, in.care.health_command.bytes);
    out.care.health_command.at = in.care.health_command.at;
    assert_memory_equal(&out.care, &in.care, sizeof(in.care));
    assert_int_equal(out.memory_bytes, in.memory_bytes);
    assert_int_equal(out.cpus, in.cpus);
    assert_int_equal(out.cpu_millis, 1);
    assert_int_equal(out.io_bytes_per_second, 2);
    assert_int_equal(out.io_operations_per_second, 3);
    assert_int_equal(out.stop_signal, 64);
    assert_true(out.tty && out.keep && out.init && !out.detach && !out.auto_remove && !out.open_stdin);
}

/* Whether it was there. */
static bool remove_box(bench *b, const char *id) {
    bool gone = false;
    assert_int_equal(store_remove_box(b->s, id, &gone, NULL), 0);
    return gone;
}

static void a_name_is_taken_once_and_no_name_by_anyone(void **state) {
    bench *b = *state;
    add_image(b, "sha256:aaaa1", "busybox");
    assert_int_equal(add_box(b, "aaaaaaaaaaaa", "web"), 0);
    assert_int_equal(add_box(b, "bbbbbbbbbbbb", "web"), -NB_E_ALREADY_EXISTS);
    assert_int_equal(add_box(b, "cccccccccccc", ""), 0);
    assert_int_equal(add_box(b, "dddddddddddd", ""), 0);
    size_t boxes, images;
    assert_int_equal(store_count(b->s, &boxes, &images, NULL), 0);
    assert_int_equal(boxes, 3);
    assert_int_equal(images, 1);
    assert_true(remove_box(b, "aaaaaaaaaaaa"));
    assert_false(remove_box(b, "aaaaaaaaaaaa"));
    assert_int_equal(add_box(b, "bbbbbbbbbbbb", "web"), 0);
}

static void a_box_needs_its_image(void **state) {
    bench *b = *state;
    assert_int_equal(add_box(b, "aaaaaaaaaaaa", "web"), -NB_E_NOT_FOUND);
}

static void a_box_is_found_by_name_id_or_prefix(void **state) {
    bench *b = *state;
    box_record found;
    nb_error err;
    add_image(b, "sha256:aaaa1", "busybox");
    assert_int_equal(add_box(b, "abcaaaaaaaaa", ""), 0);
    assert_int_equal(add_box(b, "abdaaaaaaaaa", "abcaaaaaaaaa"), 0); /* called as another's id */
    assert_int_equal(store_find_box(b->s, "abcaaaaaaaaa", &b->a, &found, &err), 0);
    assert_string_equal(found.id, "abdaaaaaaaaa");
    assert_int_equal(store_find_box(b->s, "abc", &b->a, &found, &err), 0);
    assert_string_equal(found.id, "abcaaaaaaaaa");
    assert_int_equal(store_find_box(b->s, "ab", &b->a, &found, &err), -NB_E_INVALID);
    static const char *const nobody[] = {"", "x", "%", "ab_", "a*", "abcaaaaaaaaaa", "' OR 1=1 --"};
    for (size_t i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++)
        assert_int_equal(store_find_box(b->s, nobody[i], &b->a, &found, &err), -NB_E_NOT_FOUND);
}

static void assert_list(strv found, strv expected) {
    assert_int_equal(found.bytes, expected.bytes);
    if (expected.bytes > 0)
        assert_memory_equal(found.at, expected.at, expected.bytes);
}

/* An image with all that one can say. */
static image_record full_image(void) {
    image_record i = image("sha256:aaaa1", "full");
    i.entrypoint = LIST("sh\0-c\0");
    i.labels = LIST("k=v\0");
    i.exposed_ports = LIST("80/tcp\0"
                           "53/udp\0");
    i.volumes = LIST("/data\0/\xff'\0");
    i.shell = LIST("/bin/bash\0-c\0");
    i.health_test = LIST("CMD\0\0");
    i.health_interval_ns = INT64_MAX;
    i.health_timeout_ns = 2;
    i.health_start_period_ns = 3;
    i.health_retries = INT32_MAX;
    return i;
}

static void an_image_comes_back_as_it_went(void **state) {
    bench *b = *state;
    image_record in = full_image(), out;
    assert_int_equal(store_add_image(b->s, &in, NULL), 0);
    assert_int_equal(store_find_image(b->s, "full", &b->a, &out, NULL), 0);
    assert_list(out.entrypoint, in.entrypoint);
    assert_list(out.command, in.command);
    assert_list(out.labels, in.labels);
    assert_list(out.exposed_ports, in.exposed_ports);
    assert_list(out.volumes, in.volumes);
    assert_list(out.shell, in.shell);
    assert_list(out.health_test, in.health_test);
    assert_int_equal(out.health_interval_ns, in.health_interval_ns);
    assert_int_equal(out.health_timeout_ns, 2);
    assert_int_equal(out.health_start_period_ns, 3);
    assert_int_equal(out.health_retries, INT32_MAX);
    assert_string_equal(out.os, "linux");
}

static void an_image_is_found_by_name_id_or_prefix(void **state) {
    bench *b = *state;
    image_record found;
    add_image(b, "sha256:abcd1", "one");
    add_image(b, "sha256:abcd2", "two");
    assert_int_equal(store_find_image(b->s, "one", &b->a, &found, NULL), 0);
    assert_string_equal(found.id, "sha256:abcd1");
    assert_string_equal(found.name, "one");
    assert_int_equal(store_find_image(b->s, "abcd2", &b->a, &found, NULL), 0);
    assert_string_equal(found.id, "sha256:abcd2");
    assert_string_equal(found.name, "");
    assert_int_equal(store_find_image(b->s, "sha256:abcd2", &b->a, &found, NULL), 0);
    assert_int_equal(store_find_image(b->s, "abcd", &b->a, &found, NULL), -NB_E_INVALID);
    assert_int_equal(store_find_image(b->s, "abc", &b->a, &found, NULL), -NB_E_NOT_FOUND); /* too short to be meant */
    assert_int_equal(store_find_image(b->s, "sha256:abc", &b->a, &found, NULL), -NB_E_NOT_FOUND);
    assert_int_equal(store_find_image(b->s, "", &b->a, &found, NULL), -NB_E_NOT_FOUND);
}

static void a_name_moves_to_the_newer_image(void **state) {
    bench *b = *state;
    image_record found, *list;
    size_t count;
    add_image(b, "sha256:abcd1", "web");
    add_image(b, "sha256:abcd2", "web");
    assert_int_equal(store_find_image(b->s, "web", &b->a, &found, NULL), 0);
    assert_string_equal(found.id, "sha256:abcd2");
    assert_int_equal(store_list_images(b->s, &b->a, &list, &count, NULL), 0);
    assert_int_equal(count, 2); /* the older one is there without a name */
}

static void an_image_goes_with_its_last_name_unless_a_box_needs_it(void **state) {
    bench *b = *state;
    bool gone = false;
    image_record found, one = image("sha256:aaaa1", "one"), two = image("sha256:aaaa1", "two"), by_id = image("sha256:aaaa1", "");
    add_image(b, "sha256:aaaa1", "one");
    add_image(b, "sha256:aaaa1", "two");
    assert_int_equal(add_box(b, "aaaaaaaaaaaa", ""), 0);
    assert_int_equal(store_remove_image(b->s, &one, &gone, NULL), 0);
    assert_false(gone);
    assert_int_equal(store_remove_image(b->s, &two, &gone, NULL), -NB_E_INVALID_STATE);
    assert_int_equal(store_remove_image(b->s, &by_id, &gone, NULL), -NB_E_INVALID_STATE);
    assert_int_equal(store_find_image(b->s, "two", &b->a, &found, NULL), 0); /* what failed changed nothing */
    (void) remove_box(b, "aaaaaaaaaaaa");
    assert_int_equal(store_remove_image(b->s, &two, &gone, NULL), 0);
    assert_true(gone);
    assert_int_equal(store_find_image(b->s, "sha256:aaaa1", &b->a, &found, NULL), -NB_E_NOT_FOUND);
}

static void assert_unused(bench *b, const char *ids) {
    image_record *list;
    size_t count;
    char found[256] = "";
    assert_int_equal(store_list_unused_images(b->s, &b->a, &list, &count, NULL), 0);
    for (size_t i = 0; i < count; i++)
        (void) snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s ", list[i].id);
    assert_string_equal(found, ids);
}

static void images_without_boxes_are_listed_by_when_they_were_used(void **state) {
    bench *b = *state;
    image_record found, one = image("sha256:aaaa1", "one"), two = image("sha256:aaaa2", "two"), three = image("sha256:aaaa3", "three");
    box_record x = box("aaaaaaaaaaaa", "");
    one.used_at_ms = 30 * MINUTE_MS;
    two.used_at_ms = 10 * MINUTE_MS;
    three.used_at_ms = 20 * MINUTE_MS;
    assert_int_equal(store_add_image(b->s, &one, NULL), 0);
    assert_int_equal(store_add_image(b->s, &two, NULL), 0);
    assert_int_equal(store_add_image(b->s, &three, NULL), 0);
    assert_unused(b, "sha256:aaaa2 sha256:aaaa3 sha256:aaaa1 ");
    x.created_at_ms = 5; /* a clock that went back makes nothing older */
    assert_int_equal(store_add_box(b->s, &x, NULL), 0);
    assert_unused(b, "sha256:aaaa2 sha256:aaaa3 ");
    (void) remove_box(b, x.id);
    x.image_id = two.id;
    x.created_at_ms = 11 * MINUTE_MS; /* not worth a write */
    assert_int_equal(store_add_box(b->s, &x, NULL), 0);
    assert_int_equal(store_find_image(b->s, "two", &b->a, &found, NULL), 0);
    assert_int_equal(found.used_at_ms, 10 * MINUTE_MS);
    (void) remove_box(b, x.id);
    x.created_at_ms = 40 * MINUTE_MS;
    assert_int_equal(store_add_box(b->s, &x, NULL), 0);
    (void) remove_box(b, x.id);
    assert_unused(b, "sha256:aaaa3 sha256:aaaa1 sha256:aaaa2 ");
    three.name = "again";
    assert_int_equal(store_name_image(b->s, &three, NULL), 0); /* now, long after all of these */
    assert_unused(b, "sha256:aaaa1 sha256:aaaa2 sha256:aaaa3 ");
    one.used_at_ms = 50 * MINUTE_MS;
    assert_int_equal(store_add_image(b->s, &one, NULL), 0);
    assert_unused(b, "sha256:aaaa2 sha256:aaaa1 sha256:aaaa3 ");
}

static void an_image_that_has_gone_gets_no_name(void **state) {
    bench *b = *state;
    image_record found, gone = image("sha256:aaaa1", "one");
    assert_int_equal(store_name_image(b->s, &gone, NULL), -NB_E_NOT_FOUND);
    assert_int_equal(store_find_image(b->s, "one", &b->a, &found, NULL), -NB_E_NOT_FOUND);
}

/* One of several programs that share the home, each opening it for itself. */
static int write_boxes(const char *path, unsigned writer) {
    store *s;
    if (store_open(path, &s, NULL) < 0)
        return 1;
    unsigned clashes = 0;
    for (unsigned i = 0; i < BOXES_PER_WRITER; i++) {
        char id[16], shared[16];
        (void) snprintf(id, sizeof(id), "w%uaaaaaaaa%02u", writer, i);
        (void) snprintf(shared, sizeof(shared), "name%u", i);
        box_record x = box(id, shared);
        int result = store_add_box(s, &x, NULL);
        clashes += result == -NB_E_ALREADY_EXISTS;
        if (result < 0 && result != -NB_E_ALREADY_EXISTS)
            return 2;
    }
    store_close(s);
    return clashes <= BOXES_PER_WRITER ? 0 : 3;
}

static void programs_that_share_a_home_wait_for_each_other(void **state) {
    bench *b = *state;
    add_image(b, "sha256:aaaa1", "busybox");
    store_close(b->s); /* a connection does not go through a fork */
    b->s = NULL;
    pid_t pids[WRITERS];
    int status;
    for (unsigned i = 0; i < WRITERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            _exit(write_boxes(b->path, i));
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    size_t boxes, images;
    assert_int_equal(store_open(b->path, &b->s, NULL), 0);
    assert_int_equal(store_count(b->s, &boxes, &images, NULL), 0);
    assert_int_equal(boxes, BOXES_PER_WRITER); /* each name went to exactly one */
}

static int open_fresh(const char *path) {
    store *s;
    nb_error err;
    if (store_open(path, &s, &err) < 0) {
        (void) fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    store_close(s);
    return 0;
}

static void programs_that_make_a_home_at_once_make_one(void **state) {
    bench *b = *state;
    for (unsigned round = 0; round < 10; round++) {
        char path[256];
        pid_t pids[WRITERS];
        int status;
        (void) snprintf(path, sizeof(path), "%s/fresh%u.db", b->folder.path, round);
        for (unsigned i = 0; i < WRITERS; i++) {
            pids[i] = fork();
            if (pids[i] == 0)
                _exit(open_fresh(path));
        }
        unsigned failed = 0;
        for (unsigned i = 0; i < WRITERS; i++) {
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            failed += status != 0;
        }
        assert_int_equal(failed, 0);
    }
}

static void run_sql(const char *path, const char *sql) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void expect_refused(bench *b, const char *says) {
    store *s = NULL;
    nb_error err;
    assert_int_equal(store_open(b->path, &s, &err), -NB_E_DATABASE);
    assert_null(s);
    if (!strstr(err.message, says) || !strstr(err.message, b->path))
        fail_msg("%s", err.message);
}

static void a_newer_home_is_refused_and_left_alone(void **state) {
    bench *b = *state;
    store_close(b->s);
    b->s = NULL;
    run_sql(b->path, "PRAGMA user_version = 8");
    expect_refused(b, "newer Nestbox");
    run_sql(b->path, "PRAGMA user_version = 7");
    assert_int_equal(store_open(b->path, &b->s, NULL), 0);
}

static void expect_blobs(bench *b, const char *image_id, size_t count) {
    strv digests;
    assert_int_equal(store_list_blobs(b->s, image_id, &b->a, &digests, NULL), 0);
    assert_true(strv_is_valid(digests));
    assert_int_equal(strv_count(digests), count);
}

/* Makes a home what an older version would have left. */
#define BACK_TO_6                                                                                  \
    "ALTER TABLE boxes DROP COLUMN cpu_millis; ALTER TABLE boxes DROP COLUMN io_bytes_per_second;" \
    "ALTER TABLE boxes DROP COLUMN io_operations_per_second; PRAGMA user_version = 6;"
#define BACK_TO_5                                                                                        \
    BACK_TO_6                                                                                            \
    "ALTER TABLE boxes DROP COLUMN restart; ALTER TABLE boxes DROP COLUMN restart_retries;"              \
    "ALTER TABLE boxes DROP COLUMN auto_stop_ms; ALTER TABLE boxes DROP COLUMN max_lifetime_ms;"         \
    "ALTER TABLE boxes DROP COLUMN auto_delete_ms; ALTER TABLE boxes DROP COLUMN health_command;"        \
    "ALTER TABLE boxes DROP COLUMN health_interval_ms; ALTER TABLE boxes DROP COLUMN health_timeout_ms;" \
    "ALTER TABLE boxes DROP COLUMN health_start_period_ms; ALTER TABLE boxes DROP COLUMN health_retries; PRAGMA user_version = 5;"
#define BACK_TO_4 BACK_TO_5 "DROP TABLE box_volumes; DROP TABLE volumes; ALTER TABLE boxes DROP COLUMN mounts; PRAGMA user_version = 4;"
#define BACK_TO_3                                                                                                                 \
    BACK_TO_4                                                                                                                     \
    "ALTER TABLE images DROP COLUMN exposed_ports; ALTER TABLE images DROP COLUMN volumes; ALTER TABLE images DROP COLUMN shell;" \
    "ALTER TABLE images DROP COLUMN health_test; ALTER TABLE images DROP COLUMN health_interval_ns;"                              \
    "ALTER TABLE images DROP COLUMN health_timeout_ns; ALTER TABLE images DROP COLUMN health_start_period_ns;"                    \
    "ALTER TABLE images DROP COLUMN health_retries; ALTER TABLE images DROP COLUMN used_at_ms; PRAGMA user_version = 3;"
#define BACK_TO_2 BACK_TO_3 "DROP TABLE image_blobs; PRAGMA user_version = 2;"

static void an_older_home_is_brought_up_with_all_that_is_in_it(void **state) {
    bench *b = *state;
    static const char digests[] = "sha256:1";
    image_record found;
    add_image(b, "sha256:aaaa1", "one");
    store_close(b->s);
    b->s = NULL;
    run_sql(b->path, BACK_TO_2);
    assert_int_equal(store_open(b->path, &b->s, NULL), 0);
    assert_int_equal(store_find_image(b->s, "one", &b->a, &found, NULL), 0);
    assert_int_equal(store_set_image_blobs(b->s, "sha256:aaaa1", (strv){digests, sizeof(digests)}, NULL), 0);
    expect_blobs(b, NULL, 1);
    store_close(b->s);
    b->s = NULL;
    run_sql(b->path, "PRAGMA user_version = 1");
    expect_refused(b, "schema 1");
}

static void a_box_of_an_older_home_is_not_cared_for(void **state) {
    bench *b = *state;
    box_record found;
    add_image(b, "sha256:aaaa1", "busybox");
    assert_int_equal(add_box(b, "aaaaaaaaaaaa", "web"), 0);
    store_close(b->s);
    b->s = NULL;
    run_sql(b->path, BACK_TO_5);
    assert_int_equal(store_open(b->path, &b->s, NULL), 0);
    assert_int_equal(store_find_box(b->s, "web", &b->a, &found, NULL), 0);
    assert_int_equal(found.care.restart, NB_RESTART_NO);
    assert_int_equal(found.care.auto_stop_ms + found.care.max_lifetime_ms + found.care.auto_delete_ms, 0);
    assert_int_equal(found.care.health_command.bytes, 0);
}

static void a_box_of_an_older_home_has_nothing_mounted(void **state) {
    bench *b = *state;
    box_record found;
    add_image(b, "sha256:aaaa1", "one");
    assert_int_equal(add_box(b, "aaaaaaaaaaaa", "web"), 0);
    store_close(b->s);
    b->s = NULL;
    run_sql(b->path, BACK_TO_4);
    assert_int_equal(store_open(b->path, &b->s, NULL), 0);
    assert_int_equal(store_find_box(b->s, "web", &b->a, &found, NULL), 0);
    assert_int_equal(found.mounts.bytes, 0);
    bool is_new = false;
    assert_int_equal(store_add_volume(b->s, "data", &is_new, NULL), 0);
    assert_true(is_new);
    assert_int_equal(store_add_volume(b->s, "data", &is_new, NULL), 0);
    assert_false(is_new);
}

static void expect_volume(bench *b, const char *name, uint64_t boxes) {
    volume_record found;
    assert_int_equal(store_find_volume(b->s, name, &b->a, &found, NULL), 0);
    assert_string_equal(found.name, name);
    assert_true(found.created_at_ms > 0);
    assert_int_equal(found.boxes, boxes);
}

static void a_volume_is_made_with_the_first_box_that_mounts_it_and_outlives_the_last(void **state) {
    bench *b = *state;
    volume_record *list;
    size_t count;
    nb_error err;
    box_record first = box("aaaaaaaaaaaa", ""), second = box("bbbbbbbbbbbb", ""), found;
    add_image(b, "sha256:aaaa1", "one");
    first.mounts = LIST("volume\0data\0/a\0\0volume\0data\0/b\0ro\0bind\0/srv\0/c\0\0tmpfs\0\0/d\0size=1m\0");
    second.mounts = LIST("volume\0data\0/a\0\0volume\0more\0/b\0\0");
    assert_int_equal(store_add_box(b->s, &first, NULL), 0);
    expect_volume(b, "data", 1);
    assert_int_equal(store_add_box(b->s, &second, NULL), 0);
    expect_volume(b, "data", 2);
    expect_volume(b, "more", 1);
    assert_int_equal(store_find_box(b->s, "aaaaaaaaaaaa", &b->a, &found, NULL), 0);
    assert_int_equal(found.mounts.bytes, first.mounts.bytes);
    assert_memory_equal(found.mounts.at, first.mounts.at, first.mounts.bytes);

    assert_int_equal(store_remove_volume(b->s, "data", &err), -NB_E_INVALID_STATE);
    assert_non_null(strstr(err.message, "used by 2 boxes"));
    (void) remove_box(b, "aaaaaaaaaaaa");
    assert_int_equal(store_remove_volume(b->s, "data", &err), -NB_E_INVALID_STATE);
    (void) remove_box(b, "bbbbbbbbbbbb");
    expect_volume(b, "data", 0);
    assert_int_equal(store_list_volumes(b->s, &b->a, &list, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_string_equal(list[0].name, "data");
    assert_string_equal(list[1].name, "more");
    assert_int_equal(store_remove_volume(b->s, "data", NULL), 0);
    assert_int_equal(store_remove_volume(b->s, "data", NULL), -NB_E_NOT_FOUND);
}

static void a_box_that_is_not_recorded_makes_no_volume(void **state) {
    bench *b = *state;
    volume_record found;
    box_record x = box("aaaaaaaaaaaa", "");
    x.mounts = LIST("volume\0data\0/a\0\0");
    assert_true(store_add_box(b->s, &x, NULL) < 0); /* its image is not here */
    assert_int_equal(store_find_volume(b->s, "data", &b->a, &found, NULL), -NB_E_NOT_FOUND);
}

static void an_image_of_an_older_home_says_nothing_new_until_it_is_made_again(void **state) {
    bench *b = *state;
    image_record found, again = full_image();
    add_image(b, again.id, "one");
    store_close(b->s);
    b->s = NULL;
    run_sql(b->path, BACK_TO_3);
    assert_int_equal(store_open(b->path, &b->s, NULL), 0);
    assert_int_equal(store_find_image(b->s, "one", &b->a, &found, NULL), 0);
    assert_int_equal(found.exposed_ports.bytes + found.volumes.bytes + found.shell.bytes + found.health_test.bytes, 0);
    assert_int_equal(found.health_retries, 0);
    assert_int_equal(found.used_at_ms, 1); /* when it came */
    again.created_at_ms = again.used_at_ms = 2;
    assert_int_equal(store_add_image(b->s, &again, NULL), 0);
    assert_int_equal(store_find_image(b->s, "one", &b->a, &found, NULL), 0);
    assert_list(found.exposed_ports, again.exposed_ports);
    assert_list(found.health_test, again.health_test);
    assert_int_equal(found.created_at_ms, 1); /* it is as old as it was */
    assert_int_equal(found.used_at_ms, 2);
}

static void blobs_are_an_image_s_own_and_go_with_it(void **state) {
    bench *b = *state;
    static const char two[] = "sha256:1\0sha256:2", three[] = "sha256:2\0sha256:3\0sha256:3\0sha256:4";
    image_record first = image("sha256:aaaa1", "one");
    bool gone;
    add_image(b, "sha256:aaaa1", "one");
    add_image(b, "sha256:aaaa2", "two");
    assert_int_equal(store_set_image_blobs(b->s, "sha256:aaaa1", (strv){two, sizeof(two)}, NULL), 0);
    assert_int_equal(store_set_image_blobs(b->s, "sha256:aaaa2", (strv){two, sizeof(two)}, NULL), 0);
    assert_int_equal(store_set_image_blobs(b->s, "sha256:aaaa2", (strv){three, sizeof(three)}, NULL), 0);
    expect_blobs(b, "sha256:aaaa1", 2);
    expect_blobs(b, "sha256:aaaa2", 3);
    expect_blobs(b, NULL, 5);
    assert_int_equal(store_remove_image(b->s, &first, &gone, NULL), 0);
    assert_true(gone);
    expect_blobs(b, NULL, 3);
    expect_blobs(b, "sha256:aaaa1", 0);
    assert_true(store_set_image_blobs(b->s, "sha256:none", (strv){two, sizeof(two)}, NULL) < 0);
}

static void another_programs_database_is_refused(void **state) {
    bench *b = *state;
    store_close(b->s);
    b->s = NULL;
    run_sql(b->path, "PRAGMA application_id = 7");
    expect_refused(b, "another program");
}

static void a_damaged_file_is_refused(void **state) {
    bench *b = *state;
    store_close(b->s);
    b->s = NULL;
    test_folder_write(&b->folder, "nestbox.db",
                      "This is no database, but long enough to be taken for one: "
                      "0123456789012345678901234567890123456789012345678901234567890123456789",
                      128);
    expect_refused(b, "not a database");
}

/* SQLite's own allocations take part in the sweep. */
static sqlite3_mem_methods real_memory;

static void *sqlite_malloc(int size) {
    return fail_alloc_now() ? NULL : real_memory.xMalloc(size);
}

static void *sqlite_realloc(void *memory, int size) {
    return fail_alloc_now() ? NULL : real_memory.xRealloc(memory, size);
}

static int route_sqlite_memory(void **state) {
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory), SQLITE_OK);
    sqlite3_mem_methods failing = real_memory;
    failing.xMalloc = sqlite_malloc;
    failing.xRealloc = sqlite_realloc;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &failing), SQLITE_OK);
    return 0;
}

static void a_search_without_memory_is_refused_and_works_again(void **state) {
    bench *b = *state;
    add_image(b, "sha256:aaaa1", "busybox");
    assert_int_equal(add_box(b, "aaaaaaaaaaaa", "web"), 0);
    bool through = false;
    for (unsigned n = 0; !through; n++) {
        arena a = {0};
        box_record found = {.id = "untouched"};
        nb_error err;
        fail_alloc_at(n);
        int result = store_find_box(b->s, "web", &a, &found, &err);
        bool fired = fail_alloc_fired();
        if (result == 0) /* SQLite does without some of its memory */
            assert_string_equal(found.id, "aaaaaaaaaaaa");
        else if (result != -NB_E_NO_MEMORY || strcmp(found.id, "untouched") != 0)
            fail_msg("allocation %u: %s", n, err.message);
        through = !fired;
        assert_true(!through || (result == 0 && n >= 3));
        arena_done(&a);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_box_comes_back_as_it_went),
        TEST(a_name_is_taken_once_and_no_name_by_anyone),
        TEST(a_box_needs_its_image),
        TEST(a_box_is_found_by_name_id_or_prefix),
        TEST(an_image_comes_back_as_it_went),
        TEST(an_image_is_found_by_name_id_or_prefix),
        TEST(a_name_moves_to_the_newer_image),
        TEST(an_image_goes_with_its_last_name_unless_a_box_needs_it),
        TEST(images_without_boxes_are_listed_by_when_they_were_used),
        TEST(an_image_that_has_gone_gets_no_name),
        TEST(programs_that_share_a_home_wait_for_each_other),
        TEST(programs_that_make_a_home_at_once_make_one),
        TEST(a_newer_home_is_refused_and_left_alone),
        TEST(an_older_home_is_brought_up_with_all_that_is_in_it),
        TEST(a_box_of_an_older_home_is_not_cared_for),
        TEST(a_box_of_an_older_home_has_nothing_mounted),
        TEST(a_volume_is_made_with_the_first_box_that_mounts_it_and_outlives_the_last),
        TEST(a_box_that_is_not_recorded_makes_no_volume),
        TEST(an_image_of_an_older_home_says_nothing_new_until_it_is_made_again),
        TEST(blobs_are_an_image_s_own_and_go_with_it),
        TEST(another_programs_database_is_refused),
        TEST(a_damaged_file_is_refused),
        TEST(a_search_without_memory_is_refused_and_works_again),
    };
    return cmocka_run_group_tests(tests, route_sqlite_memory, NULL);
}
