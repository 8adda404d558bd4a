/* SPDX-License-Identifier: Apache-2.0
 *
 * test-base-event-log.c - a log of events: what is added is found again, in order and whole, whatever is written into it besides
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/event-log.h"
#include "base/lock.h"
#include "fail.h"
#include "test-folder.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LIST(text) ((strv){(text), sizeof(text) - 1})

typedef struct reading {
    char *text;
    size_t count; /* lines that are events */
    event_record last;
    buf attributes;
} reading;

static void reading_done(reading *r) {
    free(r->text);
    buf_done(&r->attributes);
}

/* Reads all of a log; @last is the event at its end. */
static void read_log(reading *r, const test_folder *folder, const char *name) {
    size_t length;
    *r = (reading){0};
    buf_init(&r->attributes, EVENT_LINE_MAX_BYTES);
    assert_int_equal(file_read(folder->fd, name, (size_t) 8 << 20, &r->text, &length), 0);
    for (char *at = r->text, *newline; (newline = strchr(at, '\n')); at = newline + 1) {
        event_record event;
        if (event_line_parse(at, (size_t) (newline - at), &r->attributes, &event)) {
            r->last = event;
            r->count++;
        }
    }
}

static void what_is_added_is_found_again(void **state) {
    test_folder folder = test_folder_make();
    CLEANUP(reading_done) reading r;
    uint64_t before = clock_wall_ms();
    assert_int_equal(event_log_append(folder.fd, "box", "start", "aaaaaaaaaaaa", (strv){0}), 0);
    assert_int_equal(event_log_append(folder.fd, "image", "tag", "sha256:ab", LIST("name=a b%41\n\x01\x7f\xc3\xa9=\0empty=\0")), 0);
    read_log(&r, &folder, EVENT_LOG_FILE);
    assert_int_equal(r.count, 2);
    assert_string_equal(r.last.kind, "image");
    assert_string_equal(r.last.action, "tag");
    assert_string_equal(r.last.subject, "sha256:ab");
    assert_in_range(r.last.at_ms, before, clock_wall_ms());
    assert_int_equal(strv_count(r.last.attributes), 2);
    const char *first = strv_next(r.last.attributes, NULL);
    assert_string_equal(first, "name=a b%41\n\x01\x7f\xc3\xa9=");
    assert_string_equal(strv_next(r.last.attributes, first), "empty=");
    test_folder_remove(&folder);
}

static void a_torn_line_spoils_no_other(void **state) {
    test_folder folder = test_folder_make();
    CLEANUP(reading_done) reading r;
    static const char torn[] = "\n12345 box start aaaaaaaaaaaa name=we";
    test_folder_write(&folder, EVENT_LOG_FILE, torn, sizeof(torn) - 1);
    assert_int_equal(event_log_append(folder.fd, "box", "stop", "aaaaaaaaaaaa", (strv){0}), 0);
    read_log(&r, &folder, EVENT_LOG_FILE);
    assert_string_equal(r.last.action, "stop");
    test_folder_remove(&folder);
}

static void what_is_no_event_is_passed_over(void **state) {
    static const char *const lines[] = {
        "",
        " ",
        "1",
        "1 a",
        "1 a b",
        "1 a b ",
        "x a b c",
        "-1 a b c",
        "0 a b c",
        "1 a b c d",
        "1 a b c  d=e",
        "1 a b c %0=x",
        "1 a b c %00=x",
        "1 a b c %4a=x",
        "1 a\tb c d=e",
        "99999999999999999999 a b c",
    };
    buf attributes;
    event_record event;
    buf_init(&attributes, 100);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        char line[64];
        (void) snprintf(line, sizeof(line), "%s\n", lines[i]);
        assert_false(event_line_parse(line, strlen(lines[i]), &attributes, &event));
    }
    char good[] = "1 a b c d=e \n";
    assert_true(event_line_parse(good, sizeof(good) - 2, &attributes, &event));
    assert_string_equal(event.attributes.at, "d=e");
    buf_done(&attributes);
}

static void attributes_beyond_the_limit_are_left_out_whole(void **state) {
    test_folder folder = test_folder_make();
    CLEANUP(reading_done) reading r;
    CLEANUP(buf_done) buf attributes;
    char large[EVENT_LINE_MAX_BYTES];
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    buf_init(&attributes, 2 * EVENT_LINE_MAX_BYTES);
    assert_true(event_attribute(&attributes, "large=", large));
    assert_true(event_attribute(&attributes, "small=", "x"));
    assert_int_equal(event_log_append(folder.fd, "box", "create", "aaaaaaaaaaaa", strv_of(&attributes)), 0);
    read_log(&r, &folder, EVENT_LOG_FILE);
    assert_int_equal(r.count, 1);
    assert_string_equal(r.last.attributes.at, "small=x");
    assert_int_equal(strv_count(r.last.attributes), 1);
    test_folder_remove(&folder);
}

