/* SPDX-License-Identifier: Apache-2.0
 *
 * test-loop.c - who is called, when, and above all who is not called any more
 */
#include "base/clock.h"
#include "base/fd.h"
#include "loop/loop.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WATCHERS 4u

typedef struct bench {
    loop *l;
    loop_fd watchers[WATCHERS];
    loop_timer timers[WATCHERS];
    int fds[WATCHERS];
    char calls[32];
} bench;

static void note(bench *b, char what) {
    size_t length = strlen(b->calls);
    assert_true(length < sizeof(b->calls) - 1);
    b->calls[length] = what;
}

static void on_fd(loop_fd *watcher, uint32_t events) {
    bench *b = watcher->user;
    note(b, (char) ('a' + (watcher - b->watchers)));
    uint64_t drop;
    (void) !read(watcher->fd, &drop, sizeof(drop));
}

static void on_timer(loop_timer *timer) {
    bench *b = timer->user;
    note(b, (char) ('0' + (timer - b->timers)));
}

static int set_up(void **state) {
    static bench b;
    memset(&b, 0, sizeof(b));
    b.l = loop_new();
    assert_non_null(b.l);
    for (size_t i = 0; i < WATCHERS; i++) {
        b.fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        assert_int_equal(loop_fd_init(b.l, &b.watchers[i], b.fds[i], EPOLLIN, on_fd, &b), 0);
        loop_timer_init(b.l, &b.timers[i], on_timer, &b);
    }
    *state = &b;
    return 0;
}

static int tear_down(void **state) {
    bench *b = *state;
    for (size_t i = 0; i < WATCHERS; i++) {
        loop_fd_done(&b->watchers[i]);
        loop_timer_done(&b->timers[i]);
        (void) fd_close(b->fds[i]);
    }
    loop_free(b->l);
    return 0;
}

static void raise_event(bench *b, size_t i) {
    uint64_t one = 1;
    assert_int_equal(write(b->fds[i], &one, sizeof(one)), sizeof(one));
}

static void what_is_ready_is_called_and_nothing_else(void **state) {
    bench *b = *state;
    raise_event(b, 2);
    assert_int_equal(loop_round(b->l, 0), 0);
    assert_string_equal(b->calls, "c");
    assert_int_equal(loop_round(b->l, 0), 0);
    assert_string_equal(b->calls, "c");
}

static void events_can_be_changed(void **state) {
    bench *b = *state;
    raise_event(b, 0);
    assert_int_equal(loop_fd_set_events(&b->watchers[0], 0), 0);
    assert_int_equal(loop_round(b->l, 0), 0);
    assert_string_equal(b->calls, "");
    assert_int_equal(loop_fd_set_events(&b->watchers[0], EPOLLIN), 0);
    assert_int_equal(loop_round(b->l, 0), 0);
    assert_string_equal(b->calls, "a");
}

/* Whoever is called first ends all the others. */
static void on_fd_ending_the_others(loop_fd *watcher, uint32_t events) {
    bench *b = watcher->user;
    note(b, 'x');
    for (size_t i = 0; i < WATCHERS; i++) {
        if (watcher != &b->watchers[i]) {
            loop_fd_done(&b->watchers[i]);
            memset(&b->watchers[i], 0xff, sizeof(b->watchers[i])); /* its memory may be gone by now */
            b->watchers[i].owner = NULL;
        }
    }
    loop_fd_done(watcher);
}

static void a_watcher_that_is_done_is_not_called_for_an_event_of_the_same_batch(void **state) {
    bench *b = *state;
    for (size_t i = 0; i < WATCHERS; i++) {
        b->watchers[i].callback = on_fd_ending_the_others;
        raise_event(b, i);
    }
    assert_int_equal(loop_round(b->l, 0), 0);
    assert_int_equal(loop_round(b->l, 0), 0);
    assert_string_equal(b->calls, "x");
}

/* Ends the last watcher and begins another in its place, on a descriptor that is not ready. */
static void on_fd_replacing_the_last(loop_fd *watcher, uint32_t events) {
    bench *b = watcher->user;
    on_fd(watcher, events);
    if (strlen(b->calls) > 1)
        return;
    loop_fd *last = &b->watchers[WATCHERS - 1];
    loop_fd_done(last);
    uint64_t drop;
    assert_int_equal(read(b->fds[WATCHERS - 1], &drop, sizeof(drop)), sizeof(drop));
    assert_int_equal(loop_fd_init(b->l, last, b->fds[WATCHERS - 1], EPOLLIN, on_fd, b), 0);
}

static void a_watcher_begun_anew_does_not_get_the_old_ones_event(void **state) {
    bench *b = *state;
    for (size_t i = 0; i < WATCHERS - 1; i++)
        loop_fd_done(&b->watchers[i]);
    assert_int_equal(loop_fd_init(b->l, &b->watchers[0], b->fds[0], EPOLLIN, on_fd_replacing_the_last, b), 0);
    raise_event(b, 0);
    raise_event(b, WATCHERS - 1);
    assert_int_equal(loop_round(b->l, 0), 0);
    /* epoll tells them in the order in which they became ready */
    assert_string_equal(b->calls, "a");
}

