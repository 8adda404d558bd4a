/* SPDX-License-Identifier: Apache-2.0
 *
 * test-shutdown.c - what becomes of execs, and of those who wait for them, when their box is stopped
 *
 * Each test has the box running when it begins, and may stop it. Joins have no bound of their own: every wait in a thread has one.
 */
#include "shared-box.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Beyond it a wait, or the wait for a wait, is a hang. */
#define JOIN_S (2 * WAIT_MS / 1000)

static void join(pthread_t thread) {
    struct timespec until;
    (void) clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += JOIN_S;
    assert_int_equal(pthread_timedjoin_np(thread, NULL, &until), 0);
}

typedef struct waiter {
    nb_exec *exec;
    int64_t timeout_ms;
    pthread_t thread;
    int result;
    nb_exit_status status;
    nb_error err;
    atomic_bool began;
} waiter;

static void *wait_in_thread(void *user) {
    waiter *w = user;
    w->began = true;
    w->result = nb_exec_wait(w->exec, w->timeout_ms, &w->status, &w->err);
    return NULL;
}

static void begin_wait(waiter *w, nb_exec *exec, int64_t timeout_ms) {
    *w = (waiter){.exec = exec, .timeout_ms = timeout_ms};
    assert_int_equal(pthread_create(&w->thread, NULL, wait_in_thread, w), 0);
    while (!w->began)
        (void) usleep(1000);
}

static void expect_nine_in_eight_threads(nb_exec *exec) {
    waiter waiters[8];
    for (size_t i = 0; i < 8; i++)
        begin_wait(&waiters[i], exec, WAIT_MS);
    for (size_t i = 0; i < 8; i++) {
        join(waiters[i].thread);
        assert_int_equal(waiters[i].result, 0);
        assert_int_equal(waiters[i].status.code, 9);
        assert_int_equal(waiters[i].status.signal, 0);
    }
}

static nb_box_info *inspect(nb_box *which) {
    nb_box_info *info = NULL;
    MUST(nb_box_inspect(which, &info, &problem));
    return info;
}

static void expect_state(nb_box *which, nb_box_state state, nb_end_cause cause) {
    nb_box_info *info = inspect(which);
    assert_string_equal(nb_box_state_name(info->state), nb_box_state_name(state));
    assert_string_equal(nb_end_cause_name(info->cause), nb_end_cause_name(cause));
    nb_box_info_free(info);
}

/* ----------------------------------------------------------------------------------------------- those who wait */

static void s08_a_status_is_the_same_for_all_early_late_and_after_the_stop(void **state) {
    nb_exec *exec = start("sleep 1; exit 9");
    expect_nine_in_eight_threads(exec);
    expect_nine_in_eight_threads(exec);
    MUST(nb_box_stop(box, 0, &problem));
    expect_nine_in_eight_threads(exec);
    nb_exec_free(exec);
}

static void a_status_that_nobody_asked_for_is_there_after_the_stop(void **state) {
    nb_exec *exec = start("echo out; exit 9");
    output o = {0};
    nb_error err;
    expect("while grep -q 'exit [9]' /proc/[0-9]*/cmdline 2>/dev/null; do sleep 0.05; done; sleep 0.5", 0, "");
    MUST(nb_box_stop(box, 0, &problem));
    expect_nine_in_eight_threads(exec);
    assert_int_equal(collect_to_end(exec, &o, &err), 0);
    assert_string_equal(o.bytes[0], "out\n");
    assert_int_equal(o.status.code, 9);
    output_free(&o);
    nb_exec_free(exec);
}

static void *tick_until_the_end(void *user) {
    waiter *w = user;
    output o = {0};
    w->result = collect_to_end(w->exec, &o, &w->err);
    output_free(&o);
    return NULL;
}

