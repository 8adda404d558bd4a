/* SPDX-License-Identifier: Apache-2.0
 *
 * test-agent.c - what the agent promises its host: processes, streams, terminals, ends
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/size.h"
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* exec.c: EXEC_DRAIN_MS. */
#define DRAIN_MS 250

static int start_box(void **state) {
    *state = native_start(WIRE_SETUP_INIT);
    return 0;
}

static int start_box_for_main(void **state) {
    *state = native_start(0);
    return 0;
}

static int stop_box(void **state) {
    native_stop(*state);
    return 0;
}

static void assert_output(const native_exec *e, unsigned stream, const char *expected) {
    size_t length = buf_length(&e->out[stream]);
    if (length != strlen(expected) || (length > 0 && memcmp(buf_bytes(&e->out[stream]), expected, length) != 0))
        fail_msg("it said '%.*s', not '%s'", (int) length, length ? (const char *) buf_bytes(&e->out[stream]) : "", expected);
}

static void run_and_expect(native *n, const char *script, int code, const char *output) {
    native_exec *e = native_wait(n, native_shell(n, script));
    assert_true(e->exited);
    assert_output(e, 0, output);
    assert_int_equal(e->exit.code, code);
    assert_int_equal(e->exit.signal, 0);
}

/* Waits until a file of the box is there. */
static void wait_for_file(const char *name) {
    char path[256];
    (void) snprintf(path, sizeof(path), "%s/%s", native_rootfs(), name);
    for (unsigned i = 0; access(path, F_OK) < 0; i++) {
        if (i > NATIVE_WAIT_MS / 10)
            fail_msg("'%s' was never written", name);
        (void) nanosleep(&(struct timespec){.tv_nsec = 10000000L}, NULL);
    }
}

static void wait_for_no_process(const char *text) {
    for (unsigned i = 0; native_count_processes(text) > 0; i++) {
        if (i > NATIVE_WAIT_MS / 10)
            fail_msg("%u processes '%s' are left", native_count_processes(text), text);
        (void) nanosleep(&(struct timespec){.tv_nsec = 10000000L}, NULL);
    }
}

/* ------------------------------------------------------------------------------------------------------- how it ends */

static void a_status_is_the_processs_own(void **state) {
    native *n = *state;
    static const int codes[] = {0, 1, 7, 127, 255};
    for (size_t i = 0; i < ARRAY_LENGTH(codes); i++) {
        char script[32];
        (void) snprintf(script, sizeof(script), "exit %d", codes[i]);
        run_and_expect(n, script, codes[i], "");
    }
    static const int signals[] = {SIGTERM, SIGKILL, SIGABRT, SIGHUP, SIGPIPE, SIGCHLD + 47};
    for (size_t i = 0; i < ARRAY_LENGTH(signals); i++) {
        char script[32];
        (void) snprintf(script, sizeof(script), "kill -%d $$; sleep 5", signals[i]);
        native_exec *e = native_wait(n, native_shell(n, script));
        assert_int_equal(e->exit.signal, signals[i]);
        assert_int_equal(e->exit.exit_flags, 0);
    }
}

static void all_output_comes_before_the_end(void **state) {
    native *n = *state;
    for (unsigned i = 0; i < 50; i++) {
        native_exec *e = native_wait(n, native_shell(n, "echo out; echo err >&2; exit 3"));
        assert_output(e, 0, "out\n");
        assert_output(e, 1, "err\n");
        assert_true(e->ended[0] && e->ended[1]);
        assert_int_equal(e->exit.code, 3);
    }
    /* more than a pipe holds, and the writer gone before all was read */
    native_exec *e = native_wait(n, native_shell(n, "head -c 1000000 /dev/zero"));
    assert_int_equal(e->received[0], 1000000);
    native_settle(n); /* nothing comes after the end: native_pump() sees to that */
}

