/* SPDX-License-Identifier: Apache-2.0
 *
 * test-library.c - what nestbox.h promises, asked of a real box through nestbox.h alone
 *
 * A box takes seconds to boot, so all tests share one; the last two end it.
 */
#include "embedder.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Far beyond what anything here takes on a busy machine without KVM. */
#define WAIT_MS 60000
#define OUTPUT_MAX_BYTES ((size_t) 8 << 20)

static nb_runtime *runtime;
static nb_box *box;
static char home[] = "/tmp/nestbox-library-XXXXXX";

/* Of the last call that had to succeed. */
static nb_error problem;

/* The call, which reports to &problem, must succeed; if not, its reason is the test's. */
#define MUST(call)                                                       \
    do {                                                                 \
        int must_result = (call);                                        \
        if (must_result < 0)                                             \
            fail_msg("%s: %d: %s", #call, must_result, problem.message); \
    } while (0)

static int open_box(void **state) {
    nb_runtime_options options = NB_RUNTIME_OPTIONS_INIT;
    options.home = mkdtemp(home);
    MUST(nb_runtime_open(&options, &runtime, &problem));
    nb_box_options box_options = NB_BOX_OPTIONS_INIT;
    box_options.image = "busybox";
    box_options.name = "shared";
    box_options.keep = true;
    MUST(nb_box_create(runtime, &box_options, &box, &problem));
    MUST(nb_box_start(box, NULL, NULL, &problem));
    return 0;
}

static int close_box(void **state) {
    (void) nb_box_remove(box, true, NULL);
    nb_box_free(box);
    nb_runtime_close(runtime);
    remove_home(home);
    return 0;
}

static nb_exec *start_with(nb_exec_options options, const char *script) {
    const char *words[] = {"sh", "-c", script};
    nb_exec *exec = NULL;
    options.size = sizeof(options);
    options.command = (nb_strings){words, 3};
    MUST(nb_exec_start(box, &options, &exec, &problem));
    return exec;
}

static nb_exec *start(const char *script) {
    return start_with((nb_exec_options){0}, script);
}

typedef struct output {
    char *bytes[2]; /* stdout, stderr; terminated */
    size_t length[2];
    bool ended[2];
    nb_exit_status status;
} output;

static void output_free(output *o) {
    free(o->bytes[0]);
    free(o->bytes[1]);
}

static void take(output *o, const nb_event *event) {
    int i = event->kind == NB_EVENT_STDOUT ? 0 : 1;
    assert_false(o->ended[i]);
    o->ended[i] = event->length == 0;
    assert_true(o->length[i] + event->length < OUTPUT_MAX_BYTES);
    char *larger = realloc(o->bytes[i], o->length[i] + event->length + 1);
    assert_non_null(larger);
    o->bytes[i] = larger;
    if (event->length > 0)
        memcpy(larger + o->length[i], event->bytes, event->length);
    o->length[i] += event->length;
    larger[o->length[i]] = '\0';
}

/* Takes what comes until @exec has ended. True: it has. False: nothing came in time. */
static bool collect(nb_exec *exec, int64_t timeout_ms, output *o) {
    for (;;) {
        nb_event event = {0};
        MUST(nb_exec_next(exec, timeout_ms, &event, &problem));
        if (event.kind == NB_EVENT_NONE)
            return false;
        if (event.kind == NB_EVENT_EXITED) {
            o->status = event.status;
            return true;
        }
        if (event.kind != NB_EVENT_STDIN_ROOM)
            take(o, &event);
    }
}

static void expect(const char *script, int code, const char *out) {
    nb_exec *exec = start(script);
    output o = {0};
    assert_true(collect(exec, WAIT_MS, &o));
    assert_int_equal(o.status.code, code);
    assert_string_equal(o.bytes[0] ? o.bytes[0] : "", out);
    output_free(&o);
    nb_exec_free(exec);
}

/* ------------------------------------------------------------------------------------------------- events and waits */

static void the_end_comes_after_the_last_output(void **state) {
    for (int i = 0; i < 200; i++) {
        char script[64], text[16];
        (void) snprintf(script, sizeof(script), "echo %d; echo e%d >&2; exit %d", i, i, i % 256);
        (void) snprintf(text, sizeof(text), "%d\n", i);
        nb_exec *exec = start(script);
        output o = {0};
        assert_true(collect(exec, WAIT_MS, &o));
        assert_string_equal(o.bytes[0], text);
        assert_int_equal(o.length[1], strlen(text) + 1);
        assert_true(o.ended[0] && o.ended[1]);
        assert_int_equal(o.status.code, i % 256);
        nb_event again = {0};
        MUST(nb_exec_next(exec, 0, &again, &problem));
        assert_int_equal(again.kind, NB_EVENT_EXITED);
        assert_int_equal(again.status.code, i % 256);
        output_free(&o);
        nb_exec_free(exec);
    }
}

static void *wait_for_nine(void *user) {
    nb_exit_status status = {0};
    return nb_exec_wait(user, WAIT_MS, &status, NULL) == 0 && status.code == 9 && status.signal == 0 ? NULL : user;
}

static void eight_threads_that_wait_get_the_same_status_early_and_late(void **state) {
    for (int round = 0; round < 10; round++) {
        nb_exec *exec = start("sleep 0.3; exit 9");
        for (int late = 0; late < 2; late++) {
            pthread_t threads[8];
            for (size_t i = 0; i < 8; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, wait_for_nine, exec), 0);
            for (size_t i = 0; i < 8; i++) {
                void *failed;
                assert_int_equal(pthread_join(threads[i], &failed), 0);
                assert_null(failed);
            }
        }
        nb_exec_free(exec);
    }
}