static void s10_a_stop_ends_every_wait_and_every_stream(void **state) {
    waiter waiters[3], ticker = {0};
    for (size_t i = 0; i < 3; i++) {
        nb_exec *exec = start("trap '' TERM INT HUP; echo ready; while :; do sleep 1; done");
        await_output(exec, "ready\n");
        begin_wait(&waiters[i], exec, i == 0 ? -1 : WAIT_MS);
    }
    ticker.exec = start("while :; do echo tick; done");
    nb_event first = {0};
    MUST(nb_exec_next(ticker.exec, WAIT_MS, &first, &problem));
    assert_int_equal(first.kind, NB_EVENT_STDOUT);
    assert_int_equal(pthread_create(&ticker.thread, NULL, tick_until_the_end, &ticker), 0);
    MUST(nb_box_stop(box, 1000, &problem));
    for (size_t i = 0; i < 3; i++) {
        join(waiters[i].thread);
        if (waiters[i].result == 0)
            assert_int_equal(waiters[i].status.code, 128 + SIGKILL);
        else
            assert_int_equal(waiters[i].result, -NB_E_STOPPED);
        nb_exec_free(waiters[i].exec);
    }
    join(ticker.thread);
    assert_true(ticker.result == 0 || ticker.result == -NB_E_STOPPED);
    nb_exec_free(ticker.exec);
    expect_state(box, NB_BOX_STOPPED, NB_END_STOP);
}

static void what_was_written_before_the_stop_is_read_after_it(void **state) {
    nb_exec *exec = start("echo first; echo last; echo done >/tmp/written; exec sleep 86430");
    output o = {0};
    nb_error err;
    expect("while ! [ -s /tmp/written ]; do sleep 0.05; done; sleep 0.5", 0, "");
    MUST(nb_box_stop(box, 0, &problem));
    assert_int_equal(collect_to_end(exec, &o, &err), -NB_E_STOPPED);
    assert_string_equal(o.bytes[0], "first\nlast\n");
    assert_int_equal(nb_exec_next(exec, 0, &(nb_event){0}, &err), -NB_E_STOPPED); /* and again whenever asked */
    output_free(&o);
    nb_exec_free(exec);
}

static void execs_of_every_kind_end_with_the_box(void **state) {
    enum { KINDS = 6 };
    static const char bytes[50000];
    size_t written = 0;
    nb_exec *execs[KINDS] = {
        start("exec sleep 86431"),
        start("trap '' TERM; while :; do sleep 1; done"),
        start_with((nb_exec_options){.tty = true, .open_stdin = true}, "exec sleep 86431"),
        start_with((nb_exec_options){.open_stdin = true}, "exec sleep 86431"), /* its stdin is full */
        start("exec cat /dev/zero"),                                           /* its output too */
        start_with((nb_exec_options){.timeout_ms = 86400000}, "sleep 86431 & setsid sleep 86431 & wait"),
    };
    do
        MUST(nb_exec_write(execs[3], bytes, sizeof(bytes), 100, &written, &problem));
    while (written == sizeof(bytes));
    MUST(nb_box_stop(box, 0, &problem));
    for (size_t i = 0; i < KINDS; i++) {
        waiter w;
        begin_wait(&w, execs[i], WAIT_MS);
        join(w.thread);
        assert_true(w.result == -NB_E_STOPPED || (w.result == 0 && w.status.code == 128 + SIGKILL));
        nb_exec_free(execs[i]);
    }
}

/* ------------------------------------------------------------------------------------------------- those who come after */

static void what_is_asked_of_an_exec_after_the_stop_is_answered(void **state) {
    nb_exit_status status = {.code = 77};
    size_t written = 0;
    nb_error err;
    nb_exec *exec = start_with((nb_exec_options){.tty = true, .open_stdin = true}, "exec sleep 86432");
    MUST(nb_box_stop(box, 0, &problem));
    assert_int_equal(nb_exec_wait(exec, WAIT_MS, &status, &err), -NB_E_STOPPED);
    assert_int_equal(err.code, NB_E_STOPPED);
    assert_true(err.message[0] != '\0');
    assert_int_equal(nb_exec_wait(exec, 0, &status, NULL), -NB_E_STOPPED);
    assert_int_equal(nb_exec_write(exec, "x", 1, 0, &written, NULL), -NB_E_STOPPED);
    assert_int_equal(status.code, 77);
    MUST(nb_exec_signal(exec, SIGTERM, &problem));
    MUST(nb_exec_kill(exec, &problem));
    MUST(nb_exec_resize(exec, 80, 24, &problem));
    MUST(nb_exec_close_stdin(exec, &problem));
    MUST(nb_exec_detach(exec, &problem));
    assert_true(nb_exec_fd(exec) >= 0);
    nb_exec_free(exec);
}

