/* SPDX-License-Identifier: Apache-2.0
 *
 * test-agent-link.c - the agent when its host, its zygote or its link does what it should not: it ends, and never crashes
 */
#include "base/fd.h"
#include "base/size.h"
#include "native.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void wait_until_closed(native *n) {
    n->noisy = true;
    while (native_pump(n))
        ;
}

static void a_shutdown_kills_what_runs_and_says_goodbye(void **state) {
    native *n = native_start(WIRE_SETUP_INIT);
    uint32_t id = native_shell(n, "trap '' TERM; echo ready; while :; do sleep 86411; done");
    native_wait_output(n, id, 6);
    native_tell(n, wire_encode_shutdown, (&(msg_shutdown){0}));
    while (native_pump(n))
        ;
    assert_true(n->goodbye);
    assert_int_equal(native_wait_end(n), 0);
    assert_int_equal(native_count_processes("86411"), 0);
    native_stop(n);
}

static void a_link_that_closes_ends_everything(void **state) {
    native *n = native_start(WIRE_SETUP_INIT);
    uint32_t id = native_shell(n, "trap '' TERM HUP; echo ready; (sleep 86412 &); while :; do sleep 86412; done");
    native_wait_output(n, id, 6);
    n->fd = fd_close(n->fd);
    assert_int_equal(native_wait_end(n), 0);
    assert_int_equal(native_count_processes("86412"), 0);
    native_stop(n);
}

static void a_zygote_that_is_killed_ends_everything(void **state) {
    native *n = native_start(WIRE_SETUP_INIT);
    uint32_t id = native_shell(n, "echo ready; exec sleep 86413");
    native_wait_output(n, id, 6);
    assert_int_equal(kill(n->zygote, SIGKILL), 0);
    wait_until_closed(n);
    assert_int_equal(native_wait_end(n), 0);
    assert_int_equal(native_count_processes("86413"), 0);
    native_stop(n);
}

static void a_container_whose_init_is_killed_answers_every_exec(void **state) {
    native *n = native_start(WIRE_SETUP_INIT);
    uint32_t id = native_shell(n, "echo ready; exec sleep 86414");
    native_wait_output(n, id, 6);
    uint32_t killer = native_shell(n, "echo $(cat /proc/sys/kernel/ns_last_pid); kill -9 1; exit 5");
    assert_int_equal(native_wait(n, killer)->exit.code, 5); /* an init cannot be killed from within */
    /* From outside it can: by the host's own view of the process. */
    assert_int_equal(kill(native_find_box_init(n), SIGKILL), 0);
    assert_int_equal(native_wait(n, id)->exit.signal, SIGKILL);
    native_exec *late = native_wait(n, native_shell(n, "true"));
    assert_true(late->failed);
    native_stop(n);
}

/* --------------------------------------------------------------------------------------------------- a hostile host */

typedef struct breach {
    const char *name;
    bool before_setup;
    bool (*make)(buf *frames, uint32_t running); /* @running: an exec with stdin that reads nothing */
} breach;

static bool spawn_twice(buf *frames, uint32_t running) {
    return wire_control(frames, wire_encode_spawn, (&(msg_spawn){.exec_id = running, .argv = LIST("true\0")}));
}
static bool spawn_without_id(buf *frames, uint32_t running) {
    return wire_control(frames, wire_encode_spawn, (&(msg_spawn){.exec_id = 0, .argv = LIST("true\0")}));
}
static bool spawn_beyond_the_last_id(buf *frames, uint32_t running) {
    return wire_control(frames, wire_encode_spawn, (&(msg_spawn){.exec_id = WIRE_EXEC_ID_MAX + 1, .argv = LIST("true\0")}));
}
static bool spawn_early(buf *frames, uint32_t running) {
    return wire_control(frames, wire_encode_spawn, (&(msg_spawn){.exec_id = 5, .argv = LIST("true\0")}));
}
static bool cut_spawn(buf *frames, uint32_t running) {
    size_t at = wire_control_begin(frames);
    return wire_control_end(frames, at, buf_append(frames, "\x05\x00\x01", 3));
}
static bool set_up_twice(buf *frames, uint32_t running) {
    return wire_control(frames, wire_encode_setup, (&(msg_setup){.hostname = wire_str("again")}));
}
static bool another_hello(buf *frames, uint32_t running) {
    return wire_control(frames, wire_encode_hello, (&(msg_hello){.version = WIRE_VERSION}));
}
static bool a_guests_own_message(buf *frames, uint32_t running) {
    return wire_control(frames, wire_encode_goodbye, (&(msg_goodbye){0}));
}
static bool a_zygotes_message(buf *frames, uint32_t running) {
    return wire_control(frames, wire_encode_create, (&(msg_create){.exec_id = 7}));
}
static bool unknown_message(buf *frames, uint32_t running) {
    size_t at = wire_control_begin(frames);
    return wire_control_end(frames, at, buf_append(frames, "\xff\xff", 2));
}
static bool empty_message(buf *frames, uint32_t running) {
    return wire_control_end(frames, wire_control_begin(frames), true);
}
static bool data_for_stdout(buf *frames, uint32_t running) {
    return wire_frame_data(frames, wire_channel(running, WIRE_STREAM_STDOUT), "x", 1);
}
static bool data_after_the_end(buf *frames, uint32_t running) {
    return wire_frame_end(frames, wire_channel(running, WIRE_STREAM_STDIN)) &&
           wire_frame_data(frames, wire_channel(running, WIRE_STREAM_STDIN), "x", 1);
}
static bool data_beyond_the_window(buf *frames, uint32_t running) {
    static const uint8_t bytes[WIRE_DATA_MAX_BYTES];
    for (unsigned i = 0; i < 2 * WIRE_WINDOW_BYTES / sizeof(bytes) + 2; i++) {
        /* a pipe takes a window's worth away at most: fill that and the window */
        if (!wire_frame_data(frames, wire_channel(running, WIRE_STREAM_STDIN), bytes, sizeof(bytes)))
            return false;
    }
    return true;
}
static bool credit_for_stdin(buf *frames, uint32_t running) {
    return wire_frame_credit(frames, wire_channel(running, WIRE_STREAM_STDIN), 1);
}
static bool credit_beyond_the_window(buf *frames, uint32_t running) {
    return wire_frame_credit(frames, wire_channel(running, WIRE_STREAM_STDOUT), WIRE_WINDOW_BYTES);
}
static bool huge_credit(buf *frames, uint32_t running) {
    return wire_frame_credit(frames, wire_channel(running, WIRE_STREAM_STDERR), UINT32_MAX);
}
static bool huge_terminal(buf *frames, uint32_t running) {
    return wire_control(frames, wire_encode_resize, (&(msg_resize){.exec_id = running, .columns = WIRE_COLUMNS_MAX + 1, .rows = 1}));
}