static void a_wait_that_runs_out_loses_nothing(void **state) {
    nb_exec *exec = start("echo before; sleep 0.5; echo after; exit 3");
    nb_exit_status status = {.code = 77};
    nb_error err;
    assert_int_equal(nb_exec_wait(exec, 0, &status, &err), -NB_E_TIMEOUT);
    assert_int_equal(nb_exec_wait(exec, 10, &status, &err), -NB_E_TIMEOUT);
    assert_int_equal(status.code, 77);
    MUST(nb_exec_wait(exec, -1, &status, &problem));
    assert_int_equal(status.code, 3);
    output o = {0};
    assert_true(collect(exec, 0, &o)); /* waiting kept what was not taken */
    assert_string_equal(o.bytes[0], "before\nafter\n");
    output_free(&o);
    nb_exec_free(exec);
}

static void a_descriptor_tells_an_event_loop_when_to_ask(void **state) {
    enum { EXECS = 10 };
    nb_exec *execs[EXECS];
    output outputs[EXECS] = {{{0}}};
    int loop = epoll_create1(EPOLL_CLOEXEC), left = EXECS;
    for (unsigned i = 0; i < EXECS; i++) {
        char script[128];
        (void) snprintf(script, sizeof(script), "for n in 1 2 3; do echo %u.$n; sleep 0.0%u; done; head -c 200000 /dev/zero; exit %u", i, i,
                        i);
        execs[i] = start(script);
        /* half of them edge-triggered */
        struct epoll_event event = {.events = EPOLLIN | (i % 2 ? EPOLLET : 0), .data.u32 = i};
        assert_int_equal(epoll_ctl(loop, EPOLL_CTL_ADD, nb_exec_fd(execs[i]), &event), 0);
        assert_int_equal(nb_exec_fd(execs[i]), nb_exec_fd(execs[i]));
    }
    while (left > 0) {
        struct epoll_event event;
        assert_int_equal(epoll_wait(loop, &event, 1, WAIT_MS), 1);
        unsigned i = event.data.u32;
        if (collect(execs[i], 0, &outputs[i])) {
            assert_int_equal(epoll_ctl(loop, EPOLL_CTL_DEL, nb_exec_fd(execs[i]), NULL), 0);
            left--;
        }
    }
    for (unsigned i = 0; i < EXECS; i++) {
        char text[32];
        (void) snprintf(text, sizeof(text), "%u.1\n%u.2\n%u.3\n", i, i, i);
        assert_memory_equal(outputs[i].bytes[0], text, strlen(text));
        assert_int_equal(outputs[i].length[0], strlen(text) + 200000);
        assert_int_equal(outputs[i].status.code, i);
        /* What has ended stays readable. */
        struct pollfd ready = {.fd = nb_exec_fd(execs[i]), .events = POLLIN};
        assert_int_equal(poll(&ready, 1, 0), 1);
        output_free(&outputs[i]);
        nb_exec_free(execs[i]);
    }
    (void) close(loop);
}

