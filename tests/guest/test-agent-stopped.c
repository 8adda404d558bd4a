/* SPDX-License-Identifier: Apache-2.0
 *
 * test-agent-stopped.c - the zygote killed, agent or zygote stopped for a while, a host that reads nothing, a full table of descriptors
 *
 * Whatever stops, what it holds up goes on or is answered afterwards, and nothing is lost.
 */
#include "base/clock.h"
#include "base/size.h"
#include "native.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* How long something stands still: many times what all else takes meanwhile. */
#define PAUSE_MS 700
/* More CREATEs than the zygote's socket holds. */
#define FLOOD 700u
/* What the kernel gives PID 1, and more execs with an input than fit into that. */
#define BIRTH_FDS 1024
#define CROWD 400u

static void pause_ms(unsigned ms) {
    (void) nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* Says "N", and exits with N's last byte, after some hundredths of a second. */
static uint32_t spawn_numbered(native *n, unsigned number) {
    char script[64];
    (void) snprintf(script, sizeof(script), "sleep 0.0%u; echo %u; exit %u", number % 8, number, number % 256);
    return native_shell(n, script);
}

static void expect_numbered(native *n, uint32_t id, unsigned number) {
    char word[16];
    native_exec *e = native_wait(n, id);
    (void) snprintf(word, sizeof(word), "%u\n", number);
    if (e->failed)
        fail_msg("exec %u failed at '%s': %s", id, wire_step_text(e->failure.step), strerror(e->failure.error));
    assert_int_equal(buf_length(&e->out[0]), strlen(word));
    assert_memory_equal(buf_bytes(&e->out[0]), word, strlen(word));
    assert_int_equal(e->exit.code, number % 256);
    assert_int_equal(e->exit.signal, 0);
}

/* ------------------------------------------------------------------------------------------------ the zygote is killed */

/* One exec of each third kind sleeps for ever, one ends by itself at about that time, one has just been asked for. */
static void kill_zygote_among_execs(unsigned round) {
    enum { EXECS = 45 };
    native *n = native_start(WIRE_SETUP_INIT);
    uint32_t first = n->next_id;
    for (unsigned i = 0; i < EXECS / 3; i++)
        (void) native_spawn(n, (msg_spawn){.argv = LIST("sleep\00086441\0"), .spawn_flags = i % 2 ? WIRE_SPAWN_TTY : 0});
    for (unsigned i = 0; i < EXECS / 3; i++)
        assert_true(native_wait_spawned(n, first + i)->spawned);
    for (unsigned i = EXECS / 3; i < EXECS * 2 / 3; i++)
        (void) spawn_numbered(n, i);
    pause_ms(round * 7);
    for (unsigned i = EXECS * 2 / 3; i < EXECS; i++)
        (void) native_spawn(n, (msg_spawn){.argv = LIST("sleep\00086441\0")});
    assert_int_equal(kill(n->zygote, SIGKILL), 0);
    while (native_pump(n))
        ;
    assert_true(n->goodbye);
    assert_int_equal(native_wait_end(n), 0);
    for (unsigned i = 0; i < EXECS; i++) {
        native_exec *e = native_get(n, first + i);
        bool numbered = i >= EXECS / 3 && i < EXECS * 2 / 3;
        if (e->exited && e->exit.signal == SIGKILL && e->exit.code == 0)
            continue; /* the agent killed it with the box */
        if (numbered && e->exited && e->exit.signal == 0 && e->exit.code == (int) (i % 256))
            continue;
        if (i >= EXECS / 3 && e->failed && !e->spawned && e->failure.step != WIRE_STEP_NONE && e->failure.error != 0)
            continue;
        fail_msg("round %u, exec %u of %d: spawned %d, failed %d (%s: %s), exited %d, code %d, signal %u", round, i, EXECS, e->spawned,
                 e->failed, wire_step_text(e->failure.step), strerror(e->failure.error), e->exited, e->exit.code, e->exit.signal);
    }
    native_stop(n);
}

static void a_zygote_that_is_killed_leaves_no_exec_without_an_answer(void **state) {
    if (!native_has_cgroup()) {
        print_message("skipped: there is no cgroup2 folder to work below\n");
        skip();
    }
    for (unsigned round = 0; round < 12; round++)
        kill_zygote_among_execs(round);
}

/* ---------------------------------------------------------------------------------------------------- something stops */

static void a_stopped_agent_goes_on_where_it_was(void **state) {
    native *n = native_start(WIRE_SETUP_INIT);
    uint32_t first = n->next_id;
    for (unsigned i = 0; i < 40; i++)
        (void) spawn_numbered(n, i);
    assert_true(native_wait_spawned(n, first)->spawned);
    assert_int_equal(kill(n->agent, SIGSTOP), 0);
    for (unsigned i = 40; i < 60; i++)
        (void) spawn_numbered(n, i);
    pause_ms(PAUSE_MS);
    assert_int_equal(kill(n->agent, SIGCONT), 0);
    for (unsigned i = 0; i < 60; i++)
        expect_numbered(n, first + i, i);
    native_stop(n);
}

/* The CREATEs beyond what its socket holds wait in the agent, and so do the signals for them. */
static void a_stopped_zygote_is_waited_for_and_nothing_is_lost(void **state) {
    native *n = native_start(WIRE_SETUP_INIT);
    uint32_t running = native_spawn(n, (msg_spawn){.argv = LIST("cat\0"), .spawn_flags = WIRE_SPAWN_STDIN});
    assert_true(native_wait_spawned(n, running)->spawned);
    assert_int_equal(kill(n->zygote, SIGSTOP), 0);
    uint32_t first = n->next_id;
    for (unsigned i = 0; i < FLOOD; i++) {
        if (i % 10 == 0) {
            uint32_t id = native_spawn(n, (msg_spawn){.argv = LIST("sleep\00086442\0")});
            native_tell(n, wire_encode_signal, (&(msg_signal){.exec_id = id, .signal = SIGTERM, .whole_tree = i % 20 == 0}));
        } else {
            (void) native_spawn(n, (msg_spawn){.argv = LIST("echo\0flood\0")});
        }
    }
    /* The agent itself waits for nobody: an exec that runs is served. */
    native_write(n, running, "still here", 10);
    native_wait_output(n, running, 10);
    pause_ms(PAUSE_MS);
    native_settle(n);
    assert_false(native_get(n, first + FLOOD - 1)->spawned);
    assert_int_equal(kill(n->zygote, SIGCONT), 0);
    for (unsigned i = 0; i < FLOOD; i++) {
        native_exec *e = native_wait(n, first + i);
        if (i % 10 == 0) {
            /* it died of the signal before its first word, or after it */
            assert_true(e->failed ? e->failure.step == WIRE_STEP_FORK && e->failure.error == ECHILD : e->exit.signal == SIGTERM);
            continue;
        }
        if (e->failed)
            fail_msg("exec %u of the flood failed at '%s': %s", i, wire_step_text(e->failure.step), strerror(e->failure.error));
        assert_int_equal(e->exit.code, 0);
        assert_int_equal(buf_length(&e->out[0]), 6);
    }
    native_close_stdin(n, running);
    assert_int_equal(native_wait(n, running)->exit.code, 0);
    native_wait_empty_box(n);
    native_stop(n);
}

static void a_host_that_reads_nothing_stalls_the_execs_and_costs_no_memory(void **state) {
    enum { EXECS = 40, BYTES = 1 << 20 };
    native *n = native_start(WIRE_SETUP_INIT);
    uint32_t first = n->next_id;
    for (unsigned i = 0; i < EXECS; i++) {
        char script[64];
        (void) snprintf(script, sizeof(script), "head -c %d /dev/zero; exit %u", BYTES, i);
        native_get(n, native_shell(n, script))->count_only = true;
    }
    assert_true(native_wait_spawned(n, first)->spawned);
    long before = native_status_number(n->agent, "VmRSS");
    pause_ms(PAUSE_MS);
    long grown = native_status_number(n->agent, "VmRSS") - before;
    assert_true(before > 0 && grown < 4 << 10); /* KiB: the queue's high mark and what is beside it, not what all pipes hold */
    for (unsigned i = 0; i < EXECS; i++) {
        native_exec *e = native_wait(n, first + i);
        assert_int_equal(e->exit.code, i);
        assert_int_equal(e->received[0], BYTES);
    }
    native_stop(n);
}

/* -------------------------------------------------------------------------------------------------------- descriptors */

static void more_execs_run_at_once_than_a_newborns_table_of_descriptors_holds(void **state) {
    struct rlimit ours, birth;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &ours), 0);
    birth = (struct rlimit){BIRTH_FDS, ours.rlim_max}; /* a lower maximum could not be taken back everywhere */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &birth), 0);
    native *n = native_start(WIRE_SETUP_INIT);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &ours), 0);
    uint32_t first = n->next_id;
    for (unsigned i = 0; i < CROWD; i++)
        (void) native_spawn(n, (msg_spawn){.argv = LIST("cat\0"), .spawn_flags = WIRE_SPAWN_STDIN});
    for (unsigned i = 0; i < CROWD; i++) {
        native_exec *e = native_wait_spawned(n, first + i);
        if (e->failed)
            fail_msg("exec %u of the crowd failed at '%s': %s", i, wire_step_text(e->failure.step), strerror(e->failure.error));
    }
    /* What the agent allows itself is not what its programs inherit. */
    char limit[16];
    native_exec *e = native_wait(n, native_shell(n, "ulimit -n"));
    (void) snprintf(limit, sizeof(limit), "%d\n", BIRTH_FDS);
    assert_int_equal(buf_length(&e->out[0]), strlen(limit));
    assert_memory_equal(buf_bytes(&e->out[0]), limit, strlen(limit));
    for (unsigned i = 0; i < CROWD; i++)
        native_close_stdin(n, first + i);
    for (unsigned i = 0; i < CROWD; i++)
        assert_int_equal(native_wait(n, first + i)->exit.code, 0);
    native_stop(n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zygote_that_is_killed_leaves_no_exec_without_an_answer),
        cmocka_unit_test(a_stopped_agent_goes_on_where_it_was),
        cmocka_unit_test(a_stopped_zygote_is_waited_for_and_nothing_is_lost),
        cmocka_unit_test(a_host_that_reads_nothing_stalls_the_execs_and_costs_no_memory),
        cmocka_unit_test(more_execs_run_at_once_than_a_newborns_table_of_descriptors_holds),
    };
    const char *why = native_prepare();
    if (why)
        (void) printf("skipped: %s\n", why);
    int result = why ? 77 : cmocka_run_group_tests(tests, NULL, NULL);
    native_clean_up();
    return result;
}
