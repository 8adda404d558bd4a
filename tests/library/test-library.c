/* SPDX-License-Identifier: Apache-2.0
 *
 * test-library.c - what nestbox.h promises, asked of a real box through nestbox.h alone
 *
 * A box takes seconds to boot, so all tests share one; the last two end it.
 */
#include "embedder.h"
#include "shared-box.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------- events and waits */

static void s01_the_end_comes_after_the_last_output(void **state) {
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

static void s08_eight_threads_that_wait_get_the_same_status_early_and_late(void **state) {
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

static void s04_an_exec_that_is_not_read_holds_up_no_other(void **state) {
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

/* The first event that is no end of a stream. */
static nb_event next_news(nb_exec *exec) {
    nb_event event = {0};
    do
        MUST(nb_exec_next(exec, WAIT_MS, &event, &problem));
    while ((event.kind == NB_EVENT_STDOUT || event.kind == NB_EVENT_STDERR) && event.length == 0);
    return event;
}

static void a_stream_that_is_held_lets_the_other_pass_and_loses_nothing(void **state) {
    nb_exec *exec = start("head -c 1000000 /dev/zero & sleep 0.5; echo err >&2; wait; exit 3");
    MUST(nb_exec_hold(exec, NB_EVENT_STDOUT, true, &problem));
    nb_event event = next_news(exec);
    assert_int_equal(event.kind, NB_EVENT_STDERR);
    assert_memory_equal(event.bytes, "err\n", 4);
    assert_int_equal(nb_exec_wait(exec, 100, &event.status, NULL), -NB_E_TIMEOUT); /* it waits for its reader */
    MUST(nb_exec_hold(exec, NB_EVENT_STDOUT, false, &problem));
    output o = {0};
    assert_true(collect(exec, WAIT_MS, &o));
    assert_int_equal(o.length[0], 1000000);
    assert_int_equal(o.status.code, 3);
    output_free(&o);
    nb_exec_free(exec);
}

static void the_end_waits_for_a_stream_that_is_held(void **state) {
    nb_exit_status status;
    nb_exec *exec = start("echo out; exit 4");
    struct pollfd ready = {.fd = nb_exec_fd(exec), .events = POLLIN};
    MUST(nb_exec_hold(exec, NB_EVENT_STDOUT, true, &problem));
    MUST(nb_exec_wait(exec, WAIT_MS, &status, &problem));
    assert_int_equal(status.code, 4);
    assert_int_equal(next_news(exec).kind, NB_EVENT_NONE);
    assert_int_equal(poll(&ready, 1, 0), 0);
    MUST(nb_exec_hold(exec, NB_EVENT_STDOUT, false, &problem));
    assert_int_equal(poll(&ready, 1, 0), 1);
    assert_int_equal(next_news(exec).kind, NB_EVENT_STDOUT);
    assert_int_equal(next_news(exec).kind, NB_EVENT_EXITED);
    assert_int_equal(nb_exec_hold(exec, NB_EVENT_EXITED, true, NULL), -NB_E_INVALID);
    assert_int_equal(nb_exec_hold(NULL, NB_EVENT_STDOUT, true, NULL), -NB_E_INVALID);
    nb_exec_free(exec);
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

/* A request of one word of many, so that execve(2) takes what the library lets through. */
static int start_long(size_t argv_bytes, size_t env_bytes, const char *directory, const char *user, nb_exec **ret_exec, nb_error *err) {
    enum { WORD_BYTES = 100000 };
    static char word[WORD_BYTES], last[WORD_BYTES], variable[WORD_BYTES], last_variable[WORD_BYTES];
    const char *words[32] = {"true"}, *variables[32];
    size_t word_count = 1, variable_count = 0;
    memset(word, 'w', sizeof(word) - 1);
    memset(variable, '=', sizeof(variable) - 1);
    variable[0] = 'V';
    for (argv_bytes -= sizeof("true"); argv_bytes > sizeof(word); argv_bytes -= sizeof(word))
        words[word_count++] = word;
    memset(last, 'l', argv_bytes - 1);
    last[argv_bytes - 1] = '\0';
    words[word_count++] = last;
    for (; env_bytes > sizeof(variable); env_bytes -= sizeof(variable))
        variables[variable_count++] = variable;
    memset(last_variable, '=', sizeof(last_variable));
    last_variable[0] = 'L';
    last_variable[env_bytes - 1] = '\0';
    variables[variable_count++] = last_variable;
    nb_exec_options options = NB_EXEC_OPTIONS_INIT;
    options.command = (nb_strings){words, word_count};
    options.environment = (nb_strings){variables, variable_count};
    options.working_directory = directory;
    options.user = user;
    return nb_exec_start(box, &options, ret_exec, err);
}

static void a_request_may_be_as_long_as_its_limits_and_no_longer(void **state) {
    static char path[4097] = "/", name[1026];
    const size_t list_max = (size_t) 2 << 20, kernel_takes = list_max - (16u << 10);
    nb_exec *exec = NULL;
    nb_error err;
    MUST(start_long(kernel_takes, 10, NULL, NULL, &exec, &problem));
    assert_int_equal(wait_and_free(exec).code, 0);
    exec = NULL;
    /* The library's limit is above the kernel's, which counts the environment and the pointers too. */
    for (size_t bytes = list_max - 1; bytes <= list_max; bytes++) {
        assert_int_equal(start_long(bytes, 10, NULL, NULL, &exec, &err), -NB_E_COMMAND_REFUSED);
        assert_non_null(strstr(err.message, "Argument list too long"));
    }
    assert_int_equal(start_long(list_max + 1, 10, NULL, NULL, &exec, &err), -NB_E_INVALID);
    assert_non_null(strstr(err.message, "command"));
    assert_int_equal(start_long(10, list_max + 1, NULL, NULL, &exec, &err), -NB_E_INVALID);
    assert_non_null(strstr(err.message, "environment"));
    /* Each by itself is let through; what both together come to is the kernel's to judge. */
    assert_int_equal(start_long(list_max / 4 * 3, list_max / 4 * 3, NULL, NULL, &exec, &err), -NB_E_COMMAND_REFUSED);
    assert_int_equal(err.system_errno, E2BIG);
    assert_non_null(strstr(err.message, "Argument list too long"));
    /* A name that long is none, but that is for the box to say. */
    memset(path, 'p', 4095);
    path[0] = '/';
    assert_int_equal(start_long(10, 10, path, NULL, &exec, &err), -NB_E_COMMAND_REFUSED);
    path[4095] = 'p';
    assert_int_equal(start_long(10, 10, path, NULL, &exec, &err), -NB_E_INVALID);
    memset(name, 'n', 1024);
    assert_int_equal(start_long(10, 10, NULL, name, &exec, &err), -NB_E_COMMAND_REFUSED);
    name[1024] = 'n';
    assert_int_equal(start_long(10, 10, NULL, name, &exec, &err), -NB_E_INVALID);
    assert_null(exec);
    expect("echo alive", 0, "alive\n");
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
static void s25_the_embedder_notices_nothing(void **state) {
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

/* What a program without standard streams and with a deadly SIGPIPE does. Where it failed, or 0. */
static int use_without_streams(void) {
    nb_runtime_options options = NB_RUNTIME_OPTIONS_INIT;
    nb_box_options box_options = NB_BOX_OPTIONS_INIT;
    nb_exec_options exec_options = {.size = sizeof(exec_options), .open_stdin = true};
    const char *words[] = {"sh", "-c", "read a; test \"$a\" = x && exit 5"};
    static const char bytes[200000];
    nb_runtime *own = NULL;
    nb_box *made = NULL;
    nb_exec *exec = NULL;
    nb_exit_status status = {0};
    size_t written = 0;
    for (int fd = 0; fd < 3; fd++)
        (void) close(fd);
    (void) sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    options.home = home;
    box_options.image = "busybox";
    box_options.keep = true;
    exec_options.command = (nb_strings){words, 3};
    if (nb_runtime_open(&options, &own, NULL) < 0)
        return 1;
    if (nb_box_create(own, &box_options, &made, NULL) < 0 || nb_box_start(made, NULL, NULL, NULL) < 0)
        return 2;
    if (nb_exec_start(made, &exec_options, &exec, NULL) < 0)
        return 3;
    if (nb_exec_write(exec, "x\n", 2, WAIT_MS, &written, NULL) < 0 || nb_exec_wait(exec, WAIT_MS, &status, NULL) < 0 || status.code != 5)
        return 4;
    nb_exec_free(exec);
    words[2] = "sleep 86426";
    if (nb_exec_start(made, &exec_options, &exec, NULL) < 0 || nb_box_stop(made, 0, NULL) < 0)
        return 5;
    /* The other end of its connection is closed by now. What was under way then may still be taken. */
    int result = 0;
    for (int i = 0; result == 0 && i < 10; i++)
        result = nb_exec_write(exec, bytes, sizeof(bytes), WAIT_MS, &written, NULL);
    if (result != -NB_E_STOPPED)
        return 6;
    nb_exec_free(exec);
    if (nb_box_remove(made, false, NULL) < 0)
        return 7;
    nb_box_free(made);
    nb_runtime_close(own);
    return 0;
}

static void s25_closed_standard_streams_and_a_deadly_sigpipe_are_survived(void **state) {
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(use_without_streams());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void s11_a_machine_that_dies_is_told_to_all_who_wait(void **state) {
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
    nb_box_stats stats;
    nb_error err;
    options.command = (nb_strings){&word, 1};
    MUST(nb_box_stop(box, 0, &problem));
    assert_int_equal(nb_exec_start(box, &options, &exec, &err), -NB_E_STOPPED);
    assert_int_equal(nb_box_detach(box, &err), -NB_E_STOPPED);
    assert_int_equal(nb_box_stats_get(box, &stats, &err), -NB_E_STOPPED);
    assert_int_equal(nb_copy_out(box, "/etc", NULL, &exec, &err), -NB_E_STOPPED);
    assert_int_equal(nb_copy_in(box, "/etc", NULL, &exec, &err), -NB_E_STOPPED);
    MUST(nb_box_start(box, NULL, NULL, &problem));
    exec = start("sleep 86424");
    MUST(nb_box_stop(box, 0, &problem));
    nb_exit_status status;
    assert_int_equal(nb_exec_wait(exec, WAIT_MS, &status, &err), -NB_E_STOPPED);
    nb_exec_free(exec);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s01_the_end_comes_after_the_last_output),
        cmocka_unit_test(s08_eight_threads_that_wait_get_the_same_status_early_and_late),
        cmocka_unit_test(a_wait_that_runs_out_loses_nothing),
        cmocka_unit_test(a_descriptor_tells_an_event_loop_when_to_ask),
        cmocka_unit_test(s04_an_exec_that_is_not_read_holds_up_no_other),
        cmocka_unit_test(a_stream_that_is_held_lets_the_other_pass_and_loses_nothing),
        cmocka_unit_test(the_end_waits_for_a_stream_that_is_held),
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
        cmocka_unit_test(a_request_may_be_as_long_as_its_limits_and_no_longer),
        cmocka_unit_test(bad_calls_are_errors_not_crashes),
        cmocka_unit_test(option_structs_of_other_versions_are_taken),
        cmocka_unit_test(a_home_is_open_twice_and_a_box_is_found_by_every_name),
        cmocka_unit_test(s25_the_embedder_notices_nothing),
        cmocka_unit_test(s25_closed_standard_streams_and_a_deadly_sigpipe_are_survived),
        cmocka_unit_test(s11_a_machine_that_dies_is_told_to_all_who_wait),
        cmocka_unit_test(a_stopped_box_runs_nothing_and_starts_again),
    };
    const char *why = find_obstacle();
    if (why) {
        (void) printf("skipped: %s\n", why);
        return 77;
    }
    return cmocka_run_group_tests(tests, open_box, close_box);
}