static void an_exec_that_is_not_read_holds_up_no_other(void **state) {
    nb_exec *unread = start("head -c 5000000 /dev/zero; echo; exit 2");
    for (int i = 0; i < 5; i++)
        expect("echo other", 0, "other\n");
    nb_exit_status status;
    nb_error err;
    assert_int_equal(nb_exec_wait(unread, 100, &status, &err), -NB_E_TIMEOUT);
    output o = {0};
    assert_true(collect(unread, WAIT_MS, &o));
    assert_int_equal(o.length[0], 5000001);
    assert_int_equal(o.status.code, 2);
    output_free(&o);
    nb_exec_free(unread);
}

/* ------------------------------------------------------------------------------------------------------------ stdin */

static void writes_with_small_timeouts_lose_nothing(void **state) {
    static char bytes[3000000];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char) (i * 31 + i / 1021);
    nb_exec *exec = start_with((nb_exec_options){.open_stdin = true}, "cat; exit 6");
    output o = {0};
    size_t sent = 0;
    for (unsigned turn = 0; sent < sizeof(bytes); turn++) {
        size_t written = 0, length = sizeof(bytes) - sent;
        if (length > 100000)
            length = 100000;
        MUST(nb_exec_write(exec, bytes + sent, length, turn % 3, &written, &problem));
        assert_true(written <= length);
        sent += written;
        assert_false(collect(exec, written < length ? 20 : 0, &o));
    }
    MUST(nb_exec_close_stdin(exec, &problem));
    assert_true(collect(exec, WAIT_MS, &o));
    assert_int_equal(o.length[0], sizeof(bytes));
    assert_memory_equal(o.bytes[0], bytes, sizeof(bytes));
    assert_int_equal(o.status.code, 6);
    output_free(&o);
    nb_exec_free(exec);
}

static void a_writer_is_told_when_there_is_room_again(void **state) {
    static const char bytes[65536];
    nb_exec *exec = start_with((nb_exec_options){.open_stdin = true}, "sleep 1; cat >/dev/null");
    size_t written = 1;
    for (unsigned i = 0; written > 0 && i < 1000; i++) {
        MUST(nb_exec_write(exec, bytes, sizeof(bytes), 0, &written, &problem));
    }
    assert_int_equal(written, 0); /* nobody reads, so it ended */
    nb_event event = {0};
    MUST(nb_exec_next(exec, WAIT_MS, &event, &problem));
    assert_int_equal(event.kind, NB_EVENT_STDIN_ROOM);
    MUST(nb_exec_write(exec, bytes, sizeof(bytes), 0, &written, &problem));
    assert_true(written > 0);
    MUST(nb_exec_close_stdin(exec, &problem));
    nb_exit_status status;
    MUST(nb_exec_wait(exec, WAIT_MS, &status, &problem));
    assert_int_equal(status.code, 0);
    nb_exec_free(exec);
}

static void who_reads_nothing_takes_everything(void **state) {
    static const char bytes[1000000];
    size_t written = 0;
    nb_exit_status status;
    nb_exec *exec = start_with((nb_exec_options){.open_stdin = true}, "exec <&-; sleep 1; exit 4");
    MUST(nb_exec_write(exec, bytes, sizeof(bytes), WAIT_MS, &written, &problem));
    assert_int_equal(written, sizeof(bytes));
    MUST(nb_exec_wait(exec, WAIT_MS, &status, &problem));
    assert_int_equal(status.code, 4);
    MUST(nb_exec_write(exec, bytes, sizeof(bytes), WAIT_MS, &written, &problem)); /* and after its end */
    assert_int_equal(written, sizeof(bytes));
    MUST(nb_exec_close_stdin(exec, &problem));
    nb_exec_free(exec);
}

