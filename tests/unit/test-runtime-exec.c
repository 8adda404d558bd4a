/* SPDX-License-Identifier: Apache-2.0
 *
 * test-runtime-exec.c - an exec's handle whose shim is slow to read
 */
#include "base/clock.h"
#include "base/fd.h"
#include "runtime/exec.h"
#include "wire/frame.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BOUND_MS 30000
#define EXEC_ID 5u
/* Pieces of a byte: a socket is full of them long before a window is. */
#define PIECES 20000u

typedef struct bench {
    nb_exec *exec;
    int shim;
    buf heard;
} bench;

static int set_up(void **state) {
    static bench b;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    exec_beginning beginning = {.exec_id = EXEC_ID, .id = wire_str("abcdefghijkl"), .open_stdin = true};
    assert_int_equal(exec_handle_new(ends[0], &beginning, &b.exec, NULL), 0);
    b.shim = ends[1];
    buf_init(&b.heard, (size_t) 1 << 20);
    *state = &b;
    return 0;
}

static int tear_down(void **state) {
    bench *b = *state;
    nb_exec_free(b->exec);
    (void) fd_close(b->shim);
    buf_done(&b->heard);
    return 0;
}

/* Reads as a shim what is there. How many bytes of stdin came. */
static size_t hear_some_stdin(bench *b) {
    size_t got = 0, used;
    wire_frame frame;
    ssize_t n = read(b->shim, buf_reserve(&b->heard, 65536), 65536);
    if (n > 0)
        buf_added(&b->heard, (size_t) n);
    while (wire_frame_parse(buf_bytes(&b->heard), buf_length(&b->heard), &frame, &used) > 0) {
        if (frame.kind == WIRE_FRAME_DATA)
            got += frame.length;
        buf_consume(&b->heard, used);
    }
    return got;
}

/* Until @wanted bytes of stdin have come, or time is up. */
static size_t hear_stdin(bench *b, size_t wanted) {
    size_t got = 0;
    for (deadline until = deadline_in(BOUND_MS); got < wanted && !deadline_passed(until);) {
        struct pollfd one = {.fd = b->shim, .events = POLLIN};
        (void) poll(&one, 1, 10);
        got += hear_some_stdin(b);
    }
    return got;
}

static void tell_exited(bench *b) {
    buf said;
    buf_init(&said, 1000);
    assert_true(wire_control(&said, wire_encode_exited, (&(msg_exited){.exec_id = EXEC_ID, .code = 7})));
    assert_int_equal(fd_write_all(b->shim, buf_bytes(&said), buf_length(&said)), 0);
    buf_done(&said);
}

static void *wait_for_end(void *user) {
    bench *b = user;
    nb_exit_status status = {0};
    int result = nb_exec_wait(b->exec, 2 * BOUND_MS, &status, NULL);
    return (void *) (intptr_t) (result < 0 ? result : status.code);
}

static void *write_pieces(void *user) {
    bench *b = user;
    for (unsigned i = 0; i < PIECES; i++) {
        size_t written = 0;
        int result = nb_exec_write(b->exec, "x", 1, BOUND_MS, &written, NULL);
        if (result < 0 || written != 1)
            return (void *) (intptr_t) -1;
    }
    return NULL;
}

static void what_was_taken_leaves_though_another_thread_only_waits(void **state) {
    bench *b = *state;
    pthread_t waiter, writer;
    void *waited, *wrote;
    struct timespec moment = {.tv_nsec = 200000000};
    assert_int_equal(pthread_create(&waiter, NULL, wait_for_end, b), 0);
    (void) nanosleep(&moment, NULL); /* the waiter most likely reads the socket; where it does not yet, the test only sees less */
    assert_int_equal(pthread_create(&writer, NULL, write_pieces, b), 0);
    (void) nanosleep(&moment, NULL); /* likewise: the socket is full */
    size_t got = hear_stdin(b, PIECES);
    tell_exited(b);
    assert_int_equal(pthread_join(writer, &wrote), 0);
    assert_int_equal(pthread_join(waiter, &waited), 0);
    assert_int_equal(got, PIECES);
    assert_null(wrote);
    assert_int_equal((intptr_t) waited, 7);
}

/* A program with an event loop: it writes, and comes back when the descriptor says so. */
static void what_was_taken_leaves_with_the_event_loops_help(void **state) {
    bench *b = *state;
    struct pollfd one = {.fd = nb_exec_fd(b->exec), .events = POLLIN};
    size_t got = 0;
    nb_event event;
    assert_true(one.fd >= 0);
    for (unsigned i = 0; i < PIECES; i++) {
        size_t written = 0;
        assert_int_equal(nb_exec_write(b->exec, "x", 1, 0, &written, NULL), 0);
        assert_int_equal(written, 1);
    }
    for (deadline until = deadline_in(BOUND_MS); got < PIECES && !deadline_passed(until);) {
        got += hear_some_stdin(b);
        if (poll(&one, 1, 10) > 0)
            assert_int_equal(nb_exec_next(b->exec, 0, &event, NULL), 0);
    }
    assert_int_equal(got, PIECES);
    assert_int_equal(poll(&one, 1, 0), 0); /* and it is quiet again */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_was_taken_leaves_though_another_thread_only_waits),
        TEST(what_was_taken_leaves_with_the_event_loops_help),
    };
    (void) sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