static void two_hundred_at_once_are_told_apart(void **state) {
    native *n = *state;
    uint32_t first = n->next_id;
    for (unsigned i = 0; i < 200; i++) {
        char script[64];
        (void) snprintf(script, sizeof(script), "echo %u; sleep 0.%u; echo err%u >&2; exit %u", i, i % 4, i, i % 256);
        (void) native_shell(n, script);
    }
    for (unsigned i = 0; i < 200; i++) {
        char out[16], err[16];
        native_exec *e = native_wait(n, first + i);
        (void) snprintf(out, sizeof(out), "%u\n", i);
        (void) snprintf(err, sizeof(err), "err%u\n", i);
        assert_output(e, 0, out);
        assert_output(e, 1, err);
        assert_int_equal(e->exit.code, i % 256);
    }
}

/* Who asks every 10 ms whether it has ended wakes 200 times meanwhile. */
static void a_wait_wakes_agent_and_zygote_for_the_end_alone(void **state) {
    native *n = *state;
    uint32_t id = native_shell(n, "exec sleep 2");
    native_wait_spawned(n, id);
    native_settle(n);
    const pid_t pids[2] = {n->agent, n->zygote};
    long before[2];
    for (size_t i = 0; i < 2; i++)
        before[i] = native_status_number(pids[i], "voluntary_ctxt_switches");
    assert_int_equal(native_wait(n, id)->exit.code, 0);
    native_settle(n);
    for (size_t i = 0; i < 2; i++) {
        long woken = native_status_number(pids[i], "voluntary_ctxt_switches") - before[i];
        assert_true(woken >= 1 && woken <= 20);
    }
}

static void an_orphan_that_holds_stdout_does_not_delay_the_end(void **state) {
    native *n = *state;
    run_and_expect(n, "sleep 86401 & echo started; exit 4", 4, "started\n");
    assert_int_equal(native_count_processes("86401"), 1);
}

/* An orphan that gets SIGPIPE for what nobody reads any more would never write its file. */
static void what_an_orphan_says_after_the_end_is_dropped_without_hurting_it(void **state) {
    native *n = *state;
    run_and_expect(
        n, "rm -f /tmp/written; (sleep 1; head -c 300000 /dev/zero; echo $? >/tmp/writing; mv /tmp/writing /tmp/written) & exit 0", 0, "");
    wait_for_file("tmp/written");
    run_and_expect(n, "cat /tmp/written", 0, "0\n");
}

static void a_timeout_ends_the_whole_tree(void **state) {
    native *n = *state;
    if (!native_has_cgroup()) {
        print_message("skipped: there is no cgroup2 folder to work below\n");
        skip();
    }
    uint32_t polite = native_spawn(n, (msg_spawn){.argv = LIST("sleep\00086402\0"), .timeout_ms = 100});
    uint32_t stubborn = native_spawn(
        n, (msg_spawn){.argv = LIST("sh\0-c\0trap '' TERM; sleep 86403 & (trap '' TERM; sleep 86403) & while :; do sleep 86403; done\0"),
                       .timeout_ms = 100});
    uint32_t quick = native_spawn(n, (msg_spawn){.argv = LIST("true\0"), .timeout_ms = 60000});
    native_exec *e = native_wait(n, polite);
    assert_int_equal(e->exit.signal, SIGTERM);
    assert_int_equal(e->exit.exit_flags, WIRE_EXIT_TIMED_OUT);
    e = native_wait(n, stubborn);
    assert_int_equal(e->exit.signal, SIGKILL);
    assert_int_equal(e->exit.exit_flags, WIRE_EXIT_TIMED_OUT);
    wait_for_no_process("86403");
    assert_int_equal(native_wait(n, quick)->exit.exit_flags, 0);
}

static void a_signal_reaches_the_process_and_a_kill_the_tree(void **state) {
    native *n = *state;
    uint32_t id = native_shell(n, "trap 'exit 42' USR1; echo ready; while :; do sleep 0.02; done");
    native_wait_output(n, id, 6);
    native_tell(n, wire_encode_signal, (&(msg_signal){.exec_id = id, .signal = SIGUSR1}));
    assert_int_equal(native_wait(n, id)->exit.code, 42);
    native_tell(n, wire_encode_signal, (&(msg_signal){.exec_id = id, .signal = SIGKILL})); /* it has ended: nothing */
    if (native_has_cgroup()) {
        id = native_shell(n, "sleep 86404 & (sleep 86404 & sleep 86404) & setsid sleep 86404 & echo ready; wait");
        native_wait_output(n, id, 6);
        native_tell(n, wire_encode_signal, (&(msg_signal){.exec_id = id, .signal = SIGKILL, .whole_tree = 1}));
        assert_int_equal(native_wait(n, id)->exit.signal, SIGKILL);
        wait_for_no_process("86404");
    }
}