static void timers_come_in_the_order_of_their_time(void **state) {
    bench *b = *state;
    loop_timer_start(&b->timers[0], 6);
    loop_timer_start(&b->timers[1], 2);
    loop_timer_start(&b->timers[2], 2);
    loop_timer_start(&b->timers[3], 4);
    while (strlen(b->calls) < WATCHERS)
        assert_int_equal(loop_round(b->l, -1), 0);
    assert_string_equal(b->calls, "1230");
    assert_false(loop_timer_is_running(&b->timers[0]));
}

static void a_timer_set_anew_comes_once_and_a_stopped_one_never(void **state) {
    bench *b = *state;
    loop_timer_start(&b->timers[0], 1);
    loop_timer_start(&b->timers[0], 20);
    loop_timer_start(&b->timers[1], 1);
    loop_timer_start(&b->timers[2], 10);
    loop_timer_stop(&b->timers[1]);
    loop_timer_stop(&b->timers[1]);
    loop_timer_stop(&b->timers[3]);
    while (loop_timer_is_running(&b->timers[0]))
        assert_int_equal(loop_round(b->l, -1), 0);
    assert_string_equal(b->calls, "20");
}

static void the_longest_timer_is_the_last(void **state) {
    bench *b = *state;
    loop_timer_start(&b->timers[0], UINT64_MAX);
    loop_timer_start(&b->timers[1], UINT64_MAX - 1);
    loop_timer_start(&b->timers[2], 3);
    while (strlen(b->calls) < 1)
        assert_int_equal(loop_round(b->l, -1), 0);
    assert_int_equal(loop_round(b->l, 20), 0);
    assert_string_equal(b->calls, "2");
}

static void on_timer_stopping_the_next(loop_timer *timer) {
    bench *b = timer->user;
    on_timer(timer);
    loop_timer_done(&b->timers[1]);
    loop_timer_start(timer, 1);
    timer->callback = on_timer;
}

static void a_timer_may_end_others_and_begin_itself_anew(void **state) {
    bench *b = *state;
    b->timers[0].callback = on_timer_stopping_the_next;
    loop_timer_start(&b->timers[0], 0);
    loop_timer_start(&b->timers[1], 0);
    while (strlen(b->calls) < 2)
        assert_int_equal(loop_round(b->l, -1), 0);
    assert_string_equal(b->calls, "00");
}

static void a_round_waits_no_longer_than_asked_and_no_longer_than_a_timer(void **state) {
    bench *b = *state;
    loop_timer_start(&b->timers[0], 3600u * 1000);
    assert_int_equal(loop_round(b->l, 1), 0);
    assert_string_equal(b->calls, "");
    loop_timer_start(&b->timers[1], 1);
    uint64_t before = clock_monotonic_ms();
    while (strlen(b->calls) == 0)
        assert_int_equal(loop_round(b->l, 60 * 1000), 0);
    assert_true(clock_monotonic_ms() - before < 30 * 1000);
    assert_string_equal(b->calls, "1");
}

static void on_fd_quitting(loop_fd *watcher, uint32_t events) {
    bench *b = watcher->user;
    on_fd(watcher, events);
    loop_quit(b->l);
}

static void it_runs_until_it_is_told_to_quit(void **state) {
    bench *b = *state;
    b->watchers[1].callback = on_fd_quitting;
    raise_event(b, 1);
    assert_int_equal(loop_run(b->l), 0);
    raise_event(b, 1);
    assert_int_equal(loop_run(b->l), 0);
    assert_string_equal(b->calls, "bb");
}

static void what_cannot_be_watched_is_an_error(void **state) {
    bench *b = *state;
    loop_fd watcher = {0};
    assert_int_equal(loop_fd_init(b->l, &watcher, -1, EPOLLIN, on_fd, b), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(loop_fd_init(b->l, &watcher, b->fds[0], EPOLLIN, on_fd, b), -1);
    assert_int_equal(errno, EEXIST);
    loop_fd_done(&watcher);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_ready_is_called_and_nothing_else),
        TEST(events_can_be_changed),
        TEST(a_watcher_that_is_done_is_not_called_for_an_event_of_the_same_batch),
        TEST(a_watcher_begun_anew_does_not_get_the_old_ones_event),
        TEST(timers_come_in_the_order_of_their_time),
        TEST(a_timer_set_anew_comes_once_and_a_stopped_one_never),
        TEST(the_longest_timer_is_the_last),
        TEST(a_timer_may_end_others_and_begin_itself_anew),
        TEST(a_round_waits_no_longer_than_asked_and_no_longer_than_a_timer),
        TEST(it_runs_until_it_is_told_to_quit),
        TEST(what_cannot_be_watched_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