static int try_exec(nb_box *which, nb_error *err) {
    const char *word = "true";
    nb_exec_options options = NB_EXEC_OPTIONS_INIT;
    nb_exec *exec = NULL;
    options.command = (nb_strings){&word, 1};
    int result = nb_exec_start(which, &options, &exec, err);
    assert_true(result == 0 ? exec != NULL : exec == NULL);
    nb_exec_free(exec);
    return result;
}

static void every_call_says_what_a_stopped_box_is(void **state) {
    nb_error err;
    MUST(nb_box_stop(box, 0, &problem));
    assert_int_equal(try_exec(box, &err), -NB_E_STOPPED);
    assert_int_equal(err.code, NB_E_STOPPED);
    assert_non_null(strstr(err.message, "shared"));
    assert_true(err.hint[0] != '\0');
    assert_int_equal(nb_box_detach(box, &err), -NB_E_STOPPED);
    assert_int_equal(err.code, NB_E_STOPPED);
    expect_state(box, NB_BOX_STOPPED, NB_END_STOP);
    MUST(nb_box_stop(box, 0, &problem));
    nb_box_options again = {.size = sizeof(again), .image = "busybox", .name = "shared"};
    nb_box *other = NULL;
    assert_int_equal(nb_box_create(runtime, &again, &other, &err), -NB_E_ALREADY_EXISTS);
    MUST(nb_box_start(box, NULL, NULL, &problem)); /* which is the way out */
    expect("echo again", 0, "again\n");
}

static void every_call_says_that_a_removed_box_is_not_there(void **state) {
    nb_box_options options = {.size = sizeof(options), .image = "busybox", .keep = true};
    nb_box *removed = NULL;
    nb_box_info *info = NULL;
    nb_error err;
    MUST(nb_box_create(runtime, &options, &removed, &problem));
    assert_int_equal(try_exec(removed, &err), -NB_E_STOPPED);
    MUST(nb_box_remove(removed, false, &problem));
    assert_int_equal(try_exec(removed, &err), -NB_E_NOT_FOUND);
    assert_int_equal(nb_box_start(removed, NULL, NULL, &err), -NB_E_NOT_FOUND);
    assert_int_equal(nb_box_inspect(removed, &info, &err), -NB_E_NOT_FOUND);
    assert_int_equal(nb_box_stop(removed, 0, &err), -NB_E_NOT_FOUND);
    assert_int_equal(nb_box_detach(removed, &err), -NB_E_NOT_FOUND);
    assert_int_equal(nb_box_remove(removed, false, &err), -NB_E_NOT_FOUND);
    nb_box_free(removed);
}

/* ---------------------------------------------------------------------------------------------------- in good order */

static void execs_in_sequence_and_then_a_clean_shutdown(void **state) {
    static const int codes[] = {0, 1, 42};
    for (int i = 0; i < 9; i++) {
        char script[64], out[16];
        (void) snprintf(script, sizeof(script), "echo %d; exit %d", i, codes[i % 3]);
        (void) snprintf(out, sizeof(out), "%d\n", i);
        expect(script, codes[i % 3], out);
    }
    /* Not synced: a power cut would lose it. */
    expect("echo kept >/kept", 0, "");
    MUST(nb_box_stop(box, 10000, &problem));
    expect_state(box, NB_BOX_STOPPED, NB_END_STOP);
    MUST(nb_box_start(box, NULL, NULL, &problem));
    expect("cat /kept", 0, "kept\n");
}

static void an_exec_and_then_at_once_a_shutdown(void **state) {
    for (unsigned round = 0; round < rounds(1, 10); round++) {
        nb_exec *exec = start("exit 42");
        MUST(nb_box_stop(box, 0, &problem));
        waiter w;
        begin_wait(&w, exec, WAIT_MS);
        join(w.thread);
        assert_true(w.result == -NB_E_STOPPED || (w.result == 0 && (w.status.code == 42 || w.status.code == 128 + SIGKILL)));
        nb_exec_free(exec);
        MUST(nb_box_start(box, NULL, NULL, &problem));
    }
}

static void *stop_in_thread(void *user) {
    waiter *w = user;
    w->result = nb_box_stop(box, 0, &w->err);
    return NULL;
}