/* On newer kernels (seen on 6.18) whatever is cloned into a control group that was once killed dies at birth: such a group must not be used again. */
static void after_a_kill_every_exec_is_born_alive(void **state) {
    native *n = *state;
    if (!native_has_cgroup()) {
        print_message("skipped: there is no cgroup2 folder to work below\n");
        skip();
    }
    uint32_t id = native_shell(n, "echo ready; exec sleep 86407");
    native_wait_output(n, id, 6);
    native_tell(n, wire_encode_signal, (&(msg_signal){.exec_id = id, .signal = SIGKILL, .whole_tree = 1}));
    assert_int_equal(native_wait(n, id)->exit.signal, SIGKILL);
    native_settle(n);
    uint32_t first = n->next_id;
    for (unsigned i = 0; i < 5; i++) /* at once, so that every group that is kept gets its turn */
        (void) native_shell(n, "sleep 0.2; echo alive");
    for (unsigned i = 0; i < 5; i++) {
        native_exec *e = native_wait(n, first + i);
        assert_false(e->failed);
        assert_output(e, 0, "alive\n");
    }
}

/* ---------------------------------------------------------------------------------------------------------- streams */

static void stdin_arrives_whole_and_ends(void **state) {
    native *n = *state;
    static uint8_t bytes[1 << 20];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t) (i * 31 + i / 997);
    uint32_t id = native_spawn(n, (msg_spawn){.argv = LIST("cat\0"), .spawn_flags = WIRE_SPAWN_STDIN});
    native_write(n, id, bytes, sizeof(bytes));
    native_close_stdin(n, id);
    native_exec *e = native_wait(n, id);
    assert_int_equal(e->exit.code, 0);
    assert_int_equal(buf_length(&e->out[0]), sizeof(bytes));
    assert_memory_equal(buf_bytes(&e->out[0]), bytes, sizeof(bytes));
    run_and_expect(n, "cat", 0, ""); /* without stdin it is /dev/null */
}

static void what_nobody_reads_is_dropped_and_holds_up_nobody(void **state) {
    native *n = *state;
    static const uint8_t bytes[1 << 20];
    msg_spawn deaf = {.argv = LIST("sh\0-c\0exec <&-; echo closed; sleep 0.5; exit 5\0"), .spawn_flags = WIRE_SPAWN_STDIN};
    uint32_t id = native_spawn(n, deaf);
    native_wait_output(n, id, 7);
    native_write(n, id, bytes, sizeof(bytes)); /* goes through only if credit comes back */
    native_close_stdin(n, id);
    assert_int_equal(native_wait(n, id)->exit.code, 5);
    msg_spawn picky = {.argv = LIST("head\0-c\0003\0"), .spawn_flags = WIRE_SPAWN_STDIN};
    id = native_spawn(n, picky);
    native_write(n, id, "abcdef", 6);
    assert_output(native_wait(n, id), 0, "abc");
}

static void a_slow_reader_holds_up_nobody_and_costs_no_memory(void **state) {
    native *n = *state;
    const size_t total = 64u << 20;
    uint32_t id = native_shell(n, "head -c 67108864 /dev/zero");
    native_exec *slow = native_get(n, id);
    slow->hold = slow->count_only = true;
    native_wait_output(n, id, WIRE_WINDOW_BYTES);
    long before = native_status_number(n->agent, "VmHWM");
    run_and_expect(n, "echo other", 0, "other\n");
    native_settle(n);
    assert_int_equal(slow->received[0], WIRE_WINDOW_BYTES); /* and not a byte beyond what was granted */
    assert_false(slow->exited);
    native_release(n, id);
    assert_int_equal(native_wait(n, id)->exit.code, 0);
    assert_int_equal(slow->received[0], total);
    long grown = native_status_number(n->agent, "VmHWM") - before;
    assert_true(before > 0 && grown < 16 << 10); /* KiB: a fraction of what went through */
}

