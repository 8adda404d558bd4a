/* SPDX-License-Identifier: Apache-2.0
 *
 * test-threads.c - the library under many threads, built with the thread sanitizer
 *
 * The sanitizer sees two threads touch the same memory without order even when it did no harm this time, and fails the program. So
 * what has to happen here is not more than that every call meets every other, on a real box.
 */
#include "shared-box.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 6

/* What is done to one exec, by several threads at once. */
typedef struct shared_exec {
    nb_exec *exec;
    int code; /* that it has to end with; -1: any */
    atomic_bool ended;
} shared_exec;

static void *wait_for_it(void *user) {
    shared_exec *s = user;
    nb_exit_status status = {0};
    int result = nb_exec_wait(s->exec, WAIT_MS, &status, NULL);
    return result == 0 && (s->code < 0 || status.code == s->code) ? NULL : user;
}

static void *take_its_output(void *user) {
    shared_exec *s = user;
    nb_event event = {0};
    int result = 0;
    while (result == 0 && event.kind != NB_EVENT_EXITED)
        result = nb_exec_next(s->exec, WAIT_MS, &event, NULL);
    s->ended = true;
    return result == 0 ? NULL : user;
}

static void *write_to_it(void *user) {
    static const char bytes[500000];
    shared_exec *s = user;
    size_t written = 0;
    int result = nb_exec_write(s->exec, bytes, sizeof(bytes), WAIT_MS, &written, NULL);
    return result == 0 && written == sizeof(bytes) && nb_exec_close_stdin(s->exec, NULL) == 0 ? NULL : user;
}

static void *signal_it(void *user) {
    shared_exec *s = user;
    int result = 0;
    while (result == 0 && !s->ended) {
        result = nb_exec_signal(s->exec, SIGCONT, NULL);
        (void) usleep(2000);
    }
    return result == 0 ? NULL : user;
}

static void *resize_it(void *user) {
    shared_exec *s = user;
    int result = 0;
    for (uint16_t i = 0; result == 0 && !s->ended; i++) {
        result = nb_exec_resize(s->exec, (uint16_t) (20 + i % 100), 24, NULL);
        (void) usleep(2000);
    }
    return result == 0 ? NULL : user;
}

static void *look_at_its_fd(void *user) {
    shared_exec *s = user;
    return nb_exec_fd(s->exec) >= 0 ? NULL : user;
}

static void run_together(shared_exec *s, void *(*const *calls)(void *), size_t count) {
    pthread_t threads[8];
    void *failed;
    assert_true(count <= 8);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, calls[i], s), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        if (failed)
            fail_msg("call %zu has failed", i);
    }
    nb_exec_free(s->exec);
}

static void one_exec_belongs_to_many_threads(void **state) {
    static void *(*const calls[])(void *) = {wait_for_it,    take_its_output, write_to_it, signal_it,
                                             look_at_its_fd, wait_for_it,     wait_for_it};
    for (unsigned i = 0; i < rounds(3, 50); i++) {
        shared_exec s = {.exec = start_with((nb_exec_options){.open_stdin = true}, "cat; echo err >&2; exit 9"), .code = 9};
        run_together(&s, calls, sizeof(calls) / sizeof(calls[0]));
    }
}

static void one_terminal_belongs_to_many_threads(void **state) {
    static void *(*const calls[])(void *) = {wait_for_it, take_its_output, resize_it, signal_it, look_at_its_fd, wait_for_it};
    for (unsigned i = 0; i < rounds(3, 50); i++) {
        shared_exec s = {.exec =
                             start_with((nb_exec_options){.tty = true}, "i=0; while [ $i -lt 50 ]; do echo $i; i=$((i + 1)); done; exit 9"),
                         .code = 9};
        run_together(&s, calls, sizeof(calls) / sizeof(calls[0]));
    }
}

static void *kill_it(void *user) {
    shared_exec *s = user;
    return nb_exec_kill(s->exec, NULL) == 0 ? NULL : user;
}

static void a_kill_meets_waits(void **state) {
    static void *(*const calls[])(void *) = {wait_for_it, take_its_output, kill_it, kill_it, wait_for_it};
    for (unsigned i = 0; i < rounds(3, 50); i++) {
        shared_exec s = {.exec = start("while :; do echo x; done"), .code = 128 + SIGKILL};
        run_together(&s, calls, sizeof(calls) / sizeof(calls[0]));
    }
}

