/* SPDX-License-Identifier: Apache-2.0
 *
 * test-base-quantity.c - sizes, durations and counts as they are typed
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/quantity.h"
#include "base/size.h"

static void size_takes_powers_of_1024(void **state) {
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"1", 1},
                {"1k", 1024},
                {"3K", 3072},
                {"512m", UINT64_C(512) << 20},
                {"2G", UINT64_C(2) << 30},
                {"18446744073709551615", UINT64_MAX},
                {"17179869183g", UINT64_C(17179869183) << 30}};
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        uint64_t bytes = 7;
        assert_true(quantity_size(good[i].text, &bytes));
        assert_true(bytes == good[i].bytes);
    }
}

static void size_refuses_what_is_not_wholly_one(void **state) {
    static const char *const bad[] = {"", "k", "-1", "+1", " 1", "1 ", "1.5g", "1kb", "1t", "0x10", "18446744073709551616", "17179869184g"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        uint64_t bytes = 7;
        assert_false(quantity_size(bad[i], &bytes));
        assert_int_equal(bytes, 7);
    }
}

static void duration_takes_units_and_plain_seconds(void **state) {
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"0", 0}, {"30", 30000}, {"500ms", 500}, {"30s", 30000}, {"5m", 300000}, {"1h", 3600000}, {"9223372036854775807ms", INT64_MAX}};
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        int64_t ms = 7;
        assert_true(quantity_duration(good[i].text, &ms));
        assert_true(ms == good[i].ms);
    }
}

static void duration_refuses_what_is_not_wholly_one(void **state) {
    static const char *const bad[] = {"", "s", "-1s", "1.5s", "1d", "1 s", "1m30s", "9223372036854775808ms", "9223372036854775807"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        int64_t ms = 7;
        assert_false(quantity_duration(bad[i], &ms));
        assert_int_equal(ms, 7);
    }
}

static void count_stays_in_its_range(void **state) {
    uint64_t count = 7;
    assert_false(quantity_count("0", 1, 64, &count));
    assert_false(quantity_count("65", 1, 64, &count));
    assert_false(quantity_count("1.5", 1, 64, &count));
    assert_int_equal(count, 7);
    assert_true(quantity_count("1", 1, 64, &count));
    assert_int_equal(count, 1);
    assert_true(quantity_count("64", 1, 64, &count));
    assert_int_equal(count, 64);
}

static void size_text_has_one_decimal_above_a_kibibyte(void **state) {
    char text[QUANTITY_SIZE_TEXT_SIZE];
    quantity_size_text(1023, text);
    assert_string_equal(text, "1023 B");
    quantity_size_text(1536, text);
    assert_string_equal(text, "1.5 KiB");
    quantity_size_text(UINT64_MAX, text);
    assert_string_equal(text, "16.0 EiB");
}

static void thousandths_are_exact(void **state) {
    static const struct {
        const char *text;
        uint64_t millis;
    } good[] = {{"0", 0}, {"2", 2000}, {"0.5", 500}, {"1.05", 1050}, {"1.125", 1125}, {"64.000", 64000}};
    static const char *const bad[] = {
        "", ".5", "1.", "1.1234", "-1", "1,5", "0.5x", "1.5.5", "99999999999999999999", "18446744073709551615", " 1"};
    uint64_t millis;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(quantity_millis(good[i].text, &millis));
        assert_int_equal(millis, good[i].millis);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(quantity_millis(bad[i], &millis));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thousandths_are_exact),
        cmocka_unit_test(size_takes_powers_of_1024),
        cmocka_unit_test(size_refuses_what_is_not_wholly_one),
        cmocka_unit_test(duration_takes_units_and_plain_seconds),
        cmocka_unit_test(duration_refuses_what_is_not_wholly_one),
        cmocka_unit_test(count_stays_in_its_range),
        cmocka_unit_test(size_text_has_one_decimal_above_a_kibibyte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