static void stdin_that_is_not_open_cannot_be_written(void **state) {
    size_t written = 77;
    nb_error err;
    nb_exec *exec = start("cat; exit 1"); /* /dev/null */
    assert_int_equal(nb_exec_write(exec, "x", 1, 0, &written, &err), -NB_E_INVALID);
    assert_int_equal(written, 77);
    nb_exit_status status;
    MUST(nb_exec_wait(exec, WAIT_MS, &status, &problem));
    nb_exec_free(exec);
    exec = start_with((nb_exec_options){.open_stdin = true}, "cat");
    MUST(nb_exec_close_stdin(exec, &problem));
    MUST(nb_exec_close_stdin(exec, &problem));
    assert_int_equal(nb_exec_write(exec, "x", 1, 0, &written, &err), -NB_E_INVALID);
    MUST(nb_exec_wait(exec, WAIT_MS, &status, &problem));
    nb_exec_free(exec);
}

static void *write_much(void *user) {
    static char bytes[4000000];
    size_t written = 0;
    int result = nb_exec_write(user, bytes, sizeof(bytes), WAIT_MS, &written, NULL);
    return result == 0 && written == sizeof(bytes) && nb_exec_close_stdin(user, NULL) == 0 ? NULL : user;
}

static void one_thread_takes_another_writes_a_third_waits(void **state) {
    pthread_t writer, waiter;
    void *failed;
    nb_exec *exec = start_with((nb_exec_options){.open_stdin = true}, "cat; exit 9");
    assert_int_equal(pthread_create(&waiter, NULL, wait_for_nine, exec), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_much, exec), 0);
    output o = {0};
    assert_true(collect(exec, WAIT_MS, &o));
    assert_int_equal(o.length[0], 4000000);
    assert_int_equal(pthread_join(writer, &failed), 0);
    assert_null(failed);
    assert_int_equal(pthread_join(waiter, &failed), 0);
    assert_null(failed);
    output_free(&o);
    nb_exec_free(exec);
}

/* ---------------------------------------------------------------------------------------------- signals and errors */

static void a_kill_ends_the_tree_and_the_next_exec_runs(void **state) {
    for (int i = 0; i < 3; i++) {
        nb_exit_status status;
        nb_exec *exec = start("sleep 86421 & sleep 86421 & wait");
        MUST(nb_exec_kill(exec, &problem));
        MUST(nb_exec_wait(exec, WAIT_MS, &status, &problem));
        assert_int_equal(status.code, 128 + SIGKILL);
        assert_int_equal(status.signal, SIGKILL);
        MUST(nb_exec_kill(exec, &problem)); /* it has ended: nothing, and 0 */
        MUST(nb_exec_signal(exec, SIGTERM, &problem));
        nb_exec_free(exec);
        expect("grep -l '8642[1]' /proc/[0-9]*/cmdline | wc -l", 0, "0\n"); /* a pattern that does not find itself */
    }
}

static void a_timeout_is_told_as_one(void **state) {
    nb_exit_status status;
    nb_exec *exec = start_with((nb_exec_options){.timeout_ms = 200}, "exec sleep 86422");
    MUST(nb_exec_wait(exec, WAIT_MS, &status, &problem));
    assert_true(status.timed_out);
    assert_int_equal(status.signal, SIGTERM);
    nb_exec_free(exec);
}

static void an_exec_that_is_let_go_goes_on(void **state) {
    nb_exec_free(start("rm -f /tmp/went-on; sleep 0.3; head -c 1000000 /dev/zero; echo yes >/tmp/went-on"));
    expect("while ! [ -s /tmp/went-on ]; do sleep 0.05; done; cat /tmp/went-on", 0, "yes\n");
}

static void three_descriptors_and_no_more_reach_the_process(void **state) {
    expect("ls /proc/self/fd", 0, "0\n1\n2\n3\n"); /* the last is the folder that ls reads */
}

