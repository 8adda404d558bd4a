/* SPDX-License-Identifier: Apache-2.0
 *
 * test-cli-detach-keys.c - the keys that detach are found however they come, and what is none of them goes through
 */
#include "cli/detach-keys.h"

#include <nestbox/nestbox.h>

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static detach_keys parse(const char *text) {
    detach_keys keys;
    assert_int_equal(detach_keys_parse(text, &keys, NULL), 0);
    return keys;
}

static void feed(detach_filter *f, const char *typed, const char *passed, bool detached) {
    uint8_t to[16 + DETACH_KEYS_MAX];
    bool is_detached;
    size_t length = detach_filter_feed(f, (const uint8_t *) typed, strlen(typed), to, &is_detached);
    assert_int_equal(length, strlen(passed));
    assert_memory_equal(to, passed, length);
    assert_int_equal(is_detached, detached);
}

static void they_are_found_across_reads(void **state) {
    detach_keys keys = parse("ctrl-p,ctrl-q");
    detach_filter f = {.keys = &keys};
    feed(&f, "a\x10", "a", false);
    feed(&f, "b",
         "\x10"
         "b",
         false);
    feed(&f, "\x10", "", false);
    feed(&f, "\x10", "\x10", false);
    feed(&f, "\x11zzz", "", true);
}

static void alone_they_are_passed_on(void **state) {
    detach_keys keys = parse("ctrl-p,ctrl-q");
    detach_filter f = {.keys = &keys};
    feed(&f, "\x11\x11", "\x11\x11", false);
    feed(&f, "x\x10y\x11", "x\x10y\x11", false);
    feed(&f, "go\x10\x11more", "go", true);
}

static void a_beginning_within_a_beginning_counts(void **state) {
    detach_keys keys = parse("a,a,b");
    detach_filter f = {.keys = &keys};
    feed(&f, "aaa", "a", false);
    feed(&f, "ca", "aac", false);
    feed(&f, "aab", "a", true);
}

/* The same numbers below @below at every run. [Knuth, The Art of Computer Programming 2, 3.3.4, line 26] */
static unsigned next_number(uint64_t *sequence, unsigned below) {
    *sequence = *sequence * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned) (*sequence >> 33) % below;
}

/* Whatever is typed in whatever pieces: what is passed on and what is held are what was typed. */
static void nothing_is_lost_and_nothing_comes_twice(void **state) {
    static const char *const all[] = {"a", "a,b", "a,a", "a,b,a,c", "a,b,a,b,b", "b,a,a"};
    uint64_t sequence = 1;
    for (unsigned round = 0; round < 20000; round++) {
        detach_keys keys = parse(all[next_number(&sequence, 6)]);
        detach_filter f = {.keys = &keys};
        char typed[25] = "", passed[25 + DETACH_KEYS_MAX] = "", plain[DETACH_KEYS_MAX + 1] = "";
        memcpy(plain, keys.bytes, keys.count);
        size_t done = 0, length = 0;
        bool detached = false;
        for (size_t i = 0; i < sizeof(typed) - 1; i++)
            typed[i] = (char) ('a' + next_number(&sequence, 3));
        while (done < strlen(typed) && !detached) {
            size_t now = 1 + next_number(&sequence, 4);
            now = now < strlen(typed) - done ? now : strlen(typed) - done;
            length += detach_filter_feed(&f, (const uint8_t *) typed + done, now, (uint8_t *) passed + length, &detached);
            done += now;
        }
        const char *found = strstr(typed, plain);
        assert_int_equal(detached, found != NULL);
        assert_int_equal(length + (detached ? 0 : f.held), found ? (size_t) (found - typed) : strlen(typed));
        assert_memory_equal(passed, typed, length);
    }
}

static void they_are_written_as_docker_has_them(void **state) {
    detach_keys keys = parse("ctrl-@,ctrl-Z,ctrl-\\,ctrl-_,d,-");
    assert_int_equal(keys.count, 6);
    assert_memory_equal(keys.bytes,
                        "\x00\x1a\x1c\x1f"
                        "d-",
                        6);
    assert_int_equal(parse("").count, 0);
}

static void what_is_no_key_is_refused_by_name(void **state) {
    static const char *const bad[] = {",",      "a,",      ",a",    "ab",        "ctrl",     "ctrl-",
                                      "ctrl-1", "ctrl-aa", "alt-a", "ctrl-\x7f", "\xc3\xa4", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        detach_keys keys;
        nb_error err = {0};
        assert_int_equal(detach_keys_parse(bad[i], &keys, &err), -NB_E_INVALID);
        assert_non_null(strstr(err.message, i + 1 < sizeof(bad) / sizeof(bad[0]) ? "is no key" : "more than 16"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_found_across_reads),           cmocka_unit_test(alone_they_are_passed_on),
        cmocka_unit_test(a_beginning_within_a_beginning_counts), cmocka_unit_test(nothing_is_lost_and_nothing_comes_twice),
        cmocka_unit_test(they_are_written_as_docker_has_them),   cmocka_unit_test(what_is_no_key_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
