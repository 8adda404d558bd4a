/* SPDX-License-Identifier: Apache-2.0
 *
 * test-runtime-mount.c - what may be mounted in a box, and what its shim is told of it
 */
#include "base/cleanup.h"
#include "base/size.h"
#include "runtime/mount.h"
#include "runtime/volume.h"
#include "test-folder.h"

#include <string.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What the store and the file system do in the library. */
int volume_make_folder(nb_runtime *rt, const char *name, char **ret_path, nb_error *err) {
    return asprintf(ret_path, "/home/volumes/%s", name) < 0 ? nb_fail_oom(err) : 0;
}

static int set_up(void **state) {
    static test_folder folder;
    folder = test_folder_make();
    *state = &folder;
    return 0;
}

static int tear_down(void **state) {
    test_folder_remove(*state);
    return 0;
}

static int keep(const nb_mount *items, size_t count, buf *record, nb_error *err) {
    buf_init(record, MOUNT_RECORD_MAX_BYTES);
    return mounts_keep(&(nb_mounts){items, count}, record, err);
}

static void expect_refused(nb_mount mount, int code, const char *says) {
    CLEANUP(buf_done) buf record;
    nb_error err;
    assert_int_equal(keep(&mount, 1, &record, &err), -code);
    if (!strstr(err.message, says) && !strstr(err.hint, says))
        fail_msg("'%s' (%s) does not say '%s'", err.message, err.hint, says);
}

