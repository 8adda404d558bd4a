/* SPDX-License-Identifier: Apache-2.0
 *
 * test-image-background.c - what is given is worked on in order, and work that fails is told
 */
#include "base/fd.h"
#include "fail.h"
#include "image/background.h"
#include "test-folder.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BUFFER_BYTES 4096u

typedef struct bench {
    test_folder folder;
    int fd;
    background *w;
} bench;

static int write_at(void *fd, const uint8_t *bytes, size_t length, uint64_t offset) {
    return fd_pwrite_all(*(int *) fd, bytes, length, offset) < 0 ? errno : 0;
}

static int set_up(void **state) {
    static bench b;
    b = (bench){.folder = test_folder_make()};
    b.fd = openat(b.folder.fd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    b.w = background_new(write_at, &b.fd, BUFFER_BYTES);
    *state = &b;
    return b.w ? 0 : -1;
}

static int tear_down(void **state) {
    bench *b = *state;
    background_free(b->w);
    (void) close(b->fd);
    test_folder_remove(&b->folder);
    return 0;
}

static int give(bench *b, char byte, size_t length, uint64_t offset) {
    memset(background_buffer(b->w), byte, length);
    return background_give(b->w, length, offset);
}

static void what_is_given_later_lies_over_what_was_before(void **state) {
    bench *b = *state;
    char found[BUFFER_BYTES];
    for (unsigned round = 0; round < 1000; round++) {
        for (char c = 'a'; c <= 'z'; c++)
            assert_int_equal(give(b, c, BUFFER_BYTES - (size_t) (c - 'a'), 0), 0);
    }
    assert_int_equal(background_finish(b->w), 0);
    assert_int_equal(pread(b->fd, found, sizeof(found), 0), sizeof(found));
    for (size_t i = 0; i < sizeof(found); i++) {
        size_t behind = BUFFER_BYTES - i; /* the last that reached so far */
        assert_int_equal(found[i], behind > 25 ? 'z' : 'a' + (int) behind - 1);
    }
}

static void a_write_that_fails_is_told_and_is_the_last(void **state) {
    bench *b = *state;
    struct rlimit before, small;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    assert_int_equal(sigaction(SIGXFSZ, &ignore, NULL), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = BUFFER_BYTES, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(give(b, 'a', BUFFER_BYTES, 0), 0);
    int told = give(b, 'b', BUFFER_BYTES, BUFFER_BYTES);
    int last = told ? told : give(b, 'c', 10, 0);
    int finished = background_finish(b->w);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(last, EFBIG);
    assert_int_equal(finished, EFBIG);
    char found;
    assert_int_equal(pread(b->fd, &found, 1, 0), 1);
    assert_int_equal(found, 'a');
}

static void it_can_be_left_in_the_middle(void **state) {
    bench *b = *state;
    for (unsigned i = 0; i < 100; i++) {
        background *w = background_new(write_at, &b->fd, BUFFER_BYTES);
        assert_non_null(w);
        memset(background_buffer(w), 'x', BUFFER_BYTES);
        assert_int_equal(background_give(w, BUFFER_BYTES, 0), 0);
        background_free(w);
    }
}

static void memory_may_run_out(void **state) {
    bench *b = *state;
    bool failed = true;
    for (unsigned n = 0; failed; n++) {
        fail_alloc_at(n);
        background *w = background_new(write_at, &b->fd, BUFFER_BYTES);
        failed = fail_alloc_fired();
        assert_true(failed == !w);
        background_free(w);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_given_later_lies_over_what_was_before),
        TEST(a_write_that_fails_is_told_and_is_the_last),
        TEST(it_can_be_left_in_the_middle),
        TEST(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
