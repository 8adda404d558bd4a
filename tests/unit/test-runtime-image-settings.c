/* SPDX-License-Identifier: Apache-2.0
 *
 * test-runtime-image-settings.c - images.json: where it is looked for, and what it may say
 */
#include "base/size.h"
#include "runtime/image-settings.h"
#include "test-folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct bench {
    test_folder folder;
    char path[128];
    image_settings settings;
    nb_error err;
} bench;

static int set_up(void **state) {
    static bench b;
    b = (bench){.folder = test_folder_make()};
    (void) snprintf(b.path, sizeof(b.path), "%s/images.json", b.folder.path);
    (void) setenv("NESTBOX_IMAGES", b.path, true);
    (void) unsetenv("XDG_CONFIG_HOME");
    (void) setenv("HOME", b.folder.path, true);
    *state = &b;
    return 0;
}

static int tear_down(void **state) {
    bench *b = *state;
    test_folder_remove(&b->folder);
    return 0;
}

static int load(bench *b, const char *text) {
    test_folder_write(&b->folder, "images.json", text, strlen(text));
    b->settings = (image_settings){0};
    return image_settings_load(&b->settings, &b->err);
}

static void load_well(bench *b, const char *text) {
    if (load(b, text) < 0)
        fail_msg("%s", b->err.message);
}

static void assert_refused(bench *b, const char *text, const char *word) {
    if (load(b, text) != -NB_E_INVALID)
        fail_msg("taken: %s", text);
    if (!strstr(b->err.message, word) || !strstr(b->err.message, b->path))
        fail_msg("no '%s' in: %s", word, b->err.message);
}

static void without_a_file_there_are_defaults(void **state) {
    bench *b = *state;
    (void) unsetenv("NESTBOX_IMAGES");
    assert_int_equal(image_settings_load(&b->settings, &b->err), 0);
    assert_int_equal(b->settings.limits.max_layers, IMAGE_LAYERS_DEFAULT);
    assert_int_equal(b->settings.limits.max_ratio, IMAGE_RATIO_DEFAULT);
    assert_int_equal(b->settings.limits.max_bytes, IMAGE_DISK_DEFAULT_BYTES);
    assert_int_equal(b->settings.max_seconds, IMAGE_SECONDS_DEFAULT);
    assert_int_equal(b->settings.store_max_bytes, 0);
    load_well(b, "{}");
    assert_int_equal(b->settings.limits.max_entries, IMAGE_ENTRIES_DEFAULT);
    assert_int_equal(b->settings.limits.max_manifest_bytes, IMAGE_JSON_DEFAULT_BYTES);
}