/* ---------------------------------------------------------------------------------------------------- how it begins */

static void expect_failure(native *n, msg_spawn request, unsigned step, int error) {
    native_exec *e = native_wait(n, native_spawn(n, request));
    if (!e->failed || e->failure.step != step || e->failure.error != error)
        fail_msg("failed %d at '%s': %s, not at '%s': %s", e->failed, wire_step_text(e->failure.step), strerror(e->failure.error),
                 wire_step_text(step), strerror(error));
    assert_false(e->spawned || e->exited);
}

static void a_spawn_that_fails_says_at_which_step_and_why(void **state) {
    native *n = *state;
    run_and_expect(
        n, "echo x >/tmp/plain; chmod 644 /tmp/plain; echo 'no program' >/tmp/noise; chmod 755 /tmp/noise; mkdir -p -m 700 /tmp/shut", 0,
        "");
    expect_failure(n, (msg_spawn){.argv = LIST("nothing\0")}, WIRE_STEP_EXECUTE, ENOENT);
    expect_failure(n, (msg_spawn){.argv = LIST("/nothing\0")}, WIRE_STEP_EXECUTE, ENOENT);
    expect_failure(n, (msg_spawn){.argv = LIST("true\0"), .env = LIST("A=1\0")}, WIRE_STEP_EXECUTE, ENOENT); /* no PATH */
    expect_failure(n, (msg_spawn){.argv = LIST("/tmp/plain\0")}, WIRE_STEP_EXECUTE, EACCES);
    expect_failure(n, (msg_spawn){.argv = LIST("/tmp\0")}, WIRE_STEP_EXECUTE, EACCES);
    expect_failure(n, (msg_spawn){.argv = LIST("/tmp/noise\0")}, WIRE_STEP_EXECUTE, ENOEXEC);
    expect_failure(n, (msg_spawn){.argv = LIST("/tmp/plain/true\0")}, WIRE_STEP_EXECUTE, ENOTDIR);
    expect_failure(n, (msg_spawn){.argv = LIST("\0")}, WIRE_STEP_EXECUTE, ENOENT);
    expect_failure(n, (msg_spawn){.argv = LIST("true\0"), .cwd = wire_str("/nowhere")}, WIRE_STEP_DIRECTORY, ENOENT);
    expect_failure(n, (msg_spawn){.argv = LIST("true\0"), .cwd = wire_str("/tmp/plain")}, WIRE_STEP_DIRECTORY, ENOTDIR);
    expect_failure(n, (msg_spawn){.argv = LIST("true\0"), .cwd = wire_str("/tmp/shut"), .user = wire_str("7")}, WIRE_STEP_DIRECTORY,
                   EACCES);
    expect_failure(n, (msg_spawn){.argv = LIST("true\0"), .user = wire_str("nobody-of-that-name")}, WIRE_STEP_USER, ENOENT);
    expect_failure(n, (msg_spawn){.argv = {NULL, 0}}, WIRE_STEP_AGENT, EINVAL);
    run_and_expect(n, "echo alive", 0, "alive\n");
}

static void user_directory_environment_and_host_name_are_as_asked(void **state) {
    native *n = *state;
    msg_spawn request = {.argv = LIST("sh\0-c\0id -u; id -g; pwd; echo $A; echo $HOME; hostname; umask; grep CapEff /proc/self/status\0"),
                         .env = LIST("PATH=/bin\0A=b c\0"),
                         .cwd = wire_str("/made/for it"),
                         .user = wire_str("123:456"),
                         .spawn_flags = WIRE_SPAWN_MAKE_CWD};
    assert_output(native_wait(n, native_spawn(n, request)), 0, "123\n456\n/made/for it\nb c\n/\nnative\n0022\nCapEff:\t0000000000000000\n");
    run_and_expect(n, "grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status", 0, "CapEff:\t00000000a80425fb\nNoNewPrivs:\t0\n");
}

