/* SPDX-License-Identifier: Apache-2.0
 *
 * test-concurrency.c - many execs of one box, from many threads: each gets what is its own, and nothing of any is left
 */
#include "shared-box.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOBS_MAX 16

/* One exec as a thread runs it, and what has to become of it. An assertion of cmocka's must not fail in a thread: judged by judge(). */
typedef struct job {
    const char *script;
    const char *const *argv; /* instead of the script */
    const char *input;       /* stdin, or NULL */
    const char *environment, *directory;
    bool tty;
    int code;    /* expected */
    int refused; /* expected instead: the start's result */
    const char *out, *err;
    pthread_t thread;
    int result; /* of the call that failed, or 0 */
    output got;
    nb_error problem;
} job;

static bool keep(output *o, const nb_event *event) {
    int i = event->kind == NB_EVENT_STDOUT ? 0 : 1;
    char *larger = realloc(o->bytes[i], o->length[i] + event->length + 1);
    if (!larger)
        return false;
    o->bytes[i] = larger;
    memcpy(larger + o->length[i], event->bytes, event->length);
    o->length[i] += event->length;
    larger[o->length[i]] = '\0';
    return true;
}

static int follow(nb_exec *exec, job *j) {
    size_t written = 0;
    int result = 0;
    if (j->input)
        result = nb_exec_write(exec, j->input, strlen(j->input), WAIT_MS, &written, &j->problem);
    if (j->input && result == 0)
        result = written == strlen(j->input) ? nb_exec_close_stdin(exec, &j->problem) : -NB_E_TIMEOUT;
    while (result == 0) {
        nb_event event = {0};
        result = nb_exec_next(exec, WAIT_MS, &event, &j->problem);
        if (result < 0)
            break;
        if (event.kind == NB_EVENT_EXITED) {
            j->got.status = event.status;
            break;
        }
        if (event.kind == NB_EVENT_NONE)
            result = -NB_E_TIMEOUT;
        else if (event.kind != NB_EVENT_STDIN_ROOM && !keep(&j->got, &event))
            result = -NB_E_NO_MEMORY;
    }
    return result;
}

static void *run_job(void *user) {
    job *j = user;
    const char *words[8] = {"sh", "-c", j->script};
    size_t count;
    for (count = j->argv ? 0 : 3; j->argv && j->argv[count]; count++)
        words[count] = j->argv[count];
    nb_exec_options options = {
        .size = sizeof(options),
        .command = {words, count},
        .environment = {&j->environment, j->environment ? 1 : 0},
        .working_directory = j->directory,
        .tty = j->tty,
        .open_stdin = j->input != NULL,
    };
    nb_exec *exec = NULL;
    j->result = nb_exec_start(box, &options, &exec, &j->problem);
    if (j->result == 0)
        j->result = follow(exec, j);
    nb_exec_free(exec);
    return NULL;
}

static void begin(job *j) {
    assert_int_equal(pthread_create(&j->thread, NULL, run_job, j), 0);
}

static void judge(job *j) {
    const char *name = j->argv ? j->argv[0] : j->script;
    assert_int_equal(pthread_join(j->thread, NULL), 0);
    if (j->result != j->refused)
        fail_msg("'%s' came to %d, not %d: %s", name, j->result, j->refused, j->problem.message);
    if (j->result == 0 && j->got.status.code != j->code)
        fail_msg("'%s' ended with %d, not %d", name, j->got.status.code, j->code);
    assert_string_equal(j->got.bytes[0] ? j->got.bytes[0] : "", j->out ? j->out : "");
    assert_string_equal(j->got.bytes[1] ? j->got.bytes[1] : "", j->err ? j->err : "");
    output_free(&j->got);
}

static void run_at_once(job *jobs, size_t count) {
    for (size_t i = 0; i < count; i++)
        begin(&jobs[i]);
    for (size_t i = 0; i < count; i++)
        judge(&jobs[i]);
}