static void expect_refused(nb_exec_options options, const char *program, int result) {
    nb_exec *exec = NULL;
    nb_error err = {0};
    options.size = sizeof(options);
    options.command = (nb_strings){&program, 1};
    assert_int_equal(nb_exec_start(box, &options, &exec, &err), result);
    assert_int_equal(err.code, -result);
    assert_true(err.message[0] != '\0' && !strchr(err.message, '\n'));
    assert_null(exec);
    assert_int_equal(nb_exec_start(box, &options, &exec, NULL), result);
}

static void what_cannot_run_is_refused_by_kind(void **state) {
    expect_refused((nb_exec_options){0}, "no-such-program", -NB_E_COMMAND_NOT_FOUND);
    expect_refused((nb_exec_options){0}, "/no/such/program", -NB_E_COMMAND_NOT_FOUND);
    expect_refused((nb_exec_options){0}, "/etc", -NB_E_COMMAND_REFUSED);
    expect_refused((nb_exec_options){.user = "nobody-of-that-name"}, "true", -NB_E_COMMAND_REFUSED);
    expect_refused((nb_exec_options){.working_directory = "/nowhere"}, "true", -NB_E_COMMAND_REFUSED);
    expect_refused((nb_exec_options){.working_directory = "relative"}, "true", -NB_E_INVALID);
    expect_refused((nb_exec_options){.columns = 60000}, "true", -NB_E_INVALID);
    expect_refused((nb_exec_options){.environment = {(const char *const[]){"=x"}, 1}}, "true", -NB_E_INVALID);
    expect_refused((nb_exec_options){0}, NULL, -NB_E_INVALID);
}

static void bad_calls_are_errors_not_crashes(void **state) {
    nb_exec_options options = NB_EXEC_OPTIONS_INIT;
    nb_exec *exec = NULL, *running;
    nb_box *other = NULL;
    nb_exit_status status;
    nb_event event;
    size_t written;
    assert_int_equal(nb_exec_start(box, &options, &exec, NULL), -NB_E_INVALID); /* no command */
    assert_int_equal(nb_exec_start(NULL, &options, &exec, NULL), -NB_E_INVALID);
    assert_int_equal(nb_exec_start(box, NULL, &exec, NULL), -NB_E_INVALID);
    assert_int_equal(nb_exec_wait(NULL, 0, &status, NULL), -NB_E_INVALID);
    assert_int_equal(nb_exec_next(NULL, 0, &event, NULL), -NB_E_INVALID);
    assert_int_equal(nb_exec_write(NULL, "", 0, 0, &written, NULL), -NB_E_INVALID);
    assert_int_equal(nb_exec_kill(NULL, NULL), -NB_E_INVALID);
    assert_int_equal(nb_box_open(runtime, "no-such-box", &other, NULL), -NB_E_NOT_FOUND);
    assert_int_equal(nb_box_open(runtime, "", &other, NULL), -NB_E_NOT_FOUND);
    assert_int_equal(nb_box_create(runtime, NULL, &other, NULL), -NB_E_INVALID);
    running = start("true");
    static const int numbers[] = {-1, 0, 65, 1000};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        assert_int_equal(nb_exec_signal(running, numbers[i], NULL), -NB_E_INVALID);
    assert_int_equal(nb_exec_resize(running, 80, 24, NULL), -NB_E_INVALID); /* no terminal */
    MUST(nb_exec_wait(running, WAIT_MS, &status, &problem));
    nb_exec_free(running);
    nb_exec_free(NULL);
    nb_box_free(NULL);
    nb_box_info_free(NULL);
    nb_box_list_free(NULL);
    nb_image_free(NULL);
    nb_image_list_free(NULL);
    nb_info_free(NULL);
    nb_runtime_close(NULL);
}

