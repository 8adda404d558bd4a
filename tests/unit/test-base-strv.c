/* SPDX-License-Identifier: Apache-2.0
 *
 * test-base-strv.c - packed lists of strings, and environments laid over one another
 */
#include "base/cleanup.h"
#include "base/strv.h"
#include "fail.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define LIST(text) ((strv){(text), sizeof(text) - 1})

static void a_list_is_empty_or_ends_in_nul(void **state) {
    assert_true(strv_is_valid((strv){NULL, 0}));
    assert_true(strv_is_valid(LIST("\0")));
    assert_true(strv_is_valid(LIST("a\0b\0")));
    assert_false(strv_is_valid(LIST("a\0b")));
    assert_int_equal(strv_count((strv){NULL, 0}), 0);
    assert_int_equal(strv_count(LIST("\0")), 1);
    assert_int_equal(strv_count(LIST("a\0\0bc\0")), 3);
}

static void strings_come_back_as_they_went_in(void **state) {
    static const char *const strings[] = {"", "a", "two words", "", "=", "\xff"};
    CLEANUP(buf_done) buf packed;
    buf_init(&packed, 100);
    assert_true(strv_add_array(&packed, strings, 6));
    CLEANUP(cleanup_free) char **pointers = strv_pointers(strv_of(&packed));
    assert_non_null(pointers);
    const char *at = NULL;
    for (size_t i = 0; i < 6; i++) {
        at = strv_next(strv_of(&packed), at);
        assert_string_equal(at, strings[i]);
        assert_string_equal(pointers[i], strings[i]);
    }
    assert_null(strv_next(strv_of(&packed), at));
    assert_null(pointers[6]);
}

static void a_string_fits_with_its_nul_or_not_at_all(void **state) {
    for (size_t max = 3; max <= 5; max++) {
        CLEANUP(buf_done) buf packed;
        buf_init(&packed, max);
        assert_int_equal(strv_add(&packed, "abc"), max >= 4);
        assert_int_equal(buf_length(&packed), max >= 4 ? 4 : 0);
    }
}

static void the_last_of_equal_names_counts(void **state) {
    strv env = LIST("PATH=/a\0PATH2=/b\0PATH=/c\0EMPTY=\0NAKED\0");
    assert_string_equal(strv_env_get(env, "PATH"), "/c");
    assert_string_equal(strv_env_get(env, "EMPTY"), "");
    assert_null(strv_env_get(env, "NAKED"));
    assert_null(strv_env_get(env, "PAT"));
    assert_null(strv_env_get((strv){NULL, 0}, "PATH"));
}

static void an_environment_over_another_replaces_by_whole_names(void **state) {
    CLEANUP(buf_done) buf merged;
    buf_init(&merged, 100);
    static const char expected[] = "AB=2\0C=3\0A=9\0D=\0D=1\0";
    assert_true(strv_env_merge(&merged, LIST("A=1\0AB=2\0A=5\0C=3\0D=4\0"), LIST("A=9\0D=\0D=1\0")));
    assert_int_equal(buf_length(&merged), sizeof(expected) - 1);
    assert_memory_equal(buf_bytes(&merged), expected, sizeof(expected) - 1);
    buf_clear(&merged);
    assert_true(strv_env_merge(&merged, (strv){NULL, 0}, (strv){NULL, 0}));
    assert_int_equal(buf_length(&merged), 0);
}

static void a_merge_without_memory_is_refused(void **state) {
    for (unsigned n = 0;; n++) {
        CLEANUP(buf_done) buf merged;
        buf_init(&merged, 1 << 20);
        static char large[4000];
        memset(large, 'x', sizeof(large) - 1);
        fail_alloc_at(n);
        bool good = strv_env_merge(&merged, LIST("A=1\0B=2\0"), (strv){large, sizeof(large)});
        if (!fail_alloc_fired()) {
            assert_true(good);
            assert_true(n >= 2);
            return;
        }
        assert_false(good);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_empty_or_ends_in_nul),
        cmocka_unit_test(strings_come_back_as_they_went_in),
        cmocka_unit_test(a_string_fits_with_its_nul_or_not_at_all),
        cmocka_unit_test(the_last_of_equal_names_counts),
        cmocka_unit_test(an_environment_over_another_replaces_by_whole_names),
        cmocka_unit_test(a_merge_without_memory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
