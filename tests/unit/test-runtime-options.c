/* SPDX-License-Identifier: Apache-2.0
 *
 * test-runtime-options.c - option structs of other versions, names, lists of strings, and where images come from
 */
#include "base/cleanup.h"
#include "base/size.h"
#include "fail.h"
#include "runtime/image-reference.h"
#include "runtime/options.h"
#include "test-folder.h"
#include "wire/limits.h"

#include <limits.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A struct of ours, the same before its last member was added, and a later one. */
typedef struct ours {
    size_t size;
    uint64_t a, b;
} ours;
typedef struct older {
    size_t size;
    uint64_t a;
} older;
typedef struct newer {
    size_t size;
    uint64_t a, b, c, d;
} newer;

static void a_callers_older_struct_leaves_the_rest_zero(void **state) {
    older given = {.size = sizeof(given), .a = 7};
    ours taken = {1, 2, 3};
    assert_int_equal(options_take(&taken, sizeof(taken), &given, "options", NULL), 0);
    assert_int_equal(taken.a, 7);
    assert_int_equal(taken.b, 0);
    assert_int_equal(options_take(&taken, sizeof(taken), NULL, "options", NULL), 0);
    assert_int_equal(taken.a, 0);
}

static void a_callers_newer_struct_may_not_ask_for_what_we_do_not_know(void **state) {
    newer given = {.size = sizeof(given), .a = 7, .b = 8};
    ours taken;
    nb_error err;
    assert_int_equal(options_take(&taken, sizeof(taken), &given, "options", &err), 0);
    assert_int_equal(taken.b, 8);
    for (unsigned bit = 0; bit < 64; bit++) {
        given.d = UINT64_C(1) << bit;
        assert_int_equal(options_take(&taken, sizeof(taken), &given, "options", &err), -NB_E_UNSUPPORTED);
    }
    assert_non_null(strstr(err.message, "options"));
}

static void a_struct_without_its_size_is_refused(void **state) {
    ours given = {.size = 0}, taken;
    nb_error err;
    assert_int_equal(options_take(&taken, sizeof(taken), &given, "options", &err), -NB_E_INVALID);
    assert_non_null(strstr(err.message, "_INIT"));
    given.size = sizeof(size_t) - 1;
    assert_int_equal(options_take(&taken, sizeof(taken), &given, "options", &err), -NB_E_INVALID);
    given.size = SIZE_MAX; /* not read that far */
    assert_int_equal(options_take(&taken, sizeof(taken), &given, "options", &err), -NB_E_INVALID);
    given.size = sizeof(size_t);
    assert_int_equal(options_take(&taken, sizeof(taken), &given, "options", &err), 0);
}

static void names_are_what_a_path_and_a_shell_can_bear(void **state) {
    static const char *const good[] = {"a", "0", "web", "Web-1.2_x", "a--"};
    static const char *const bad[] = {"", "-a", ".", "..", ".a", "_a", "a b", "a/b", "a\n", "\xc3\xa9", "a:b", "a\x7f"};
    char text[130];
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++)
        assert_true(name_is_valid(good[i]));
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_false(name_is_valid(bad[i]));
    for (size_t length = 127; length <= 129; length++) {
        memset(text, 'n', length);
        text[length] = '\0';
        assert_int_equal(name_is_valid(text), length <= 128);
    }
}

static void strings_are_there_fit_and_are_pairs_where_asked(void **state) {
    nb_error err;
    CLEANUP(buf_done) buf packed;
    buf_init(&packed, 6);
    assert_int_equal(options_add_strings(&packed, (nb_strings){NULL, 0}, "command", &err), 0);
    assert_int_equal(options_add_strings(&packed, (nb_strings){NULL, 1}, "command", &err), -NB_E_INVALID);
    assert_int_equal(options_add_strings(&packed, (nb_strings){(const char *const[]){"a", NULL}, 2}, "command", &err), -NB_E_INVALID);
    assert_non_null(strstr(err.message, "command"));
    buf_clear(&packed);
    assert_int_equal(options_add_strings(&packed, (nb_strings){(const char *const[]){"ab", "cd"}, 2}, "command", &err), 0);
    assert_memory_equal(buf_bytes(&packed), "ab\0cd\0", 6);
    assert_int_equal(options_add_strings(&packed, (nb_strings){(const char *const[]){""}, 1}, "command", &err), -NB_E_INVALID);

    assert_int_equal(options_check_pairs((nb_strings){(const char *const[]){"A=", "B=c=d"}, 2}, "label", &err), 0);
    static const char *const bad[] = {"A", "=b", "", NULL};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(options_check_pairs((nb_strings){&bad[i], 1}, "label", &err), -NB_E_INVALID);
}

/* ------------------------------------------------------------------------------------------------- image references */

static void expect_reference(const char *text, uint8_t kind, const char *path, const char *tag) {
    image_reference r;
    nb_error err;
    int result = image_reference_parse(text, &r, &err);
    if (result < 0)
        fail_msg("'%s': %s", text, err.message);
    assert_int_equal(r.kind, kind);
    if (kind) {
        assert_string_equal(r.path, path);
        assert_string_equal(r.tag, tag);
    } else {
        assert_null(r.path);
    }
    image_reference_done(&r);
}