static void option_structs_of_other_versions_are_taken(void **state) {
    const char *words[] = {"sh", "-c", "exit 5"};
    struct {
        nb_exec_options ours;
        uint64_t later;
    } newer = {.ours = {.size = sizeof(newer), .command = {words, 3}}};
    nb_exec *exec = NULL;
    nb_exit_status status;
    nb_error err;
    MUST(nb_exec_start(box, &newer.ours, &exec, &problem));
    MUST(nb_exec_wait(exec, WAIT_MS, &status, &problem));
    assert_int_equal(status.code, 5);
    nb_exec_free(exec);
    exec = NULL;
    newer.later = 1;
    assert_int_equal(nb_exec_start(box, &newer.ours, &exec, &err), -NB_E_UNSUPPORTED);
    nb_exec_options older = {.size = offsetof(nb_exec_options, environment), .command = {words, 3}, .user = "nobody-of-that-name"};
    MUST(nb_exec_start(box, &older, &exec, &problem)); /* what lies beyond its size is not looked at */
    MUST(nb_exec_wait(exec, WAIT_MS, &status, &problem));
    nb_exec_free(exec);
    older.size = 0;
    assert_int_equal(nb_exec_start(box, &older, &exec, &err), -NB_E_INVALID);
}

/* --------------------------------------------------------------------------------------------------- boxes and homes */

static void a_home_is_open_twice_and_a_box_is_found_by_every_name(void **state) {
    nb_runtime_options options = NB_RUNTIME_OPTIONS_INIT;
    nb_runtime *second = NULL;
    options.home = home;
    MUST(nb_runtime_open(&options, &second, &problem));
    char prefix[8];
    (void) snprintf(prefix, sizeof(prefix), "%.6s", nb_box_id(box));
    const char *const names[] = {"shared", nb_box_id(box), prefix};
    for (size_t i = 0; i < 3; i++) {
        nb_box *found = NULL;
        nb_box_info *info = NULL;
        MUST(nb_box_open(second, names[i], &found, &problem));
        MUST(nb_box_inspect(found, &info, &problem));
        assert_string_equal(info->id, nb_box_id(box));
        assert_int_equal(info->state, NB_BOX_RUNNING);
        assert_true(info->keep && info->machine_pid > 0 && info->shim_pid > 0);
        uint64_t sum =
            info->timing.prepare_us + info->timing.machine_us + info->timing.boot_us + info->timing.container_us + info->timing.command_us;
        assert_true(sum == info->timing.total_us && sum > 0);
        nb_box_info_free(info);
        nb_box_free(found);
    }
    nb_box_options taken = NB_BOX_OPTIONS_INIT;
    nb_box *other = NULL;
    taken.image = "busybox";
    taken.name = "shared";
    assert_int_equal(nb_box_create(second, &taken, &other, NULL), -NB_E_ALREADY_EXISTS);
    assert_int_equal(nb_box_remove(box, false, NULL), -NB_E_INVALID_STATE);
    nb_runtime_close(second);
}

static void *embed(void *user) {
    for (int i = 0; i < 20; i++)
        expect("exit 3", 3, "");
    return NULL;
}

/* A program with children, a handler, a mask and threads of its own notices nothing. */
static void the_embedder_notices_nothing(void **state) {
    embedder *e = embedder_begin();
    nb_box_options options = NB_BOX_OPTIONS_INIT;
    nb_box *own = NULL;
    options.image = "busybox";
    options.keep = true;
    MUST(nb_box_create(runtime, &options, &own, &problem)); /* runs helpers: an image worker, a shim */
    MUST(nb_box_start(own, NULL, NULL, &problem));
    (void) embed(NULL);
    MUST(nb_box_stop(own, 0, &problem));
    MUST(nb_box_remove(own, false, &problem));
    nb_box_free(own);
    nb_exec *exec = start("sleep 0.1");
    (void) nb_exec_fd(exec);
    const char *changed = embedder_end(e);
    if (changed)
        fail_msg("%s", changed);
    nb_exec_free(exec);
}

static void a_machine_that_dies_is_told_to_all_who_wait(void **state) {
    nb_box_info *info = NULL;
    nb_exit_status status = {.code = 77};
    nb_event event;
    nb_error err;
    nb_exec *exec = start("sleep 86423");
    MUST(nb_box_inspect(box, &info, &problem));
    assert_int_equal(kill((pid_t) info->machine_pid, SIGKILL), 0);
    nb_box_info_free(info);
    assert_int_equal(nb_exec_wait(exec, WAIT_MS, &status, &err), -NB_E_BOX_GONE);
    assert_int_equal(nb_exec_wait(exec, WAIT_MS, &status, &err), -NB_E_BOX_GONE);
    assert_int_equal(status.code, 77);
    do
        memset(&event, 0, sizeof(event));
    while (nb_exec_next(exec, WAIT_MS, &event, &err) == 0 && event.kind != NB_EVENT_EXITED);
    assert_int_equal(err.code, NB_E_BOX_GONE);
    nb_exec_free(exec);
    MUST(nb_box_stop(box, 0, &problem)); /* whatever is left of it */
    MUST(nb_box_inspect(box, &info, &problem));
    assert_int_equal(info->state, NB_BOX_STOPPED);
    assert_int_equal(info->cause, NB_END_CRASH);
    assert_true(info->message[0] != '\0');
    nb_box_info_free(info);
}