static void the_largest_arguments_go_through(void **state) {
    native *n = *state;
    CLEANUP(buf_done) buf argv;
    buf_init(&argv, WIRE_ARGV_MAX_BYTES);
    static char word[100001];
    memset(word, 'w', sizeof(word) - 1);
    assert_true(strv_add(&argv, "sh") && strv_add(&argv, "-c") && strv_add(&argv, "echo $#; echo ${#1}") && strv_add(&argv, "sh"));
    while (buf_room(&argv) >= sizeof(word))
        assert_true(strv_add(&argv, word));
    assert_output(native_wait(n, native_spawn(n, (msg_spawn){.argv = strv_of(&argv)})), 0, "20\n100000\n");
}

/* -------------------------------------------------------------------------------------------------------- terminals */

static void a_terminal_has_its_size_and_is_told_a_new_one(void **state) {
    native *n = *state;
    msg_spawn request = {.argv = LIST("sh\0-c\0tty; stty size; trap 'stty size; exit 6' WINCH; echo ready; while :; do sleep 0.02; done\0"),
                         .spawn_flags = WIRE_SPAWN_TTY,
                         .columns = 101,
                         .rows = 33};
    uint32_t id = native_spawn(n, request);
    static const char first[] = "/dev/pts/0\r\n33 101\r\nready\r\n";
    native_wait_output(n, id, sizeof(first) - 1);
    native_tell(n, wire_encode_resize, (&(msg_resize){.exec_id = id, .columns = 7, .rows = 5}));
    native_exec *e = native_wait(n, id);
    assert_output(e, 0, "/dev/pts/0\r\n33 101\r\nready\r\n5 7\r\n");
    assert_int_equal(e->exit.code, 6);
}

static void a_terminal_passes_input_on_and_its_end(void **state) {
    native *n = *state;
    for (unsigned i = 0; i < 10; i++) {
        msg_spawn request = {.argv = LIST("sh\0-c\0stty -echo; echo ready; cat; exit 8\0"),
                             .spawn_flags = WIRE_SPAWN_TTY | WIRE_SPAWN_STDIN};
        uint32_t id = native_spawn(n, request);
        native_wait_output(n, id, 7);
        native_write(n, id, "typed\r", 6);
        native_wait_output(n, id, 14);
        native_close_stdin(n, id);
        native_exec *e = native_wait(n, id);
        assert_output(e, 0, "ready\r\ntyped\r\n");
        assert_int_equal(e->exit.code, 8);
    }
}

static void an_interrupt_character_is_a_signal(void **state) {
    native *n = *state;
    msg_spawn request = {.argv = LIST("sh\0-c\0echo ready; exec sleep 86405\0"), .spawn_flags = WIRE_SPAWN_TTY | WIRE_SPAWN_STDIN};
    uint32_t id = native_spawn(n, request);
    native_wait_output(n, id, 7);
    native_write(n, id, "\x03", 1);
    assert_int_equal(native_wait(n, id)->exit.signal, SIGINT);
}

/* How much beyond a client's window a terminal's leader writes. What the terminal held beyond its line discipline's 4 KiB used to be dropped. A
 * terminal surely takes 8 KiB, and mostly twice that: its kernel buffers count as full by what they could hold, so how much is in them depends
 * on when the reader came. A leader that wrote more than fits would wait for us, and we for its end. */
#define TERMINAL_STEP_BYTES 4000
#define TERMINAL_MOST_BYTES 8000

/* Has a terminal's leader write this much, and reads on only when the leader is long gone. */
static void read_late(native *n, const char *script, size_t bytes) {
    char text[160];
    (void) snprintf(text, sizeof(text), "head -c %zu /dev/zero; %s", bytes, script);
    buf argv;
    buf_init(&argv, WIRE_ARGV_MAX_BYTES);
    assert_true(strv_add(&argv, "sh") && strv_add(&argv, "-c") && strv_add(&argv, text));
    uint32_t id = native_spawn(n, (msg_spawn){.argv = strv_of(&argv), .spawn_flags = WIRE_SPAWN_TTY});
    buf_done(&argv);
    native_get(n, id)->hold = true;
    uint32_t pid = native_wait_spawned(n, id)->pid;
    (void) snprintf(text, sizeof(text), "while grep -q '^State:.[RSD]' /proc/%u/status 2>/dev/null; do sleep 0.05; done", pid);
    assert_int_equal(native_wait(n, native_shell(n, text))->exit.code, 0);
    for (uint64_t until = clock_monotonic_ms() + 3 * DRAIN_MS, now; (now = clock_monotonic_ms()) < until;)
        (void) native_pump_for(n, (int) (until - now));
    native_release(n, id);
    native_exec *e = native_wait(n, id);
    assert_int_equal(e->exit.code, 8);
    assert_int_equal(e->received[0], bytes);
    native_forget(n, id);
}