/* Execs that share nothing: output of its own on each stream, a code, a variable, a folder. */
static void run_distinct(size_t count, unsigned number) {
    static char texts[JOBS_MAX][6][128];
    job jobs[JOBS_MAX] = {{0}};
    for (size_t i = 0; i < count; i++) {
        char(*text)[128] = texts[i];
        int code = (int) ((number * JOBS_MAX + i) % 120);
        (void) snprintf(text[0], sizeof(text[0]), "echo out $N; pwd; sleep 0.%zu; echo err $N >&2; exit %d", i % 4, code);
        (void) snprintf(text[1], sizeof(text[1]), "N=%u-%zu", number, i);
        (void) snprintf(text[2], sizeof(text[2]), "/proc/sys/%s", i % 3 == 0 ? "kernel" : i % 3 == 1 ? "fs" : "vm");
        (void) snprintf(text[3], sizeof(text[3]), "out %u-%zu\n%s\n", number, i, text[2]);
        (void) snprintf(text[4], sizeof(text[4]), "err %u-%zu\n", number, i);
        jobs[i] = (job){.script = text[0], .environment = text[1], .directory = text[2], .out = text[3], .err = text[4], .code = code};
    }
    run_at_once(jobs, count);
}

/* ------------------------------------------------------------------------------------------------------------- at once */

static void four_at_once_share_nothing(void **state) {
    for (unsigned i = 0; i < rounds(2, 50); i++)
        run_distinct(4, i);
}

static void eight_at_once_share_nothing(void **state) {
    for (unsigned i = 0; i < rounds(2, 50); i++)
        run_distinct(8, i);
}

static void sixteen_at_once_have_a_status_each(void **state) {
    for (unsigned i = 0; i < rounds(2, 50); i++)
        run_distinct(16, i);
}

static void in_sequence_after_at_once_is_as_before(void **state) {
    run_distinct(8, 0);
    for (unsigned i = 0; i < 8; i++)
        run_distinct(1, i);
    expect("echo alone", 0, "alone\n");
}

static void bursts_with_pauses_lose_nothing(void **state) {
    for (unsigned i = 0; i < rounds(3, 30); i++) {
        run_distinct(i % 2 ? 16 : 5, i);
        (void) usleep(i * 1000);
    }
}

static void some_fail_and_the_others_do_not_notice(void **state) {
    static const char *const missing[] = {"/no/such/program", NULL}, *const folder[] = {"/etc", NULL};
    for (unsigned i = 0; i < rounds(2, 30); i++) {
        job jobs[] = {
            {.script = "echo 0", .out = "0\n"},
            {.script = "exit 1", .code = 1},
            {.argv = missing, .refused = -NB_E_COMMAND_NOT_FOUND},
            {.script = "echo 42; exit 42", .out = "42\n", .code = 42},
            {.argv = folder, .refused = -NB_E_COMMAND_REFUSED},
            {.script = "no-such-command 2>/dev/null", .code = 127},
            {.script = "true", .directory = "/nowhere", .refused = -NB_E_COMMAND_REFUSED},
            {.script = "echo err >&2", .err = "err\n"},
        };
        run_at_once(jobs, sizeof(jobs) / sizeof(jobs[0]));
    }
}

static void some_crash_and_the_others_do_not_notice(void **state) {
    for (unsigned i = 0; i < rounds(2, 30); i++) {
        job jobs[] = {
            {.script = "sleep 0.2; echo 0", .out = "0\n"},
            {.script = "kill -SEGV $$", .code = 128 + SIGSEGV},
            {.script = "kill -KILL $$", .code = 128 + SIGKILL},
            {.script = "sleep 0.2; echo 3; exit 3", .out = "3\n", .code = 3},
            {.script = "echo before; kill -ABRT $$", .out = "before\n", .code = 128 + SIGABRT},
            {.script = "kill -PIPE $$", .code = 128 + SIGPIPE},
            {.script = "sleep 0.1; echo 6 >&2", .err = "6\n"},
            {.script = "(kill -SEGV $$) & wait; echo not reached", .code = 128 + SIGSEGV},
        };
        run_at_once(jobs, sizeof(jobs) / sizeof(jobs[0]));
    }
}