static void an_image_comes_from_a_file_a_folder_or_by_name(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    char real[PATH_MAX], text[PATH_MAX + 64], path[PATH_MAX + 32];
    assert_non_null(realpath(folder.path, real));
    test_folder_write(&folder, "a.tar", "", 0);
    test_folder_write(&folder, "a:b.tar", "", 0);
    assert_int_equal(mkdirat(folder.fd, "layout", 0700), 0);
    static const struct {
        const char *prefix, *rest, *file, *tag;
        uint8_t kind;
    } cases[] = {
        {"rootfs:", "a.tar", "a.tar", "", WIRE_IMAGE_ROOTFS},
        {"rootfs:", "a:b.tar", "a:b.tar", "", WIRE_IMAGE_ROOTFS},
        {"oci:", "layout", "layout", "", WIRE_IMAGE_OCI_LAYOUT},
        {"oci:", "layout:v1", "layout", "v1", WIRE_IMAGE_OCI_LAYOUT},
        {"oci:", "layout/:v1", "layout", "v1", WIRE_IMAGE_OCI_LAYOUT},
        {"oci-archive:", "a.tar:x", "a.tar", "x", WIRE_IMAGE_OCI_ARCHIVE},
        {"docker-archive:", "a.tar:example.com:5000/web:1", "a.tar", "example.com:5000/web:1", WIRE_IMAGE_DOCKER_ARCHIVE},
        {"docker-archive:", "a:b.tar", "a:b.tar", "", WIRE_IMAGE_DOCKER_ARCHIVE},
        {"docker-archive:", "a:b.tar:c", "a:b.tar", "c", WIRE_IMAGE_DOCKER_ARCHIVE},
        {"dir:", "layout", "layout", "", WIRE_IMAGE_DIRECTORY},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        (void) snprintf(text, sizeof(text), "%s%s/%s", cases[i].prefix, folder.path, cases[i].rest);
        (void) snprintf(path, sizeof(path), "%s/%s", real, cases[i].file);
        expect_reference(text, cases[i].kind, path, cases[i].tag);
    }
    static const char *const names[] = {"busybox", "", "sha256:0123", "rootfs", "ghcr.io/a/b:1", "OCI:/tmp", " oci:/tmp"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        expect_reference(names[i], 0, NULL, NULL);
}

static void what_is_no_source_is_refused_with_its_name(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    char text[PATH_MAX];
    assert_int_equal(mkfifoat(folder.fd, "fifo", 0600), 0);
    test_folder_write(&folder, "file", "", 0);
    static const struct {
        const char *prefix, *rest;
        int result;
    } cases[] = {
        {"rootfs:", "/none", -NB_E_NOT_FOUND},    {"rootfs:", "/file/below", -NB_E_NOT_FOUND},
        {"rootfs:", "", -NB_E_INVALID},           {"rootfs:", "/fifo", -NB_E_INVALID},
        {"oci:", "/file", -NB_E_INVALID},         {"oci:", "/none:tag", -NB_E_NOT_FOUND},
        {"dir:", "/file", -NB_E_INVALID},         {"docker-archive:", "", -NB_E_INVALID},
        {"oci-archive:", "/fifo", -NB_E_INVALID},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        (void) snprintf(text, sizeof(text), "%s%s%s", cases[i].prefix, folder.path, cases[i].rest);
        image_reference r = {.kind = 99};
        nb_error err;
        assert_int_equal(image_reference_parse(text, &r, &err), cases[i].result);
        assert_non_null(strstr(err.message, text));
        assert_int_equal(r.kind, 99);
    }
    image_reference r;
    assert_int_equal(image_reference_parse("rootfs:", &r, NULL), -NB_E_INVALID);
    assert_int_equal(image_reference_parse("oci:", &r, NULL), -NB_E_INVALID);
}

static void a_reference_without_memory_is_refused(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    char text[PATH_MAX];
    (void) snprintf(text, sizeof(text), "oci:%s:tag", folder.path);
    for (unsigned n = 0;; n++) {
        image_reference r = {.kind = 99};
        nb_error err;
        fail_alloc_at(n);
        int result = image_reference_parse(text, &r, &err);
        if (!fail_alloc_fired()) {
            assert_int_equal(result, 0);
            assert_true(n >= 2);
            image_reference_done(&r);
            return;
        }
        assert_int_equal(result, -NB_E_NO_MEMORY);
        assert_int_equal(err.code, NB_E_NO_MEMORY);
        assert_int_equal(r.kind, 99);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_callers_older_struct_leaves_the_rest_zero),
        cmocka_unit_test(a_callers_newer_struct_may_not_ask_for_what_we_do_not_know),
        cmocka_unit_test(a_struct_without_its_size_is_refused),
        cmocka_unit_test(names_are_what_a_path_and_a_shell_can_bear),
        cmocka_unit_test(strings_are_there_fit_and_are_pairs_where_asked),
        cmocka_unit_test(an_image_comes_from_a_file_a_folder_or_by_name),
        cmocka_unit_test(what_is_no_source_is_refused_with_its_name),
        cmocka_unit_test(a_reference_without_memory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