static void a_stopped_box_runs_nothing_and_starts_again(void **state) {
    const char *word = "true";
    nb_exec_options options = NB_EXEC_OPTIONS_INIT;
    nb_exec *exec = NULL;
    nb_error err;
    options.command = (nb_strings){&word, 1};
    MUST(nb_box_stop(box, 0, &problem));
    assert_int_equal(nb_exec_start(box, &options, &exec, &err), -NB_E_STOPPED);
    assert_int_equal(nb_box_detach(box, &err), -NB_E_STOPPED);
    MUST(nb_box_start(box, NULL, NULL, &problem));
    exec = start("sleep 86424");
    MUST(nb_box_stop(box, 0, &problem));
    nb_exit_status status;
    assert_int_equal(nb_exec_wait(exec, WAIT_MS, &status, &err), -NB_E_STOPPED);
    nb_exec_free(exec);
}

/* Why there can be no box here, or NULL. */
static const char *find_obstacle(void) {
    nb_runtime_options options = NB_RUNTIME_OPTIONS_INIT;
    nb_runtime *probe = NULL;
    nb_info *info = NULL;
    char folder[] = "/tmp/nestbox-library-XXXXXX";
    options.home = mkdtemp(folder);
    const char *why = "the library cannot say what it would use";
    if (nb_runtime_open(&options, &probe, NULL) == 0 && nb_runtime_info(probe, &info, NULL) == 0)
        why = !info->qemu ? "there is no QEMU" : !info->kernel ? "there is no guest kernel" : NULL;
    nb_info_free(info);
    nb_runtime_close(probe);
    remove_home(folder);
    return why;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_comes_after_the_last_output),
        cmocka_unit_test(eight_threads_that_wait_get_the_same_status_early_and_late),
        cmocka_unit_test(a_wait_that_runs_out_loses_nothing),
        cmocka_unit_test(a_descriptor_tells_an_event_loop_when_to_ask),
        cmocka_unit_test(an_exec_that_is_not_read_holds_up_no_other),
        cmocka_unit_test(writes_with_small_timeouts_lose_nothing),
        cmocka_unit_test(a_writer_is_told_when_there_is_room_again),
        cmocka_unit_test(who_reads_nothing_takes_everything),
        cmocka_unit_test(stdin_that_is_not_open_cannot_be_written),
        cmocka_unit_test(one_thread_takes_another_writes_a_third_waits),
        cmocka_unit_test(a_kill_ends_the_tree_and_the_next_exec_runs),
        cmocka_unit_test(a_timeout_is_told_as_one),
        cmocka_unit_test(an_exec_that_is_let_go_goes_on),
        cmocka_unit_test(three_descriptors_and_no_more_reach_the_process),
        cmocka_unit_test(what_cannot_run_is_refused_by_kind),
        cmocka_unit_test(bad_calls_are_errors_not_crashes),
        cmocka_unit_test(option_structs_of_other_versions_are_taken),
        cmocka_unit_test(a_home_is_open_twice_and_a_box_is_found_by_every_name),
        cmocka_unit_test(the_embedder_notices_nothing),
        cmocka_unit_test(a_machine_that_dies_is_told_to_all_who_wait),
        cmocka_unit_test(a_stopped_box_runs_nothing_and_starts_again),
    };
    const char *why = find_obstacle();
    if (why) {
        (void) printf("skipped: %s\n", why);
        return 77;
    }
    return cmocka_run_group_tests(tests, open_box, close_box);
}
