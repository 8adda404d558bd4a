/* SPDX-License-Identifier: Apache-2.0
 *
 * test-threads.c - the library under many threads, built with the thread sanitizer
 *
 * The sanitizer sees two threads touch the same memory without order even when it did no harm this time, and fails the program. So
 * what has to happen here is not more than that every call meets every other, on a real box.
 */
#include "shared-box.h"

#include <nestbox/events.h>

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

static int take_nothing(void *user, int stream, uint64_t at_ms, const void *bytes, size_t length) {
    return 0;
}

/* What is asked of a home. Where it failed, or 0. */
static intptr_t ask_the_home(unsigned number) {
    char name[32];
    nb_info *info = NULL;
    nb_disk_usage usage;
    nb_image_list *images = NULL;
    nb_volume_info *volume = NULL;
    nb_volume_list *volumes = NULL;
    nb_events_options options = {.size = sizeof(options), .replay = true};
    nb_events *events = NULL;
    const nb_runtime_event *event = NULL;
    (void) snprintf(name, sizeof(name), "of-%u", number);
    if (nb_runtime_info(runtime, &info, NULL) < 0 || nb_runtime_disk_usage(runtime, &usage, NULL) < 0 ||
        nb_runtime_sweep(runtime, NULL) < 0)
        return 11;
    if (nb_image_tag(runtime, "busybox", name, NULL) < 0 || nb_image_list_get(runtime, &images, NULL) < 0 ||
        nb_image_remove(runtime, name, NULL) < 0)
        return 12;
    if (nb_volume_create(runtime, name, &volume, NULL) < 0 || nb_volume_list_get(runtime, &volumes, NULL) < 0 ||
        nb_volume_remove(runtime, name, NULL) < 0)
        return 13;
    if (nb_events_open(runtime, &options, &events, NULL) < 0)
        return 14;
    do {
        if (nb_events_next(events, 0, &event, NULL) < 0)
            return 15;
    } while (event);
    nb_events_free(events);
    nb_volume_list_free(volumes);
    nb_volume_free(volume);
    nb_image_list_free(images);
    nb_info_free(info);
    return 0;
}

/* What is asked of a box that all share. Where it failed, or 0. */
static intptr_t ask_the_box(unsigned number) {
    char target[32];
    nb_box_stats stats;
    nb_exit_status status;
    nb_process_list *processes = NULL;
    nb_exec_list *execs = NULL;
    nb_health_results *health = NULL;
    nb_copy_options options = {.size = sizeof(options)};
    nb_exec *copy = NULL;
    (void) snprintf(target, sizeof(target), "/mounted-%u", number);
    const nb_mount mount = {.kind = NB_MOUNT_TMPFS, .target = target};
    if (nb_box_stats_get(box, &stats, NULL) < 0 || nb_process_list_get(box, &processes, NULL) < 0 ||
        nb_exec_list_get(box, &execs, NULL) < 0)
        return 21;
    if (nb_box_health_get(box, &health, NULL) < 0 || nb_box_logs(box, NB_LOG_SHIM, take_nothing, NULL, NULL) < 0)
        return 22;
    if (nb_box_mount(box, &mount, NULL) < 0 || nb_box_unmount(box, target, NULL) < 0)
        return 23;
    if (nb_copy_out(box, "/etc/passwd", &options, &copy, NULL) < 0 || nb_exec_wait(copy, WAIT_MS, &status, NULL) < 0)
        return 24;
    nb_exec_free(copy);
    nb_health_results_free(health);
    nb_exec_list_free(execs);
    nb_process_list_free(processes);
    return 0;
}

static void *use_the_runtime_often(void *user) {
    intptr_t failed = 0;
    for (unsigned i = 0; i < 5 && !failed; i++)
        failed = use_the_runtime((unsigned) (uintptr_t) user + i * THREADS);
    if (!failed)
        failed = ask_the_home((unsigned) (uintptr_t) user);
    if (!failed)
        failed = ask_the_box((unsigned) (uintptr_t) user);
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