static void a_full_log_is_moved_aside_once(void **state) {
    test_folder folder = test_folder_make();
    reading older, newer;
    CLEANUP(cleanup_free) char *full = malloc(EVENT_LOG_MAX_BYTES);
    memset(full, '\n', EVENT_LOG_MAX_BYTES);
    test_folder_write(&folder, EVENT_LOG_FILE, full, EVENT_LOG_MAX_BYTES - 1);
    assert_int_equal(event_log_append(folder.fd, "box", "one", "a", (strv){0}), 0);
    assert_int_equal(event_log_append(folder.fd, "box", "two", "a", (strv){0}), 0);
    assert_int_equal(event_log_append(folder.fd, "box", "three", "a", (strv){0}), 0);
    read_log(&older, &folder, EVENT_LOG_OLD_FILE);
    read_log(&newer, &folder, EVENT_LOG_FILE);
    assert_string_equal(older.last.action, "one");
    assert_int_equal(newer.count, 2);
    assert_string_equal(newer.last.action, "three");
    reading_done(&older);
    reading_done(&newer);
    test_folder_remove(&folder);
}

#define WRITERS 4
#define EVENTS 20000

static void add_many(int folder, unsigned writer) {
    char number[32];
    for (unsigned i = 0; i < EVENTS; i++) {
        (void) snprintf(number, sizeof(number), "n=%u", i);
        if (event_log_append(folder, "box", "exec", (const char[2]){(char) ('a' + writer), '\0'}, (strv){number, strlen(number) + 1}) < 0)
            _exit(1);
    }
    _exit(0);
}

/* Each writer's numbers, in order; those of all together fill more than one log. */
static void many_writers_lose_nothing(void **state) {
    test_folder folder = test_folder_make();
    unsigned expected[WRITERS] = {0};
    bool began[WRITERS] = {false};
    pid_t children[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        children[i] = fork();
        if (children[i] == 0)
            add_many(folder.fd, i);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    const char *const names[] = {EVENT_LOG_OLD_FILE, EVENT_LOG_FILE};
    buf attributes;
    buf_init(&attributes, EVENT_LINE_MAX_BYTES);
    for (unsigned i = 0; i < 2; i++) {
        char *text;
        size_t length;
        if (file_read(folder.fd, names[i], (size_t) 8 << 20, &text, &length) < 0)
            continue;
        for (char *at = text, *newline; (newline = strchr(at, '\n')); at = newline + 1) {
            event_record event;
            if (newline == at)
                continue;
            assert_true(event_line_parse(at, (size_t) (newline - at), &attributes, &event));
            unsigned writer = (unsigned) (event.subject[0] - 'a'), n = (unsigned) strtoul(event.attributes.at + 2, NULL, 10);
            assert_true(!began[writer] || n == expected[writer]);
            began[writer] = true;
            expected[writer] = n + 1;
        }
        free(text);
    }
    buf_done(&attributes);
    for (unsigned i = 0; i < WRITERS; i++)
        assert_int_equal(expected[i], EVENTS);
    test_folder_remove(&folder);
}

static void a_stopped_writer_holds_up_nobody_for_long(void **state) {
    test_folder folder = test_folder_make();
    CLEANUP(reading_done) reading r;
    assert_int_equal(event_log_append(folder.fd, "box", "one", "a", (strv){0}), 0);
    CLEANUP(cleanup_fd) int held = openat(folder.fd, EVENT_LOG_FILE, O_RDWR | O_CLOEXEC);
    assert_int_equal(lock_take(held), 0);
    assert_int_equal(event_log_append(folder.fd, "box", "two", "a", (strv){0}), 0);
    read_log(&r, &folder, EVENT_LOG_FILE);
    assert_string_equal(r.last.action, "two");
    test_folder_remove(&folder);
}

static void a_full_disk_is_an_error_and_no_end(void **state) {
    test_folder folder = test_folder_make();
    struct rlimit before, small;
    assert_int_equal(event_log_append(folder.fd, "box", "one", "a", (strv){0}), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = 30, .rlim_max = before.rlim_max};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    assert_int_equal(sigaction(SIGXFSZ, &ignore, NULL), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int result = event_log_append(folder.fd, "box", "two", "a", (strv){0});
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(result, -1);
    assert_int_equal(event_log_append(folder.fd, "box", "three", "a", (strv){0}), 0);
    CLEANUP(reading_done) reading r;
    read_log(&r, &folder, EVENT_LOG_FILE);
    assert_int_equal(r.count, 2);
    assert_string_equal(r.last.action, "three");
    test_folder_remove(&folder);
}

static void memory_may_run_out(void **state) {
    test_folder folder = test_folder_make();
    bool failed = true;
    for (unsigned n = 0; failed; n++) {
        fail_alloc_at(n);
        int result = event_log_append(folder.fd, "box", "one", "a", LIST("key=value\0"));
        failed = fail_alloc_fired();
        assert_int_equal(result, failed ? -1 : 0);
    }
    test_folder_remove(&folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_is_found_again),
        cmocka_unit_test(a_torn_line_spoils_no_other),
        cmocka_unit_test(what_is_no_event_is_passed_over),
        cmocka_unit_test(attributes_beyond_the_limit_are_left_out_whole),
        cmocka_unit_test(a_full_log_is_moved_aside_once),
        cmocka_unit_test(many_writers_lose_nothing),
        cmocka_unit_test(a_stopped_writer_holds_up_nobody_for_long),
        cmocka_unit_test(a_full_disk_is_an_error_and_no_end),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
