/* SPDX-License-Identifier: Apache-2.0
 *
 * test-agent-prepared.c - a container that stands before its box is known, and becomes that box's
 */
#include "native.h"

#include "wire/rehearsal.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static native *prepare(unsigned setup_flags) {
    native *n = native_begin();
    native_set_up(n, &(msg_setup){.box_id = wire_str("none"),
                                  .hostname = wire_str("a-name-that-is-longer-than-the-other"),
                                  .setup_flags = (uint8_t) (setup_flags | WIRE_SETUP_PREPARE)});
    return n;
}

static void assert_says(native *n, uint32_t id, const char *expected) {
    native_exec *e = native_wait(n, id);
    size_t length = buf_length(&e->out[0]);
    if (length != strlen(expected) || memcmp(buf_bytes(&e->out[0]), expected, length) != 0)
        fail_msg("it said '%.*s', not '%s'", (int) length, length ? (const char *) buf_bytes(&e->out[0]) : "", expected);
    assert_int_equal(e->exit.code, 0);
}

static void it_takes_the_name_of_its_box(void **state) {
    native *n = prepare(WIRE_SETUP_INIT);
    native_set_up(n, &(msg_setup){.box_id = wire_str("box"), .hostname = wire_str("short")});
    assert_says(n, native_shell(n, "hostname; cat /etc/hostname; head -n 1 /etc/hosts; wc -l < /etc/hosts"),
                "short\nshort\n127.0.0.1\tlocalhost short\n4\n");
    native_stop(n);
}

static void its_main_command_is_pid_1(void **state) {
    native *n = prepare(0);
    native_set_up(n, &(msg_setup){.hostname = wire_str("box")});
    assert_says(n, native_spawn(n, (msg_spawn){.exec_id = WIRE_MAIN_EXEC_ID, .argv = LIST("sh\0-c\0echo $$; hostname\0")}), "1\nbox\n");
    native_stop(n);
}

static void expect_refusal(native *n, buf *frames) {
    n->noisy = true;
    native_send(n, frames);
    while (native_pump(n))
        ;
    assert_int_equal(native_wait_end(n), 0);
    native_stop(n);
}

static void expect_spawn_refused(const msg_spawn *spawn) {
    native *n = prepare(0);
    buf frames;
    buf_init(&frames, WIRE_READ_BUFFER_BYTES);
    assert_true(wire_control(&frames, wire_encode_spawn, spawn));
    expect_refusal(n, &frames);
}

static void nothing_of_the_image_runs_in_it_before_its_box_is_known(void **state) {
    expect_spawn_refused(&(msg_spawn){.exec_id = 5, .argv = LIST("true\0")});
    expect_spawn_refused(&(msg_spawn){.exec_id = 5, .argv = LIST(WIRE_REHEARSAL_PROGRAM "\0")});
    expect_spawn_refused(&(msg_spawn){.exec_id = 5, .argv = LIST(WIRE_REHEARSAL_PROGRAM "\0" WIRE_REHEARSAL_WORD "\0more\0")});
    expect_spawn_refused(&(msg_spawn){.exec_id = WIRE_MAIN_EXEC_ID, .argv = LIST(WIRE_REHEARSAL_ARGV "\0")});
}

static void its_start_is_rehearsed_as_often_as_the_host_likes(void **state) {
    native *n = prepare(0);
    for (int round = 0; round < 3; round++) {
        native_set_up(n, &(msg_setup){.hostname = wire_str("nobody"), .setup_flags = WIRE_SETUP_PREPARE});
        uint32_t id = native_spawn(n, (msg_spawn){.argv = LIST(WIRE_REHEARSAL_ARGV "\0")});
        (void) native_wait(n, id); /* with a sanitizer's libraries it cannot be executed there, and has ended as well */
        native_forget(n, id);
    }
    native_wait_empty_box(n);
    native_set_up(n, &(msg_setup){.hostname = wire_str("box")});
    assert_says(n, native_spawn(n, (msg_spawn){.exec_id = WIRE_MAIN_EXEC_ID, .argv = LIST("sh\0-c\0echo $$; hostname\0")}), "1\nbox\n");
    native_stop(n);
}

static void it_becomes_one_box_s_and_no_other_s(void **state) {
    native *n = prepare(WIRE_SETUP_INIT);
    buf frames;
    buf_init(&frames, WIRE_READ_BUFFER_BYTES);
    native_set_up(n, &(msg_setup){.hostname = wire_str("first")});
    assert_true(wire_control(&frames, wire_encode_setup, (&(msg_setup){.hostname = wire_str("second")})));
    expect_refusal(n, &frames);
}

static void one_that_never_gets_a_box_ends_in_order(void **state) {
    native_stop(prepare(0));
    native *n = prepare(WIRE_SETUP_INIT);
    native_tell(n, wire_encode_shutdown, (&(msg_shutdown){0}));
    while (native_pump(n))
        ;
    assert_true(n->goodbye);
    assert_int_equal(native_wait_end(n), 0);
    native_stop(n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_takes_the_name_of_its_box),
        cmocka_unit_test(its_main_command_is_pid_1),
        cmocka_unit_test(nothing_of_the_image_runs_in_it_before_its_box_is_known),
        cmocka_unit_test(its_start_is_rehearsed_as_often_as_the_host_likes),
        cmocka_unit_test(it_becomes_one_box_s_and_no_other_s),
        cmocka_unit_test(one_that_never_gets_a_box_ends_in_order),
    };
    const char *why = native_prepare();
    if (why)
        (void) printf("skipped: %s\n", why);
    int result = why ? 77 : cmocka_run_group_tests(tests, NULL, NULL);
    native_clean_up();
    return result;
}