/* Starts execs until the box is gone. */
static void *exec_in_thread(void *user) {
    waiter *w = user;
    const char *words[] = {"sh", "-c", "exit 9"};
    nb_exec_options options = NB_EXEC_OPTIONS_INIT;
    options.command = (nb_strings){words, 3};
    for (w->result = 0; w->result == 0;) {
        nb_exec *exec = NULL;
        w->began = true;
        w->result = nb_exec_start(box, &options, &exec, &w->err);
        if (w->result == 0)
            w->result = nb_exec_wait(exec, WAIT_MS, &w->status, &w->err);
        if (w->result == 0 && w->status.code != 9 && w->status.code != 128 + SIGKILL)
            w->result = w->status.code;
        nb_exec_free(exec);
    }
    return NULL;
}

static void a_stop_among_execs_is_told_to_each_as_one(void **state) {
    waiter execs[4] = {{0}}, stops[4] = {{0}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&execs[i].thread, NULL, exec_in_thread, &execs[i]), 0);
        while (!execs[i].began)
            (void) usleep(1000);
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&stops[i].thread, NULL, stop_in_thread, &stops[i]), 0);
    for (size_t i = 0; i < 4; i++) {
        join(stops[i].thread);
        if (stops[i].result < 0)
            fail_msg("%s", stops[i].err.message);
    }
    for (size_t i = 0; i < 4; i++) {
        join(execs[i].thread);
        if (execs[i].result != -NB_E_STOPPED)
            fail_msg("an exec came to %d: %s", execs[i].result, execs[i].err.message);
    }
    expect_state(box, NB_BOX_STOPPED, NB_END_STOP);
}

/* A program with three boxes, one of them detached, that closes its runtime and ends while execs run in all of them. Where it failed, or 0. */
static int end_with_boxes(const char *const names[3]) {
    nb_runtime_options options = {.size = sizeof(options), .home = home};
    nb_runtime *own = NULL;
    if (nb_runtime_open(&options, &own, NULL) < 0)
        return 1;
    for (int i = 0; i < 3; i++) {
        nb_box_options box_options = {.size = sizeof(box_options), .image = "busybox", .name = names[i], .keep = true, .detach = i == 2};
        const char *words[] = {"sleep", "86433"};
        nb_exec_options exec_options = {.size = sizeof(exec_options), .command = {words, 2}};
        nb_box *made = NULL;
        nb_exec *exec = NULL;
        if (nb_box_create(own, &box_options, &made, NULL) < 0 || nb_box_start(made, NULL, NULL, NULL) < 0)
            return 2;
        if (nb_exec_start(made, &exec_options, &exec, NULL) < 0)
            return 3;
        nb_exec_free(exec);
        nb_box_free(made);
    }
    nb_runtime_close(own);
    return 0;
}

static void boxes_end_with_their_program_unless_detached(void **state) {
    static const char *const names[3] = {"one", "two", "three"};
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(end_with_boxes(names));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (int i = 0; i < 3; i++) {
        nb_box *made = NULL;
        MUST(nb_box_open(runtime, names[i], &made, &problem));
        nb_box_info *info = inspect(made);
        for (int look = 0; i < 2 && info->state != NB_BOX_STOPPED && look < WAIT_MS / 10; look++) {
            nb_box_info_free(info);
            (void) usleep(10000);
            info = inspect(made);
        }
        nb_box_info_free(info);
        if (i < 2)
            expect_state(made, NB_BOX_STOPPED, NB_END_OWNER);
        else
            expect_state(made, NB_BOX_RUNNING, NB_END_NONE);
        remove_another_box(made);
    }
}

#define TEST(name) cmocka_unit_test_setup(name, restart_box)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(s08_a_status_is_the_same_for_all_early_late_and_after_the_stop),
        TEST(a_status_that_nobody_asked_for_is_there_after_the_stop),
        TEST(s10_a_stop_ends_every_wait_and_every_stream),
        TEST(what_was_written_before_the_stop_is_read_after_it),
        TEST(execs_of_every_kind_end_with_the_box),
        TEST(what_is_asked_of_an_exec_after_the_stop_is_answered),
        TEST(every_call_says_what_a_stopped_box_is),
        TEST(every_call_says_that_a_removed_box_is_not_there),
        TEST(execs_in_sequence_and_then_a_clean_shutdown),
        TEST(an_exec_and_then_at_once_a_shutdown),
        TEST(a_stop_among_execs_is_told_to_each_as_one),
        TEST(boxes_end_with_their_program_unless_detached),
    };
    const char *why = find_obstacle();
    if (why) {
        (void) printf("skipped: %s\n", why);
        return 77;
    }
    return cmocka_run_group_tests(tests, open_box, close_box);
}