static bool no_signal(buf *frames, uint32_t running) {
    return wire_control(frames, wire_encode_signal, (&(msg_signal){.exec_id = running, .signal = WIRE_SIGNAL_MAX + 1}));
}
static bool noise(buf *frames, uint32_t running) {
    return buf_append(frames, "\r\nlogin: \r\nPassword: ", 21);
}

static const breach breaches[] = {
    {"an exec's id again", false, spawn_twice},
    {"exec id 0", false, spawn_without_id},
    {"an exec id that no channel can carry", false, spawn_beyond_the_last_id},
    {"SPAWN before SETUP", true, spawn_early},
    {"a SPAWN that is cut", false, cut_spawn},
    {"a second SETUP", false, set_up_twice},
    {"a second HELLO", false, another_hello},
    {"a guest's own message", false, a_guests_own_message},
    {"a message for the zygote", false, a_zygotes_message},
    {"an unknown message", false, unknown_message},
    {"an empty message", false, empty_message},
    {"a signal that is none", false, no_signal},
    {"data for stdout", false, data_for_stdout},
    {"data after its end", false, data_after_the_end},
    {"data beyond the window", false, data_beyond_the_window},
    {"credit for stdin", false, credit_for_stdin},
    {"credit beyond the window", false, credit_beyond_the_window},
    {"a huge credit", false, huge_credit},
    {"a huge terminal", false, huge_terminal},
    {"noise", false, noise},
};

static void a_host_that_breaks_the_protocol_is_left_in_order(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(breaches); i++) {
        native *n = breaches[i].before_setup ? native_begin() : native_start(WIRE_SETUP_INIT);
        uint32_t running = 0;
        if (!breaches[i].before_setup) {
            running = native_spawn(n, (msg_spawn){.argv = LIST("sleep\00086415\0"), .spawn_flags = WIRE_SPAWN_STDIN});
            assert_true(native_wait_spawned(n, running)->spawned);
        }
        buf frames;
        buf_init(&frames, 1 << 20);
        assert_true(breaches[i].make(&frames, running));
        n->noisy = true;
        native_send(n, &frames);
        wait_until_closed(n);
        int status = native_wait_end(n);
        if (status != 0)
            fail_msg("%s: the agent ended with %d", breaches[i].name, status);
        assert_int_equal(native_count_processes("86415"), 0);
        native_stop(n);
    }
}

/* What an honest host may say a moment too late. */
static void what_is_for_an_exec_that_just_ended_is_dropped(void **state) {
    native *n = native_start(WIRE_SETUP_INIT);
    buf frames;
    buf_init(&frames, 1 << 20);
    for (uint32_t id = 3000; id < 3002; id++) {
        assert_true(wire_frame_data(&frames, wire_channel(id, WIRE_STREAM_STDIN), "x", 1));
        assert_true(wire_frame_end(&frames, wire_channel(id, WIRE_STREAM_STDIN)));
        assert_true(wire_frame_credit(&frames, wire_channel(id, WIRE_STREAM_STDOUT), 100000));
        assert_true(wire_control(&frames, wire_encode_signal, (&(msg_signal){.exec_id = id, .signal = 9})));
        assert_true(wire_control(&frames, wire_encode_signal, (&(msg_signal){.exec_id = id, .signal = SIGKILL, .whole_tree = 1})));
        assert_true(wire_control(&frames, wire_encode_resize, (&(msg_resize){.exec_id = id, .columns = 1, .rows = 1})));
    }
    native_send(n, &frames);
    uint32_t id = native_spawn(n, (msg_spawn){.argv = LIST("true\0")});
    native_tell(n, wire_encode_resize, (&(msg_resize){.exec_id = id})); /* no terminal */
    assert_int_equal(native_wait(n, id)->exit.code, 0);
    native_stop(n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shutdown_kills_what_runs_and_says_goodbye),
        cmocka_unit_test(a_link_that_closes_ends_everything),
        cmocka_unit_test(a_zygote_that_is_killed_ends_everything),
        cmocka_unit_test(a_container_whose_init_is_killed_answers_every_exec),
        cmocka_unit_test(a_host_that_breaks_the_protocol_is_left_in_order),
        cmocka_unit_test(what_is_for_an_exec_that_just_ended_is_dropped),
    };
    const char *why = native_prepare();
    if (why)
        (void) printf("skipped: %s\n", why);
    int result = why ? 77 : cmocka_run_group_tests(tests, NULL, NULL);
    native_clean_up();
    return result;
}
