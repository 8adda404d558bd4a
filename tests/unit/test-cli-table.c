/* SPDX-License-Identifier: Apache-2.0
 *
 * test-cli-table.c - listings, and strings from outside in them
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "cli/table.h"
#include "cli/text.h"

static void columns_are_aligned_without_blanks_at_the_end(void **state) {
    static const char *const headings[] = {"ID", "NAME", "STATE"};
    static const char *const cells[] = {"a", "long name", "up", "bcd", "", "", "", "", "x"};
    char *text = NULL;
    size_t length;
    FILE *to = open_memstream(&text, &length);
    table t;
    table_init(&t, headings, ARRAY_LENGTH(headings));
    for (size_t i = 0; i < ARRAY_LENGTH(cells); i++)
        table_add(&t, cells[i]);
    assert_int_equal(table_print(&t, to, NULL), 0);
    fclose(to);
    assert_string_equal(text, "ID    NAME        STATE\n"
                              "a     long name   up\n"
                              "bcd\n"
                              "                  x\n");
    table_done(&t);
    free(text);
}

static void a_table_grows(void **state) {
    static const char *const headings[] = {"N"};
    char *text = NULL;
    size_t length;
    FILE *to = open_memstream(&text, &length);
    table t;
    table_init(&t, headings, 1);
    for (int i = 0; i < 1000; i++)
        table_add(&t, "x");
    assert_int_equal(table_print(&t, to, NULL), 0);
    fclose(to);
    assert_int_equal(length, 2 * 1001);
    table_done(&t);
    free(text);
}

static void escaping_leaves_nothing_for_a_terminal_to_obey(void **state) {
    static const struct {
        const char *text, *escaped;
    } cases[] = {
        {"plain \\ text", "plain \\ text"},
        {"a\nb\tc\rd", "a\\nb\\tc\\rd"},
        {"\x1b[2J\x7f\x01", "\\x1b[2J\\x7f\\x01"},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xc2\x9b"
         "1m",
         "\\u009b1m"},
        {"\xff\xc3", "\\xff\\xc3"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
        {"\xc0\xaf", "\\xc0\\xaf"},
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
        {"\xf0\x9f\x98", "\\xf0\\x9f\\x98"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char *escaped = text_escape(cases[i].text);
        assert_string_equal(escaped, cases[i].escaped);
        free(escaped);
    }
}

static void json_text_is_valid_utf8(void **state) {
    char *valid = text_utf8("a\xff\xc3\xa9\xe2\x82\n");
    assert_string_equal(valid, "a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\n");
    free(valid);
}

static void a_cut_counts_characters(void **state) {
    char *whole = text_cut("h\xc3\xa9llo", 5), *cut = text_cut("h\xc3\xa9llo!", 5), *one = text_cut("ab", 1);
    assert_string_equal(whole, "h\xc3\xa9llo");
    assert_string_equal(cut, "h\xc3\xa9ll\xe2\x80\xa6");
    assert_string_equal(one, "\xe2\x80\xa6");
    free(whole);
    free(cut);
    free(one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_aligned_without_blanks_at_the_end),
        cmocka_unit_test(a_table_grows),
        cmocka_unit_test(escaping_leaves_nothing_for_a_terminal_to_obey),
        cmocka_unit_test(json_text_is_valid_utf8),
        cmocka_unit_test(a_cut_counts_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