static void streams_and_terminals_are_mixed_and_stay_apart(void **state) {
    static char large[100001];
    memset(large, 'x', sizeof(large) - 1);
    for (unsigned i = 0; i < rounds(2, 30); i++) {
        job jobs[] = {
            {.script = "cat", .input = "one", .out = "one"},
            {.script = "cat >&2", .input = "two", .err = "two"},
            {.script = "cat; exit 3", .input = large, .out = large, .code = 3},
            {.script = "test -t 0 && echo terminal", .tty = true, .out = "terminal\r\n"},
            {.script = "cat"},
            {.script = "wc -c", .input = large, .out = "100000\n"},
            {.script = "true", .input = large},
            {.script = "read a; echo $a; exec cat >/dev/null", .input = "first\nrest", .out = "first\n"},
        };
        run_at_once(jobs, sizeof(jobs) / sizeof(jobs[0]));
    }
}

static void the_fast_do_not_wait_for_the_slow(void **state) {
    nb_exec *slow[4];
    for (size_t i = 0; i < 4; i++)
        slow[i] = start("exec sleep 86440");
    run_distinct(4, 0);
    for (size_t i = 0; i < 4; i++) {
        nb_exit_status status;
        assert_int_equal(nb_exec_wait(slow[i], 0, &status, NULL), -NB_E_TIMEOUT);
        MUST(nb_exec_kill(slow[i], &problem));
        assert_int_equal(wait_and_free(slow[i]).code, 128 + SIGKILL);
    }
}

/* ---------------------------------------------------------------------------------------------------- waits and sizes */

static void *wait_for_nine(void *user) {
    nb_exit_status status = {0};
    return nb_exec_wait(user, 4 * WAIT_MS, &status, NULL) == 0 && status.code == 9 ? NULL : user;
}

static void s09_a_wait_holds_up_no_exec_of_the_same_box(void **state) {
    pthread_t thread;
    void *failed;
    nb_exec *slow = start("trap 'exit 9' USR1; echo ready; while :; do sleep 0.1; done");
    await_output(slow, "ready\n");
    assert_int_equal(pthread_create(&thread, NULL, wait_for_nine, slow), 0);
    for (int i = 0; i < 50; i++)
        expect("true", 0, "");
    nb_exit_status status;
    assert_int_equal(nb_exec_wait(slow, 0, &status, NULL), -NB_E_TIMEOUT);
    MUST(nb_exec_signal(slow, SIGUSR1, &problem));
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    nb_exec_free(slow);
}

static void s19_resizes_that_race_the_end_do_no_harm(void **state) {
    for (unsigned i = 0; i < 20; i++) {
        nb_exec *exec = start_with((nb_exec_options){.tty = true, .columns = 80, .rows = 24}, "stty size; exit 7");
        for (unsigned n = 0; n < 50; n++)
            MUST(nb_exec_resize(exec, (uint16_t) (20 + n), (uint16_t) (10 + i), &problem));
        output o = {0};
        assert_true(collect(exec, WAIT_MS, &o));
        assert_int_equal(o.status.code, 7);
        unsigned rows = 0, columns = 0;
        assert_int_equal(sscanf(o.bytes[0], "%u %u", &rows, &columns), 2);
        assert_true((rows == 24 && columns == 80) || (rows == 10 + i && columns >= 20 && columns < 70));
        output_free(&o);
        for (unsigned n = 0; n < 3; n++)
            MUST(nb_exec_resize(exec, 80, 24, &problem)); /* after its end: nothing, and 0 */
        nb_exec_free(exec);
    }
    expect("echo alive", 0, "alive\n");
}

/* ------------------------------------------------------------------------------------------------------------ leaks */