/* Everything that a runtime and a box are asked by threads that know nothing of each other. Where it failed, or 0. */
static intptr_t use_the_runtime(unsigned number) {
    nb_box *found = NULL;
    nb_box_info *info = NULL;
    nb_box_list *list = NULL;
    nb_exec *exec = NULL;
    nb_exit_status status = {0};
    char script[32];
    (void) snprintf(script, sizeof(script), "exit %u", number);
    const char *words[] = {"sh", "-c", script};
    nb_exec_options options = {.size = sizeof(options), .command = {words, 3}};
    if (nb_box_open(runtime, "shared", &found, NULL) < 0 || nb_box_inspect(box, &info, NULL) < 0)
        return 1;
    if (nb_box_list_get(runtime, &list, NULL) < 0 || list->count == 0)
        return 2;
    if (nb_exec_start(number % 2 ? box : found, &options, &exec, NULL) < 0)
        return 3;
    if (nb_exec_wait(exec, WAIT_MS, &status, NULL) < 0 || status.code != (int) number)
        return 4;
    nb_exec_free(exec);
    nb_box_list_free(list);
    nb_box_info_free(info);
    nb_box_free(found);
    return 0;
}

static void *use_the_runtime_often(void *user) {
    intptr_t failed = 0;
    for (unsigned i = 0; i < 5 && !failed; i++)
        failed = use_the_runtime((unsigned) (uintptr_t) user + i * THREADS);
    return (void *) failed;
}

static void one_runtime_belongs_to_many_threads(void **state) {
    pthread_t threads[THREADS];
    void *failed;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_the_runtime_often, (void *) (uintptr_t) i), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_int_equal((intptr_t) failed, 0);
    }
}

/* Two threads start, use and stop a box each, while the others wait for what runs in the shared one. */
static void *live_with_a_box(void *user) {
    nb_box_options options = {.size = sizeof(options), .image = "busybox", .keep = true};
    nb_box *own = NULL;
    bool good = nb_box_create(runtime, &options, &own, NULL) == 0 && nb_box_start(own, NULL, NULL, NULL) == 0 &&
                nb_box_stop(own, 0, NULL) == 0 && nb_box_remove(own, false, NULL) == 0;
    nb_box_free(own);
    return good ? NULL : user;
}

static volatile sig_atomic_t signals_seen;

static void on_signal(int number) {
    signals_seen++;
}

static void *stop_the_box(void *user) {
    return nb_box_stop(box, 0, NULL) == 0 ? NULL : user;
}

static void *wait_for_the_stop(void *user) {
    nb_exit_status status;
    int result = nb_exec_wait(user, WAIT_MS, &status, NULL);
    return result == -NB_E_STOPPED || (result == 0 && status.code == 128 + SIGKILL) ? NULL : user;
}

static void starts_and_stops_meet_waits(void **state) {
    pthread_t boxes[2], waits[THREADS], stops[2];
    struct sigaction action = {.sa_handler = on_signal};
    void *failed;
    nb_exec *exec = start("exec sleep 86450");
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&waits[i], NULL, wait_for_the_stop, exec), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&boxes[i], NULL, live_with_a_box, exec), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(boxes[i], &failed), 0);
        assert_null(failed);
    }
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&stops[i], NULL, stop_the_box, exec), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(stops[i], &failed), 0);
        assert_null(failed);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(waits[i], &failed), 0);
        assert_null(failed);
    }
    nb_exec_free(exec);
    /* The helpers were started out of this memory, and have put all signals back to their defaults: in themselves alone. */
    assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(signals_seen, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_exec_belongs_to_many_threads),
        cmocka_unit_test(one_terminal_belongs_to_many_threads),
        cmocka_unit_test(a_kill_meets_waits),
        cmocka_unit_test(one_runtime_belongs_to_many_threads),
        cmocka_unit_test(starts_and_stops_meet_waits),
    };
    const char *why = find_obstacle();
    if (why) {
        (void) printf("skipped: %s\n", why);
        return 77;
    }
    return cmocka_run_group_tests(tests, open_box, close_box);
}