static void s21_a_terminal_is_read_to_its_end_however_late(void **state) {
    native *n = *state;
    for (size_t beyond = 0; beyond <= TERMINAL_MOST_BYTES; beyond += TERMINAL_STEP_BYTES) {
        read_late(n, "exit 8", WIRE_WINDOW_BYTES + beyond);
        read_late(n, "sleep 86407 & exit 8", WIRE_WINDOW_BYTES + beyond); /* the terminal stays open, and so has no end of file */
    }
}

/* It would be read for ever. */
static void s05_an_orphan_that_writes_to_a_terminal_for_ever_does_not_delay_the_end(void **state) {
    native *n = *state;
    msg_spawn request = {.argv = LIST("sh\0-c\0trap '' HUP; yes & echo out; exit 5\0"), .spawn_flags = WIRE_SPAWN_TTY};
    uint32_t id = native_spawn(n, request);
    native_get(n, id)->count_only = true;
    assert_int_equal(native_wait(n, id)->exit.code, 5);
    run_and_expect(n, "pkill yes; echo other", 0, "other\n");
}

/* ------------------------------------------------------------------------------------------------- the main command */

static void the_main_command_is_pid_1_and_its_end_is_everybodys(void **state) {
    native *n = *state;
    uint32_t id = native_spawn(
        n, (msg_spawn){.exec_id = WIRE_MAIN_EXEC_ID, .argv = LIST("sh\0-c\0echo $$; read go; exit 9\0"), .spawn_flags = WIRE_SPAWN_STDIN});
    native_wait_output(n, id, 2);
    uint32_t other = native_shell(n, "echo $$; exec sleep 86406");
    native_wait_output(n, other, 2);
    native_write(n, id, "go\n", 3);
    native_exec *e = native_wait(n, id);
    assert_output(e, 0, "1\n");
    assert_int_equal(e->exit.code, 9);
    assert_int_equal(native_wait(n, other)->exit.signal, SIGKILL);
}

static void a_main_command_that_cannot_run_says_why(void **state) {
    native *n = *state;
    expect_failure(n, (msg_spawn){.exec_id = WIRE_MAIN_EXEC_ID, .argv = LIST("nothing\0")}, WIRE_STEP_EXECUTE, ENOENT);
}

static void an_init_reaps_orphans_and_is_not_the_main_command(void **state) {
    native *n = *state;
    run_and_expect(n, "i=0; while [ $i -lt 20 ]; do (sleep 0.05 &); i=$((i + 1)); done; echo $(($$ > 1))", 0, "1\n");
    run_and_expect(n, "sleep 0.5; grep -l 'State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l", 0, "0\n");
}

/* ---------------------------------------------------------------------------------------------------------- leaks */

/* Fifty execs at once, some of which cannot begin. */
static void run_waves(native *n, unsigned waves) {
    for (unsigned wave = 0; wave < waves; wave++) {
        uint32_t first = n->next_id;
        for (unsigned i = 0; i < 50; i++) {
            msg_spawn request = {.argv = i % 10 == 9 ? LIST("nothing\0") : LIST("true\0"),
                                 .spawn_flags = (uint8_t) (i % 3 ? 0 : WIRE_SPAWN_STDIN)};
            (void) native_spawn(n, request);
        }
        for (unsigned i = 0; i < 50; i++) {
            native_exec *e = native_wait(n, first + i);
            assert_int_equal(e->failed, i % 10 == 9);
            assert_int_equal(e->exit.code, 0);
        }
    }
    native_settle(n);
}