typedef struct footprint {
    unsigned own_fds, shim_fds, shim_zombies, processes, zombies;
    size_t shim_bytes, own_bytes;
    unsigned long machine_kib; /* what the machine has left, the agent and the zygote included */
} footprint;

static unsigned long ask_number(const char *script) {
    nb_exec *exec = start(script);
    output o = {0};
    assert_true(collect(exec, WAIT_MS, &o));
    assert_int_equal(o.status.code, 0);
    unsigned long number = strtoul(o.bytes[0], NULL, 10);
    output_free(&o);
    nb_exec_free(exec);
    return number;
}

static footprint measure(void) {
    nb_box_info *info = NULL;
    footprint f = {0};
    MUST(nb_box_inspect(box, &info, &problem));
    f.processes = (unsigned) ask_number("set -- /proc/[0-9]*; echo $#");
    f.zombies = (unsigned) ask_number("cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ' || :");
    f.machine_kib = ask_number("awk '/MemAvailable/ {print $2}' /proc/meminfo");
    f.own_fds = count_fds(getpid());
    (void) malloc_trim(0); /* what is free in the arenas of threads that are gone is no leak */
    f.own_bytes = resident_bytes(getpid());
    f.shim_fds = count_fds(info->shim_pid);
    f.shim_bytes = resident_bytes(info->shim_pid);
    f.shim_zombies = count_zombies(info->shim_pid) + count_zombies(getpid());
    nb_box_info_free(info);
    return f;
}

/* A leak of a kilobyte an exec, beyond what the allocator's arenas of many threads take once. */
#define LEAK_BYTES(execs) ((size_t) (execs) *1024 + (2u << 20))
/* The guest's kernel caches more with time, and counts it as available only in part. */
#define MACHINE_LEAK_KIB 4096

static void expect_no_more(const footprint *before, unsigned execs) {
    footprint after = measure();
    /* The shim may not have noticed yet that the last of our connections is closed. */
    for (int i = 0; after.shim_fds > before->shim_fds && i < WAIT_MS / 10; i++) {
        (void) usleep(10000);
        after = measure();
    }
    assert_true(after.own_fds <= before->own_fds);
    assert_true(after.shim_fds <= before->shim_fds);
    assert_int_equal(after.shim_zombies, 0);
    assert_true(after.processes <= before->processes);
    assert_int_equal(after.zombies, 0);
    assert_true(after.own_bytes < before->own_bytes + LEAK_BYTES(execs));
    assert_true(after.shim_bytes < before->shim_bytes + LEAK_BYTES(execs));
    if (after.machine_kib + MACHINE_LEAK_KIB < before->machine_kib)
        fail_msg("the machine has %lu KiB left, it had %lu", after.machine_kib, before->machine_kib);
}

static void s23_thousands_of_execs_leave_nothing(void **state) {
    unsigned count = rounds(300, 3000);
    for (unsigned i = 0; i < 20; i++)
        expect("exit 3", 3, ""); /* what is made at first use is made */
    footprint before = measure();
    for (unsigned i = 0; i < count; i++) {
        nb_exec *exec = start_with((nb_exec_options){.tty = i % 16 == 5, .open_stdin = i % 4 == 1}, "echo $((40 + 2)); exit 5");
        output o = {0};
        assert_true(collect(exec, WAIT_MS, &o));
        assert_string_equal(o.bytes[0], i % 16 == 5 ? "42\r\n" : "42\n");
        assert_int_equal(o.status.code, 5);
        output_free(&o);
        nb_exec_free(exec);
    }
    expect_no_more(&before, count);
}

static void execs_at_once_leave_nothing_either(void **state) {
    run_distinct(16, 0);
    footprint before = measure();
    for (unsigned i = 0; i < rounds(4, 50); i++) {
        run_distinct(16, i);
        some_fail_and_the_others_do_not_notice(state);
        some_crash_and_the_others_do_not_notice(state);
    }
    expect_no_more(&before, 500);
}

