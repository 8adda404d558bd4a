/* SPDX-License-Identifier: Apache-2.0
 *
 * test-machine-qmp.c - QEMU's control protocol, with an honest and a hostile QEMU
 */
#include "machine/json.h"
#include "machine/qmp.h"

#include "base/cleanup.h"
#include "base/size.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define GREETING                                                                                                 \
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"Debian\"}, " \
    "\"capabilities\": [\"oob\"]}}\r\n"

typedef struct seen {
    unsigned count;
    qmp_kind kinds[16];
    qmp_command commands[16];
    char texts[16][QMP_TEXT_SIZE];
    char reason[64];
} seen;

static void on_message(void *user, const qmp_message *m) {
    seen *s = user;
    assert_true(s->count < ARRAY_LENGTH(s->kinds));
    s->kinds[s->count] = m->kind;
    s->commands[s->count] = m->command;
    memcpy(s->texts[s->count++], m->text, sizeof(m->text));
    (void) json_string(json_member(m->body, "reason"), s->reason, sizeof(s->reason));
}

static void session(size_t piece, seen *s) {
    static const char text[] = GREETING "{\"return\": {}, \"id\": 1}\r\n"
                                        "{\"timestamp\": {\"seconds\": 1, \"microseconds\": -1}, \"event\": \"RESUME\"}\r\n"
                                        "{\"return\": {}, \"id\": 2}\r\n"
                                        "{\"id\": 3, \"error\": {\"class\": \"GenericError\", \"desc\": \"no \\u00e9\\\"x\\\"\"}}\n"
                                        "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\n";
    CLEANUP(qmp_done) qmp q;
    CLEANUP(buf_done) buf out;
    qmp_init(&q, on_message, s);
    buf_init(&out, 4096);
    assert_true(qmp_write(&q, QMP_CAPABILITIES, &out));
    assert_true(qmp_write(&q, QMP_CONT, &out));
    assert_true(qmp_write_block_resize(&q, "disk", 1 << 30, &out));
    for (size_t at = 0; at < sizeof(text) - 1; at += piece) {
        size_t n = sizeof(text) - 1 - at < piece ? sizeof(text) - 1 - at : piece;
        assert_int_equal(qmp_feed(&q, text + at, n, NULL), 0);
    }
}

static void messages_are_the_same_however_they_are_cut(void **state) {
    seen whole = {0};
    session(1 << 20, &whole);
    assert_int_equal(whole.count, 6);
    assert_int_equal(whole.kinds[0], QMP_GREETING);
    assert_string_equal(whole.texts[0], "7.2.22");
    assert_int_equal(whole.kinds[1], QMP_RETURN);
    assert_int_equal(whole.commands[1], QMP_CAPABILITIES);
    assert_string_equal(whole.texts[2], "RESUME");
    assert_int_equal(whole.commands[3], QMP_CONT);
    assert_int_equal(whole.kinds[4], QMP_ERROR);
    assert_int_equal(whole.commands[4], QMP_BLOCK_RESIZE);
    assert_string_equal(whole.texts[4], "no \xc3\xa9\"x\"");
    assert_string_equal(whole.reason, "guest-reset");
    for (size_t piece = 1; piece < 40; piece++) {
        seen cut = {0};
        session(piece, &cut);
        assert_memory_equal(&cut, &whole, sizeof(cut));
    }
}

static void commands_are_one_line_each_with_rising_numbers(void **state) {
    CLEANUP(qmp_done) qmp q;
    CLEANUP(buf_done) buf out;
    qmp_init(&q, on_message, NULL);
    buf_init(&out, 4096);
    assert_true(qmp_write(&q, QMP_QUIT, &out));
    assert_true(qmp_write_block_resize(&q, "disk", UINT64_MAX, &out));
    static const char expected[] = "{\"execute\":\"quit\",\"id\":1}\n{\"execute\":\"block_resize\",\"arguments\":{\"node-name\":\"disk\","
                                   "\"size\":18446744073709551615},\"id\":2}\n";
    assert_int_equal(buf_length(&out), sizeof(expected) - 1);
    assert_memory_equal(buf_bytes(&out), expected, sizeof(expected) - 1);
    for (unsigned i = 2; i < QMP_WAITING_MAX; i++)
        assert_true(qmp_write(&q, QMP_QUERY_STATUS, &out));
    assert_false(qmp_write(&q, QMP_QUERY_STATUS, &out));
}

/* Feeds @text after a greeting and one command, and expects the connection to break, for good. */
static void expect_broken(bool greeted, const char *text) {
    seen s = {0};
    CLEANUP(qmp_done) qmp q;
    CLEANUP(buf_done) buf out;
    qmp_init(&q, on_message, &s);
    buf_init(&out, 4096);
    assert_true(qmp_write(&q, QMP_CONT, &out));
    if (greeted)
        assert_int_equal(qmp_feed(&q, GREETING, sizeof(GREETING) - 1, NULL), 0);
    nb_error error;
    assert_int_equal(qmp_feed(&q, text, strlen(text), &error), -NB_E_PROTOCOL);
    assert_int_equal(qmp_feed(&q, GREETING, sizeof(GREETING) - 1, &error), -NB_E_PROTOCOL);
    assert_int_equal(s.count, greeted);
}