static void the_file_is_looked_for_in_the_user_s_folders(void **state) {
    bench *b = *state;
    static const char below_home[] = "{\"max_layers\": 1}", below_xdg[] = "{\"max_layers\": 2}", named[] = "{\"max_layers\": 3}";
    static const char *const folders[] = {".config", ".config/nestbox", "xdg", "xdg/nestbox"};
    char path[256];
    for (size_t i = 0; i < ARRAY_LENGTH(folders); i++) {
        (void) snprintf(path, sizeof(path), "%s/%s", b->folder.path, folders[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    (void) unsetenv("NESTBOX_IMAGES");
    test_folder_write(&b->folder, ".config/nestbox/images.json", below_home, strlen(below_home));
    assert_int_equal(image_settings_load(&b->settings, NULL), 0);
    assert_int_equal(b->settings.limits.max_layers, 1);
    (void) snprintf(path, sizeof(path), "%s/xdg", b->folder.path);
    (void) setenv("XDG_CONFIG_HOME", path, true);
    assert_int_equal(image_settings_load(&b->settings, NULL), 0);
    assert_int_equal(b->settings.limits.max_layers, 1); /* nothing is there yet */
    test_folder_write(&b->folder, "xdg/nestbox/images.json", below_xdg, strlen(below_xdg));
    assert_int_equal(image_settings_load(&b->settings, NULL), 0);
    assert_int_equal(b->settings.limits.max_layers, 2);
    (void) setenv("NESTBOX_IMAGES", b->path, true);
    load_well(b, named);
    assert_int_equal(b->settings.limits.max_layers, 3);
}

static void a_file_that_was_named_must_be_there(void **state) {
    bench *b = *state;
    assert_int_equal(image_settings_load(&b->settings, &b->err), -NB_E_NOT_FOUND);
    assert_non_null(strstr(b->err.message, b->path));
}

static void every_limit_goes_from_1_to_its_most(void **state) {
    bench *b = *state;
    static const struct {
        const char *name;
        uint64_t most;
    } all[] = {
#define ROW(name, value_by_default, most) {#name, most},
        IMAGE_LIMITS(ROW)
#undef ROW
            {"max_seconds", IMAGE_SECONDS_MAX},
        {"store_max_bytes", IMAGE_STORE_MAX_BYTES},
    };
    char text[128];
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++) {
        const uint64_t good[] = {1, all[i].most - 1, all[i].most}, bad[] = {0, all[i].most + 1, UINT64_MAX};
        for (size_t n = 0; n < 3; n++) {
            (void) snprintf(text, sizeof(text), "{\"%s\": %llu}", all[i].name, (unsigned long long) good[n]);
            load_well(b, text);
            (void) snprintf(text, sizeof(text), "{\"%s\": %llu}", all[i].name, (unsigned long long) bad[n]);
            assert_refused(b, text, all[i].name);
        }
        (void) snprintf(text, sizeof(text), "{\"%s\": -1}", all[i].name);
        assert_refused(b, text, all[i].name);
    }
    load_well(b, "{\"max_ratio\": 7, \"max_seconds\": 8, \"max_entries\": 9}");
    assert_int_equal(b->settings.limits.max_ratio, 7);
    assert_int_equal(b->settings.max_seconds, 8);
    assert_int_equal(b->settings.limits.max_entries, 9);
    assert_int_equal(b->settings.limits.max_layers, IMAGE_LAYERS_DEFAULT);
}

static void bytes_may_be_a_text(void **state) {
    bench *b = *state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"1", 1}, {"20g", UINT64_C(20) << 30}, {"3M", 3 << 20}, {"4k", 4 << 10}};
    static const char *const bad[] = {
        "", "g", "1t", "1gg", "1 g", "-1", "1.5g", "0", "1025g", "99999999999999999999", "18014398509481984k"};
    char text[128];
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        (void) snprintf(text, sizeof(text), "{\"max_bytes\": \"%s\"}", good[i].text);
        load_well(b, text);
        assert_int_equal(b->settings.limits.max_bytes, good[i].bytes);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        (void) snprintf(text, sizeof(text), "{\"max_bytes\": \"%s\"}", bad[i]);
        assert_refused(b, text, "max_bytes");
    }
    assert_refused(b, "{\"max_layers\": \"1k\"}", "max_layers");
    load_well(b, "{\"store_max_bytes\": \"50g\"}");
    assert_int_equal(b->settings.store_max_bytes, UINT64_C(50) << 30);
}

static void what_is_wrong_is_named(void **state) {
    bench *b = *state;
    static const struct {
        const char *text, *word;
    } wrong[] = {
        {"", "JSON"},
        {"{", "JSON"},
        {"{\"max_layers\": 1,}", "JSON"},
        {"{max_layers: 1}", "JSON"},
        {"[]", "object"},
        {"1", "object"},
        {"null", "object"},
        {"{\"nonsense\": 1}", "nonsense"},
        {"{\"\": 1}", "setting"},
        {"{\"max_layers\": 1, \"max_layers\": 1}", "twice"},
        {"{\"max_layers\": null}", "max_layers"},
        {"{\"max_layers\": true}", "max_layers"},
        {"{\"max_layers\": 1.0}", "max_layers"},
        {"{\"max_layers\": [1]}", "max_layers"},
        {"{\"max_layers\": {\"max_layers\": 1}}", "max_layers"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++)
        assert_refused(b, wrong[i].text, wrong[i].word);
    test_folder_write(&b->folder, "images.json", "{}\0{", 4);
    assert_int_equal(image_settings_load(&b->settings, &b->err), -NB_E_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(without_a_file_there_are_defaults),
        TEST(the_file_is_looked_for_in_the_user_s_folders),
        TEST(a_file_that_was_named_must_be_there),
        TEST(every_limit_goes_from_1_to_its_most),
        TEST(bytes_may_be_a_text),
        TEST(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
