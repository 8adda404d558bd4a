/* SPDX-License-Identifier: Apache-2.0
 *
 * test-base-utf8.c - the edges of what is UTF-8
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/size.h"
#include "base/utf8.h"

static void the_first_and_the_last_of_each_length_are_valid(void **state) {
    static const char *const valid[] = {"",
                                        "\x01",
                                        "\x7f",
                                        "\xc2\x80",
                                        "\xdf\xbf",
                                        "\xe0\xa0\x80",
                                        "\xed\x9f\xbf",
                                        "\xee\x80\x80",
                                        "\xef\xbf\xbf",
                                        "\xf0\x90\x80\x80",
                                        "\xf4\x8f\xbf\xbf",
                                        "a\xc3\xa9z"};
    for (size_t i = 0; i < ARRAY_LENGTH(valid); i++)
        assert_true(utf8_is_valid(valid[i]));
}

static void what_lies_beyond_is_not(void **state) {
    static const char *const invalid[] = {
        "\x80",             /* a tail by itself */
        "\xc1\xbf",         /* overlong */
        "\xe0\x9f\xbf",     /* overlong */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xed\xa0\x80",     /* a surrogate */
        "\xf4\x90\x80\x80", /* U+110000 */
        "\xff",
        "a\xc3",     /* cut */
        "\xe2\x82",  /* cut */
        "\xe2\x82z", /* the last byte is another's */
    };
    for (size_t i = 0; i < ARRAY_LENGTH(invalid); i++)
        assert_false(utf8_is_valid(invalid[i]));
}

static void a_sequence_has_the_length_of_its_form(void **state) {
    assert_int_equal(utf8_length((const uint8_t *) ""), 1);
    assert_int_equal(utf8_length((const uint8_t *) "az"), 1);
    assert_int_equal(utf8_length((const uint8_t *) "\xc3\xa9z"), 2);
    assert_int_equal(utf8_length((const uint8_t *) "\xe2\x82\xacz"), 3);
    assert_int_equal(utf8_length((const uint8_t *) "\xf0\x9f\xaa\xbaz"), 4);
    assert_int_equal(utf8_length((const uint8_t *) "\xf0\x9f\xaa"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_and_the_last_of_each_length_are_valid),
        cmocka_unit_test(what_lies_beyond_is_not),
        cmocka_unit_test(a_sequence_has_the_length_of_its_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