static void s24_orphans_of_a_box_without_a_main_are_reaped(void **state) {
    expect("i=0; while [ $i -lt 100 ]; do ( (sleep 0.5; exit 3) & ); i=$((i + 1)); done; "
           "cat /proc/[0-9]*/comm 2>/dev/null | grep -c sleep | grep -q '^[1-9]' && echo there",
           0, "there\n");
    /* They end after half a second, and nobody but PID 1 can take note of it. */
    expect("i=0; while cat /proc/[0-9]*/stat 2>/dev/null | grep -q -e ' (sleep) ' -e ') Z '; do "
           "i=$((i + 1)); [ $i -lt 300 ] || exit 1; sleep 0.1; done; echo none",
           0, "none\n");
}

/* --------------------------------------------------------------------------------------------------- the main command */

static void a_main_command_and_execs_run_side_by_side(void **state) {
    const char *words[] = {"sh", "-c", "echo main; read go; echo $go; exit 42"};
    nb_box_options options = {.size = sizeof(options), .image = "busybox", .command = {words, 3}, .open_stdin = true};
    nb_box *own = NULL;
    nb_exec *main_exec = NULL, *execs[8];
    size_t written = 0;
    MUST(nb_box_create(runtime, &options, &own, &problem));
    MUST(nb_box_start(own, NULL, &main_exec, &problem));
    for (int i = 0; i < 8; i++) {
        char script[32];
        (void) snprintf(script, sizeof(script), "echo %d; exit %d", i, i);
        execs[i] = start_in(own, (nb_exec_options){0}, script);
    }
    for (int i = 0; i < 8; i++) {
        char out[16];
        (void) snprintf(out, sizeof(out), "%d\n", i);
        await_output(execs[i], out);
        assert_int_equal(wait_and_free(execs[i]).code, i);
    }
    nb_exec *last = start_in(own, (nb_exec_options){0}, "exec sleep 86441");
    MUST(nb_exec_write(main_exec, "go\n", 3, WAIT_MS, &written, &problem));
    output o = {0};
    assert_true(collect(main_exec, WAIT_MS, &o));
    assert_string_equal(o.bytes[0], "main\ngo\n");
    assert_int_equal(o.status.code, 42);
    output_free(&o);
    nb_exec_free(main_exec);
    nb_exit_status status = {0};
    int result = nb_exec_wait(last, WAIT_MS, &status, &problem); /* the box has ended under it */
    assert_true(result == -NB_E_STOPPED || (result == 0 && status.code == 128 + SIGKILL));
    nb_exec_free(last);
    remove_another_box(own);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_at_once_share_nothing),
        cmocka_unit_test(eight_at_once_share_nothing),
        cmocka_unit_test(sixteen_at_once_have_a_status_each),
        cmocka_unit_test(in_sequence_after_at_once_is_as_before),
        cmocka_unit_test(bursts_with_pauses_lose_nothing),
        cmocka_unit_test(some_fail_and_the_others_do_not_notice),
        cmocka_unit_test(some_crash_and_the_others_do_not_notice),
        cmocka_unit_test(streams_and_terminals_are_mixed_and_stay_apart),
        cmocka_unit_test(the_fast_do_not_wait_for_the_slow),
        cmocka_unit_test(s09_a_wait_holds_up_no_exec_of_the_same_box),
        cmocka_unit_test(s19_resizes_that_race_the_end_do_no_harm),
        cmocka_unit_test(s23_thousands_of_execs_leave_nothing),
        cmocka_unit_test(execs_at_once_leave_nothing_either),
        cmocka_unit_test(s24_orphans_of_a_box_without_a_main_are_reaped),
        cmocka_unit_test(a_main_command_and_execs_run_side_by_side),
    };
    const char *why = find_obstacle();
    if (why) {
        (void) printf("skipped: %s\n", why);
        return 77;
    }
    return cmocka_run_group_tests(tests, open_box, close_box);
}