static void a_qemu_out_of_turn_breaks_the_connection(void **state) {
    expect_broken(false, "{\"return\": {}, \"id\": 1}\n");
    expect_broken(false, "{\"event\": \"STOP\"}\n");
    expect_broken(false, "{\"QMP\": {\"version\": {\"qemu\": {\"major\": -7, \"minor\": 2, \"micro\": 0}}}}\n");
    expect_broken(true, GREETING);
    expect_broken(true, "{\"return\": {}, \"id\": 2}\n");
    expect_broken(true, "{\"return\": {}, \"id\": 0}\n");
    expect_broken(true, "{\"return\": {}, \"id\": \"1\"}\n");
    expect_broken(true, "{\"return\": {}}\n");
    expect_broken(true, "{\"return\": {}, \"error\": {}, \"id\": 1}\n");
    expect_broken(true, "{\"event\": 7}\n");
    expect_broken(true, "{}\n");
    expect_broken(true, "[]\n");
    expect_broken(true, "\n");
    expect_broken(true, "{\"event\": \"STOP\"} x\n");
}

static void a_line_may_have_64_kib_and_no_more(void **state) {
    for (size_t extra = 0; extra < 2; extra++) {
        seen s = {0};
        CLEANUP(qmp_done) qmp q;
        qmp_init(&q, on_message, &s);
        size_t length = QMP_LINE_MAX_BYTES + extra;
        CLEANUP(cleanup_free) char *line = malloc(length + 1);
        memset(line, ' ', length);
        memcpy(line, GREETING, sizeof(GREETING) - 3);
        line[length] = '\n';
        assert_int_equal(qmp_feed(&q, line, length + 1, NULL), extra ? -NB_E_PROTOCOL : 0);
        assert_int_equal(s.count, !extra);
    }
}

static bool is_json(const char *text) {
    json_value v;
    /* An exact block, so that the sanitizer sees a read beyond the end. */
    size_t length = strlen(text);
    CLEANUP(cleanup_free) char *copy = malloc(length ? length : 1);
    memcpy(copy, text, length);
    return json_check(copy, length, &v);
}

static void json_is_taken_as_the_standard_has_it(void **state) {
    static const char *const good[] = {
        "{}", " [] ", "0", "-0.5e+10", "\"\\u00ff\\n\"", "[1,{\"a\":null},true,false]", "{\"a\":{\"b\":[[]]}}"};
    static const char *const bad[] = {"",      "{",          "[1,]",   "{\"a\":}", "{\"a\" 1}", "{a:1}",       "01",  "1.",
                                      "1e",    "-",          "+1",     "\"\\x\"",  "\"\\u12\"", "\"\\u12g4\"", "\"",  "tru",
                                      "[1 2]", "{\"a\":1,}", "nul",    "\"\t\"",   "[}",        "{]",          "1 1", "\"\\",
                                      ",",     ":",          "{\"a\"", "{\"a\":1", "[",         "\"\\u"};
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++)
        assert_true(is_json(good[i]));
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_false(is_json(bad[i]));
    char deep[2 * JSON_DEPTH_MAX + 3];
    for (unsigned depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(deep, '[', depth);
        memset(deep + depth, ']', depth);
        deep[2 * depth] = '\0';
        assert_int_equal(is_json(deep), depth == JSON_DEPTH_MAX);
    }
}

static void strings_decode_or_are_refused(void **state) {
    static const struct {
        const char *text, *meaning; /* NULL: refused */
    } cases[] = {
        {"\"a\\/\\\\\\b\"", "a/\\\b"},   {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"},
        {"\"\\u20AC\"", "\xe2\x82\xac"}, {"\"\"", ""},
        {"\"\\ud83d\"", NULL},           {"\"\\ude00\"", NULL},
        {"\"\\ud83dx\"", NULL},          {"\"\\ud83d\\u0041\"", NULL},
        {"\"a\\u0000b\"", NULL},         {"\"1234567\"", "1234567"},
        {"\"12345678\"", NULL},          {"7", NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        json_value v;
        char text[8] = "before";
        assert_true(json_check(cases[i].text, strlen(cases[i].text), &v));
        assert_int_equal(json_string(v, text, sizeof(text)), cases[i].meaning != NULL);
        assert_string_equal(text, cases[i].meaning ? cases[i].meaning : "before");
    }
    uint64_t number;
    assert_true(json_u64((json_value){"18446744073709551615", 20}, &number));
    assert_int_equal(number, UINT64_MAX);
    assert_false(json_u64((json_value){"18446744073709551616", 20}, &number));
    assert_false(json_u64((json_value){"-1", 2}, &number));
    assert_false(json_u64((json_value){NULL, 0}, &number));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_the_same_however_they_are_cut), cmocka_unit_test(commands_are_one_line_each_with_rising_numbers),
        cmocka_unit_test(a_qemu_out_of_turn_breaks_the_connection),   cmocka_unit_test(a_line_may_have_64_kib_and_no_more),
        cmocka_unit_test(json_is_taken_as_the_standard_has_it),       cmocka_unit_test(strings_decode_or_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