/* What the sanitizer adds to a process of its own accord. */
#define SANITIZER_KIB 4096

/* The agent's descriptors besides those of its groups. Some are open for moments, also when all has been told: they have to come down to
 * @expected in time. */
static unsigned settled_fds(native *n, unsigned expected, unsigned *ret_groups) {
    unsigned count = native_count_fds_outside(n->agent, n->cgroup, ret_groups);
    for (unsigned i = 0; i < 100 && count > expected; i++) {
        native_settle(n);
        count = native_count_fds_outside(n->agent, n->cgroup, ret_groups);
    }
    return count;
}

static void s23_three_thousand_execs_leave_nothing_behind(void **state) {
    native *n = *state;
    run_and_expect(n, "true", 0, "");
    native_settle(n);
    unsigned groups, agent_fds = native_count_fds_outside(n->agent, n->cgroup, &groups), zygote_fds = native_count_fds(n->zygote);
    run_waves(n, 10);
    long agent_kib = native_status_number(n->agent, "VmRSS"), zygote_kib = native_status_number(n->zygote, "VmRSS");
    assert_true(agent_kib > 0 && zygote_kib > 0);
    run_waves(n, 50);
    native_settle(n);
    assert_int_equal(settled_fds(n, agent_fds, &groups), agent_fds);
    /* A group for each exec of a wave is kept for the next: its folder, and the file that kills it. And a process is reaped after its end was
     * told, so that the groups of a wave may not be empty yet when the next one wants its own. */
    assert_true(groups <= 2 * 2 * 50);
    assert_int_equal(native_count_fds(n->zygote), zygote_fds);
    assert_int_equal(native_count_zombies(n->agent) + native_count_zombies(n->zygote), 0);
    long agent_more = native_status_number(n->agent, "VmRSS") - agent_kib,
         zygote_more = native_status_number(n->zygote, "VmRSS") - zygote_kib;
    if (agent_more > SANITIZER_KIB || zygote_more > SANITIZER_KIB)
        fail_msg("2,500 execs have cost the agent %ld KiB, the zygote %ld KiB", agent_more, zygote_more);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start_box, stop_box)
#define TEST_MAIN(name) cmocka_unit_test_setup_teardown(name, start_box_for_main, stop_box)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_status_is_the_processs_own),
        TEST(all_output_comes_before_the_end),
        TEST(two_hundred_at_once_are_told_apart),
        TEST(a_wait_wakes_agent_and_zygote_for_the_end_alone),
        TEST(an_orphan_that_holds_stdout_does_not_delay_the_end),
        TEST(what_an_orphan_says_after_the_end_is_dropped_without_hurting_it),
        TEST(a_timeout_ends_the_whole_tree),
        TEST(a_signal_reaches_the_process_and_a_kill_the_tree),
        TEST(after_a_kill_every_exec_is_born_alive),
        TEST(stdin_arrives_whole_and_ends),
        TEST(what_nobody_reads_is_dropped_and_holds_up_nobody),
        TEST(a_slow_reader_holds_up_nobody_and_costs_no_memory),
        TEST(a_spawn_that_fails_says_at_which_step_and_why),
        TEST(user_directory_environment_and_host_name_are_as_asked),
        TEST(the_largest_arguments_go_through),
        TEST(a_terminal_has_its_size_and_is_told_a_new_one),
        TEST(a_terminal_passes_input_on_and_its_end),
        TEST(an_interrupt_character_is_a_signal),
        TEST(s21_a_terminal_is_read_to_its_end_however_late),
        TEST(s05_an_orphan_that_writes_to_a_terminal_for_ever_does_not_delay_the_end),
        TEST_MAIN(the_main_command_is_pid_1_and_its_end_is_everybodys),
        TEST_MAIN(a_main_command_that_cannot_run_says_why),
        TEST(an_init_reaps_orphans_and_is_not_the_main_command),
        TEST(s23_three_thousand_execs_leave_nothing_behind),
    };
    const char *why = native_prepare();
    if (why)
        (void) printf("skipped: %s\n", why);
    int result = why ? 77 : cmocka_run_group_tests(tests, NULL, NULL);
    native_clean_up();
    return result;
}