static void a_target_is_absolute_and_not_the_box_s_own(void **state) {
    static const struct {
        const char *target, *says;
    } bad[] = {
        {NULL, "must be absolute"},
        {"", "must be absolute"},
        {"data", "must be absolute"},
        {"/", "root"},
        {"//.", "root"},
        {"/a/..", "root"},
        {"/proc", "/proc, /sys"},
        {"/proc/sys/x", "/proc, /sys"},
        {"/x/../sys", "/proc, /sys"},
        {"/dev", "/proc, /sys"},
        {"/dev/null", "/proc, /sys"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        expect_refused((nb_mount){.kind = NB_MOUNT_TMPFS, .target = bad[i].target}, NB_E_INVALID, bad[i].says);
    char *long_path = calloc(1, 5000);
    memset(long_path, 'x', 4999);
    long_path[0] = '/';
    expect_refused((nb_mount){.kind = NB_MOUNT_TMPFS, .target = long_path}, NB_E_INVALID, "longer than 4094 bytes");
    free(long_path);
}

static void a_host_path_is_absolute_and_there(void **state) {
    test_folder *folder = *state;
    char missing[200];
    (void) snprintf(missing, sizeof(missing), "%s/missing", folder->path);
    expect_refused((nb_mount){.source = "rel", .target = "/x"}, NB_E_INVALID, "'rel' at '/x': the host's path must be absolute");
    expect_refused((nb_mount){.source = NULL, .target = "/x"}, NB_E_INVALID, "must be absolute");
    expect_refused((nb_mount){.source = missing, .target = "/x"}, NB_E_NOT_FOUND, "the host has no such file or folder");
    expect_refused((nb_mount){.source = missing, .target = "/x"}, NB_E_NOT_FOUND, "mkdir -p");
    expect_refused((nb_mount){.source = "/dev/null", .target = "/x"}, NB_E_INVALID, "neither a folder nor a regular file");
    expect_refused((nb_mount){.source = folder->path, .target = "/x", .options = "size=1m"}, NB_E_INVALID, "only a tmpfs has options");
}

static void a_volume_has_a_name_and_no_path(void **state) {
    static const char *const bad[] = {"", ".hidden", "a/b", "-x", "a b", "ä"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        expect_refused((nb_mount){.kind = NB_MOUNT_VOLUME, .source = bad[i], .target = "/x"}, NB_E_INVALID, "begins with ./");
    expect_refused((nb_mount){.kind = (nb_mount_kind) 7, .target = "/x"}, NB_E_INVALID, "no kind 7");
}

static void a_tmpfs_takes_its_own_options_alone(void **state) {
    static const char *const bad[] = {"foo",     "size",   "size=", "size=0",   "size=1x", "mode=8", "mode=77777",   "mode=-1",
                                      "mode= 7", "uid=-1", "uid=x", "nosuid=1", "ro,,rw",  "exec=",  "size=64m,bad", "SIZE=1m"};
    static const char *const good[] = {
        "", "size=64m", "mode=1777", "uid=1000,gid=1000", "nr_inodes=10", "ro", "exec,suid,dev", "noexec,rw,nosuid,nodev"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        expect_refused((nb_mount){.kind = NB_MOUNT_TMPFS, .target = "/x", .options = bad[i]}, NB_E_INVALID, "is no option of it");
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        CLEANUP(buf_done) buf record;
        nb_mount mount = {.kind = NB_MOUNT_TMPFS, .target = "/x", .options = good[i]};
        assert_int_equal(keep(&mount, 1, &record, NULL), 0);
    }
    expect_refused((nb_mount){.kind = NB_MOUNT_TMPFS, .source = "/a", .target = "/x"}, NB_E_INVALID, "it has no source");
}

static void two_mounts_at_one_place_are_refused_however_it_is_spelled(void **state) {
    CLEANUP(buf_done) buf record;
    nb_error err;
    const nb_mount two[] = {{.kind = NB_MOUNT_TMPFS, .target = "/a/b"}, {.kind = NB_MOUNT_TMPFS, .target = "//a/./c/../b/"}};
    assert_int_equal(keep(two, 2, &record, &err), -NB_E_INVALID);
    assert_non_null(strstr(err.message, "two mounts have that path"));
}

static void more_than_there_can_be_are_refused(void **state) {
    static nb_mount many[NB_MOUNTS_MAX + 1];
    static char targets[NB_MOUNTS_MAX + 1][16];
    nb_error err;
    buf record;
    for (size_t i = 0; i < ARRAY_LENGTH(many); i++) {
        (void) snprintf(targets[i], sizeof(targets[i]), "/m/%zu", i);
        many[i] = (nb_mount){.kind = NB_MOUNT_TMPFS, .target = targets[i]};
    }
    assert_int_equal(keep(many, NB_MOUNTS_MAX, &record, NULL), 0);
    buf_done(&record);
    assert_int_equal(keep(many, NB_MOUNTS_MAX + 1, &record, &err), -NB_E_INVALID);
    assert_non_null(strstr(err.message, "257"));
    buf_done(&record);
}

static void expect_words(strv list, const char *const *words, size_t count) {
    const char *word = NULL;
    for (size_t i = 0; i < count; i++) {
        word = strv_next(list, word);
        assert_non_null(word);
        assert_string_equal(word, words[i]);
    }
    assert_null(strv_next(list, word));
}

static void what_was_kept_is_told_and_ordered(void **state) {
    test_folder *folder = *state;
    CLEANUP(buf_done) buf record, order;
    arena a = {0};
    const nb_mount mounts[] = {
        {.source = folder->path, .target = "/src/", .read_only = true},
        {.kind = NB_MOUNT_VOLUME, .source = "data", .target = "/data"},
        {.kind = NB_MOUNT_TMPFS, .target = "/scratch", .options = "size=1m,exec,rw,mode=700", .read_only = true},
        {.kind = NB_MOUNT_TMPFS, .target = "/plain"},
    };
    const char *const words[] = {
        "volume", folder->path, "/src",   "ro",      "volume",   "/home/volumes/data",
        "/data",  "",           "tmpfs",  "exec,ro", "/scratch", "size=1048576,mode=700",
        "tmpfs",  "",           "/plain", "",
    };
    assert_int_equal(keep(mounts, ARRAY_LENGTH(mounts), &record, NULL), 0);
    assert_true(mounts_name_volumes(strv_of(&record)));
    buf_init(&order, MOUNT_RECORD_MAX_BYTES);
    assert_int_equal(mounts_order(NULL, strv_of(&record), &order, NULL), 0);
    expect_words(strv_of(&order), words, ARRAY_LENGTH(words));

    nb_mounts told = mounts_result(&a, strv_of(&record));
    assert_int_equal(told.count, 4);
    assert_int_equal(told.items[0].kind, NB_MOUNT_BIND);
    assert_string_equal(told.items[0].source, folder->path);
    assert_string_equal(told.items[0].target, "/src");
    assert_true(told.items[0].read_only && !told.items[1].read_only && told.items[2].read_only && !told.items[3].read_only);
    assert_int_equal(told.items[1].kind, NB_MOUNT_VOLUME);
    assert_string_equal(told.items[1].source, "data");
    assert_null(told.items[2].source);
    assert_string_equal(told.items[2].options, "size=1m,exec,rw,mode=700,ro");
    assert_null(told.items[0].options);
    arena_done(&a);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_target_is_absolute_and_not_the_box_s_own),
        TEST(a_host_path_is_absolute_and_there),
        TEST(a_volume_has_a_name_and_no_path),
        TEST(a_tmpfs_takes_its_own_options_alone),
        TEST(two_mounts_at_one_place_are_refused_however_it_is_spelled),
        TEST(more_than_there_can_be_are_refused),
        TEST(what_was_kept_is_told_and_ordered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
