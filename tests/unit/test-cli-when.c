/* SPDX-License-Identifier: Apache-2.0
 *
 * test-cli-when.c - spans and points of time as they are shown and typed
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/size.h"
#include "cli/when.h"

static void span_reads_like_words(void **state) {
    static const struct {
        uint64_t seconds;
        const char *text;
    } spans[] = {{0, "Less than a second"}, {1, "1 second"},          {2, "2 seconds"},        {59, "59 seconds"},
                 {60, "About a minute"},    {119, "About a minute"},  {120, "2 minutes"},      {3599, "59 minutes"},
                 {3600, "About an hour"},   {7200, "2 hours"},        {47 * 3600, "47 hours"}, {48 * 3600, "2 days"},
                 {14 * 86400, "2 weeks"},   {60 * 86400, "2 months"}, {730 * 86400, "2 years"}};
    for (size_t i = 0; i < ARRAY_LENGTH(spans); i++) {
        char text[WHEN_TEXT_SIZE];
        when_span(spans[i].seconds * 1000, text);
        assert_string_equal(text, spans[i].text);
    }
}

static void time_is_written_and_read_back(void **state) {
    char text[WHEN_TEXT_SIZE];
    uint64_t ms = 0;
    when_rfc3339(UINT64_C(1717156800250), text);
    assert_string_equal(text, "2024-05-31T12:00:00.250Z");
    assert_true(when_parse(text, 0, &ms));
    assert_true(ms == UINT64_C(1717156800250));
    assert_true(when_parse("2024-05-31T12:00:00Z", 0, &ms));
    assert_true(ms == UINT64_C(1717156800000));
    assert_true(when_parse("1717156800", 0, &ms));
    assert_true(ms == UINT64_C(1717156800000));
    when_rfc3339(UINT64_MAX, text); /* fits, whatever it says */
}

static void time_may_be_a_duration_ago(void **state) {
    uint64_t ms = 7;
    assert_true(when_parse("10m", 1000000, &ms));
    assert_int_equal(ms, 400000);
    assert_true(when_parse("10h", 1000, &ms));
    assert_int_equal(ms, 0);
    assert_false(when_parse("yesterday", 1000, &ms));
    assert_false(when_parse("2024-05-31T12:00:00", 1000, &ms));
    assert_false(when_parse("2024-05-31T12:00:00.Z", 1000, &ms));
    assert_false(when_parse("2024-05-31T12:00:00Zx", 1000, &ms));
    assert_false(when_parse("", 1000, &ms));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(span_reads_like_words),
        cmocka_unit_test(time_is_written_and_read_back),
        cmocka_unit_test(time_may_be_a_duration_ago),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
