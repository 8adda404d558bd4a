/* SPDX-License-Identifier: Apache-2.0
 *
 * test-runtime-logs.c - reading logs of pieces while they are written
 */
#include "runtime/box.h"
#include "runtime/logs.h"
#include "shim/piece-log.h"
#include "test-folder.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PIECES 10u /* that one file holds */
#define FILE_MAX_BYTES (PIECES * (PIECE_LOG_HEADER_BYTES + sizeof(unsigned)))

int box_open_folder(const nb_runtime *rt, const char *id, nb_error *err) {
    return -NB_E_NOT_FOUND;
}

typedef struct bench {
    test_folder folder;
    piece_log log;
    unsigned written;
    unsigned read[64];
    size_t count;
    unsigned more; /* pieces that are written when the first has been read */
} bench;

static void write_pieces(bench *b, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(piece_log_write(&b->log, 0, &b->written, sizeof(b->written)), 0);
        b->written++;
    }
}

static int take(void *user, int kind, uint64_t at_ms, const void *bytes, size_t length) {
    bench *b = user;
    assert_int_equal(length, sizeof(unsigned));
    assert_true(b->count < 64);
    memcpy(&b->read[b->count++], bytes, length);
    write_pieces(b, b->more);
    b->more = 0;
    return 0;
}

/* Everything from @first on that had been written when the reading began, each once and in order. */
static void expect_from(bench *b, unsigned first, unsigned more) {
    unsigned end = b->written;
    b->more = more;
    assert_int_equal(log_read_pieces(b->folder.fd, "log", take, b, NULL), 0);
    assert_true(b->count >= end - first);
    for (unsigned i = 0; i < b->count; i++)
        assert_int_equal(b->read[i], first + i);
}

static int set_up(void **state) {
    static bench b;
    b = (bench){.folder = test_folder_make()};
    assert_int_equal(piece_log_begin(&b.log, b.folder.fd, "log", FILE_MAX_BYTES), 0);
    *state = &b;
    return 0;
}

static int tear_down(void **state) {
    bench *b = *state;
    piece_log_done(&b->log);
    test_folder_remove(&b->folder);
    return 0;
}

static void a_log_that_never_began_is_empty(void **state) {
    bench *b = *state;
    assert_int_equal(log_read_pieces(b->folder.fd, "other", take, b, NULL), 0);
    assert_int_equal(b->count, 0);
}

static void one_file_and_two_are_read_in_order(void **state) {
    bench *b = *state;
    write_pieces(b, 5);
    expect_from(b, 0, 0);
    b->count = 0;
    write_pieces(b, 2 * PIECES);
    expect_from(b, PIECES, 0);
}

static void a_file_that_is_put_aside_while_the_one_before_is_read_is_not_missed(void **state) {
    bench *b = *state;
    write_pieces(b, 2 * PIECES);
    expect_from(b, 0, 1);
}

/* As between the two halves of putting a file aside. */
static void the_older_file_alone_is_read(void **state) {
    bench *b = *state;
    write_pieces(b, PIECES + 1);
    assert_int_equal(unlinkat(b->folder.fd, "log", 0), 0);
    b->written = PIECES;
    expect_from(b, 0, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_log_that_never_began_is_empty),
        TEST(one_file_and_two_are_read_in_order),
        TEST(a_file_that_is_put_aside_while_the_one_before_is_read_is_not_missed),
        TEST(the_older_file_alone_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
