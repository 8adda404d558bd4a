/* SPDX-License-Identifier: Apache-2.0
 *
 * test-base-error.c - one line, always terminated, whatever goes in
 */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void what_was_tried_and_why_are_one_sentence(void **state) {
    nb_error err;
    assert_int_equal(nb_fail(&err, NB_E_STORAGE, ENOENT, "open '%s'", "a"), -NB_E_STORAGE);
    assert_string_equal(err.message, "open 'a': No such file or directory");
    assert_int_equal(err.code, NB_E_STORAGE);
    assert_int_equal(err.system_errno, ENOENT);
    assert_string_equal(err.hint, "");
    assert_int_equal(nb_fail_within(&err, -NB_E_STORAGE, "start box '%s'", "web"), -NB_E_STORAGE);
    assert_string_equal(err.message, "start box 'web': open 'a': No such file or directory");
    assert_int_equal(nb_fail_within(&err, 0, "not at all"), 0);
    assert_string_equal(err.message, "start box 'web': open 'a': No such file or directory");
}

static void a_second_error_has_no_hint_of_the_first(void **state) {
    nb_error err;
    assert_int_equal(nb_fail_hint(&err, nb_fail(&err, NB_E_INVALID, 0, "a"), "try b"), -NB_E_INVALID);
    assert_string_equal(err.hint, "try b");
    (void) nb_fail(&err, NB_E_INVALID, 0, "c");
    assert_string_equal(err.hint, "");
}

static void what_a_guest_smuggles_in_stays_on_one_line(void **state) {
    nb_error err;
    (void) nb_fail(&err, NB_E_IMAGE, 0, "read '%s'", "a\nerror: b\x1b[2J\x7f\t\xc3\xa9");
    assert_string_equal(err.message, "read 'a?error: b?[2J??\xc3\xa9'");
    (void) nb_fail_hint(&err, -1, "a\rb");
    assert_string_equal(err.hint, "a?b");
    (void) nb_fail_within(&err, -1, "x\ny");
    assert_memory_equal(err.message, "x?y: ", 5);
}

/* Exact blocks, so that the sanitizer sees a write beyond them. */
static void long_text_is_cut_and_terminated(void **state) {
    char text[3 * NB_ERROR_MESSAGE_SIZE];
    nb_error err;
    for (size_t length = NB_ERROR_MESSAGE_SIZE - 70; length < NB_ERROR_MESSAGE_SIZE + 2; length++) {
        memset(text, 'x', length);
        text[length] = '\0';
        for (int with_errno = 0; with_errno < 2; with_errno++) {
            memset(&err, 'z', sizeof(err));
            (void) nb_fail(&err, NB_E_STORAGE, with_errno ? ENOSPC : 0, "%s", text);
            assert_non_null(memchr(err.message, '\0', sizeof(err.message)));
            if (with_errno) /* the reason outlives a long name */
                assert_string_equal(err.message + strlen(err.message) - strlen(": No space left on device"), ": No space left on device");
            (void) nb_fail_within(&err, -1, "%s", text);
            assert_non_null(memchr(err.message, '\0', sizeof(err.message)));
            (void) nb_fail_hint(&err, -1, "%s", text);
            assert_int_equal(strlen(err.hint), NB_ERROR_HINT_SIZE - 1);
        }
    }
}

static void nobody_has_to_pass_an_error(void **state) {
    assert_int_equal(nb_fail(NULL, NB_E_TIMEOUT, EINTR, "%s", "a"), -NB_E_TIMEOUT);
    assert_int_equal(nb_fail_oom(NULL), -NB_E_NO_MEMORY);
    assert_int_equal(nb_fail_within(NULL, -7, "a"), -7);
    assert_int_equal(nb_fail_hint(NULL, -7, "a"), -7);
}

static void every_code_has_a_text_of_its_own(void **state) {
    static const int codes[] = {
#define CODE(name, number, text, meaning) name,
        NB_ERRORS(CODE)
#undef CODE
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_true(nb_code_is_known(codes[i]));
        assert_string_not_equal(nb_code_text(codes[i]), "unknown error");
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(codes[i], codes[j]);
            assert_string_not_equal(nb_code_text(codes[i]), nb_code_text(codes[j]));
        }
    }
    assert_string_equal(nb_code_text(0), "no error");
    assert_string_equal(nb_code_text(9999), "unknown error");
    assert_false(nb_code_is_known(0));
    assert_false(nb_code_is_known(-1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_tried_and_why_are_one_sentence),
        cmocka_unit_test(a_second_error_has_no_hint_of_the_first),
        cmocka_unit_test(what_a_guest_smuggles_in_stays_on_one_line),
        cmocka_unit_test(long_text_is_cut_and_terminated),
        cmocka_unit_test(nobody_has_to_pass_an_error),
        cmocka_unit_test(every_code_has_a_text_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
