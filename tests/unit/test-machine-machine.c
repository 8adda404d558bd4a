/* SPDX-License-Identifier: Apache-2.0
 *
 * test-machine-machine.c - the machine's process, with shell scripts in QEMU's place
 *
 * A script gets the descriptors that QEMU gets (machine/qemu.h): 8 is the control connection, 9 the console.
 */
#include "machine/machine.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "machine/console.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Bound for each wait; only a broken machine reaches it. */
#define WAIT_MS 20000

#define GREET "echo '{\"QMP\":{\"version\":{\"qemu\":{\"major\":7,\"minor\":2,\"micro\":0}}}}' >&8\n"
#define SERVE_TO_RUNNING GREET "read line <&8; echo '{\"return\":{},\"id\":1}' >&8; read line <&8; echo '{\"return\":{},\"id\":2}' >&8\n"

typedef struct bench {
    char folder[64], script[96];
    loop *loop;
    machine *machine;
    int link, disk, console;
    unsigned running_count, ended_count;
    machine_end end;
} bench;

static void on_running(void *user) {
    bench *b = user;
    b->running_count++;
}

static void on_ended(void *user, const machine_end *end) {
    bench *b = user;
    b->ended_count++;
    b->end = *end;
}

static int set_up(void **state) {
    bench *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    (void) snprintf(b->folder, sizeof(b->folder), "/tmp/nestbox-machine-XXXXXX");
    assert_non_null(mkdtemp(b->folder));
    (void) snprintf(b->script, sizeof(b->script), "%s/qemu", b->folder);
    b->loop = loop_new();
    b->disk = memfd_create("disk", MFD_CLOEXEC);
    b->console = memfd_create("console", MFD_CLOEXEC);
    b->link = -1;
    assert_true(b->loop && b->disk >= 0 && b->console >= 0);
    *state = b;
    return 0;
}

static int tear_down(void **state) {
    bench *b = *state;
    machine_free(b->machine);
    loop_free(b->loop);
    (void) fd_close(b->link);
    (void) fd_close(b->disk);
    (void) fd_close(b->console);
    (void) file_remove_tree(AT_FDCWD, b->folder);
    free(b);
    return 0;
}

static int start_with_kernel(bench *b, const char *kernel, nb_error *err) {
    machine_spec spec = {.program = b->script,
                         .accelerator = "tcg",
                         .kernel = kernel,
                         .modules = "/etc/passwd",
                         .agent = "/etc/passwd",
                         .base_disk = "/etc/passwd",
                         .disk_fd = b->disk,
                         .console_fd = b->console,
                         .memory_bytes = (uint64_t) 256 << 20,
                         .cpus = 1};
    machine_events events = {.user = b, .on_running = on_running, .on_ended = on_ended};
    int listener;
    return machine_start(b->loop, NULL, &spec, &events, &b->machine, &b->link, &listener, err);
}

static void start(bench *b, const char *script) {
    int fd = open(b->script, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    assert_int_equal(fd_write_all(fd, "#!/bin/sh\n", 10), 0);
    assert_int_equal(fd_write_all(fd, script, strlen(script)), 0);
    (void) fd_close(fd);
    nb_error error = {0};
    if (start_with_kernel(b, "/etc/passwd", &error) < 0)
        fail_msg("%s", error.message);
}

static void wait_until(bench *b, const unsigned *counter) {
    deadline d = deadline_in(WAIT_MS);
    while (*counter == 0) {
        if (deadline_passed(d))
            fail_msg("nothing happened; running %u, ended %u", b->running_count, b->ended_count);
        assert_int_equal(loop_round(b->loop, 100), 0);
    }
}

static void an_exit_is_told_with_the_last_message(void **state) {
    bench *b = *state;
    start(b, "echo 'qemu: first' >&2\necho 'qemu: no disk' >&2\necho 'it is gone' >&2\nexit 3\n");
    wait_until(b, &b->ended_count);
    assert_int_equal(b->end.exit_code, 3);
    assert_int_equal(b->end.signal, 0);
    assert_string_equal(b->end.reason, "QEMU exited with status 3: qemu: no disk it is gone");
    assert_int_equal(b->running_count, 0);
}

static void it_runs_after_the_handshake_and_quits_when_asked(void **state) {
    bench *b = *state;
    start(b, SERVE_TO_RUNNING "read line <&8; echo \"$line\" >&9; exit 0\n");
    wait_until(b, &b->running_count);
    machine_quit(b->machine, WAIT_MS);
    wait_until(b, &b->ended_count);
    assert_string_equal(b->end.reason, "QEMU quit as asked");
    char tail[200];
    machine_console_tail(b->machine, tail, sizeof(tail));
    assert_string_equal(tail, "{\"execute\":\"quit\",\"id\":3}\n");
    machine_quit(b->machine, 1);
    machine_kill(b->machine);
    assert_int_equal(b->running_count, 1);
    assert_int_equal(b->ended_count, 1);
}

static void one_that_does_not_quit_is_killed(void **state) {
    bench *b = *state;
    start(b, SERVE_TO_RUNNING "while :; do read line <&8; done\n");
    wait_until(b, &b->running_count);
    machine_quit(b->machine, 50);
    wait_until(b, &b->ended_count);
    assert_int_equal(b->end.signal, SIGKILL);
    assert_int_equal(b->end.exit_code, -1);
    assert_string_equal(b->end.reason, "QEMU was killed by signal 9 (KILL): it did not quit in time");
}

static void garbage_on_the_control_connection_ends_it(void **state) {
    bench *b = *state;
    start(b, GREET "echo '{\"return\":{},\"id\":77}' >&8\nwhile :; do read line <&8; done\n");
    wait_until(b, &b->ended_count);
    assert_int_equal(b->end.signal, SIGKILL);
    assert_non_null(strstr(b->end.reason, "an answer to what was not asked"));
    assert_int_equal(b->running_count, 0);
}

static void a_seccomp_death_is_named(void **state) {
    bench *b = *state;
    start(b, "kill -SYS $$\n");
    wait_until(b, &b->ended_count);
    assert_int_equal(b->end.signal, SIGSYS);
    assert_non_null(strstr(b->end.reason, "seccomp sandbox (SIGSYS)"));
}

static void the_reason_of_a_shutdown_is_told(void **state) {
    bench *b = *state;
    start(b, SERVE_TO_RUNNING "echo '{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"guest-shutdown\"}}' >&8; exit 0\n");
    wait_until(b, &b->ended_count);
    assert_string_equal(b->end.reason, "the guest powered the machine off");
}

static void the_child_has_its_descriptors_and_no_others(void **state) {
    bench *b = *state;
    assert_int_equal(setenv("NESTBOX_TEST_SECRET", "1", 1), 0);
    int extra = open("/dev/null", O_RDONLY); /* not CLOEXEC, on purpose: what an embedding program may have */
    struct sigaction before;
    assert_int_equal(sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, &before), 0);
    start(b, "cd /proc/$$/fd; for n in *; do [ -e \"$n\" ] && [ \"$n\" -lt 200 ] && echo \"fd $n\" >&9; done\n"
             "echo \"secret=$NESTBOX_TEST_SECRET\" >&9; grep SigIgn /proc/$$/status >&9; exit 0\n");
    wait_until(b, &b->ended_count);
    assert_int_equal(sigaction(SIGPIPE, &before, NULL), 0);
    (void) fd_close(extra);
    char tail[1000], fd[20];
    machine_console_tail(b->machine, tail, sizeof(tail));
    for (unsigned n = 0; n < 10; n++) {
        (void) snprintf(fd, sizeof(fd), "fd %u\n", n);
        assert_non_null(strstr(tail, fd));
    }
    assert_null(strstr(tail, "fd 11\n")); /* 10 is the shell's own, its script */
    assert_null(strstr(tail, "fd 12\n"));
    assert_non_null(strstr(tail, "secret=\n"));
    assert_non_null(strstr(tail, "SigIgn: 0000000000000000"));
}

static void what_is_missing_is_named(void **state) {
    bench *b = *state;
    nb_error error;
    assert_int_equal(start_with_kernel(b, "/nowhere/kernel", &error), -NB_E_MACHINE);
    assert_string_equal(error.message, "open the guest's kernel '/nowhere/kernel': No such file or directory");
    assert_int_equal(start_with_kernel(b, "/etc/passwd", &error), -NB_E_MACHINE);
    assert_int_equal(error.system_errno, ENOENT);
    assert_non_null(strstr(error.message, b->script));
    assert_non_null(strstr(error.hint, "qemu-system"));
    assert_null(b->machine);
    assert_int_equal(b->link, -1);
}

static void freeing_a_running_machine_ends_it(void **state) {
    bench *b = *state;
    start(b, "while :; do read line <&8; done\n");
    pid_t pid = machine_pid(b->machine);
    assert_int_equal(kill(pid, 0), 0);
    machine_free(b->machine);
    b->machine = NULL;
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(errno, ESRCH);
    assert_int_equal(b->ended_count, 0);
}

static void the_consoles_file_keeps_the_newest_within_its_bound(void **state) {
    bench *b = *state;
    static console c;
    char line[32];
    struct stat status;
    assert_int_equal(console_init(&c, b->console), 0);
    unsigned count = 2 * CONSOLE_FILE_MAX_BYTES / 16;
    for (unsigned i = 0; i < count; i++) {
        (void) snprintf(line, sizeof(line), "line %10u\n", i);
        console_append(&c, line, 16, NULL);
        if (i % 4096 == 0) {
            assert_int_equal(fstat(b->console, &status), 0);
            assert_true((size_t) status.st_size <= CONSOLE_FILE_MAX_BYTES);
        }
    }
    assert_int_equal(fstat(b->console, &status), 0);
    assert_true((size_t) status.st_size >= CONSOLE_FILE_MAX_BYTES / 2);
    char last[17] = "";
    assert_int_equal(pread(b->console, last, 16, status.st_size - 16), 16);
    assert_string_equal(last, line);
    char tail[40];
    console_tail(&c, tail, sizeof(tail));
    assert_int_equal(strlen(tail), 32);
    assert_string_equal(tail + 16, line);
    console_append(&c, "\x1b[31m\r\n\xff", 8, NULL);
    console_tail(&c, tail, sizeof(tail));
    assert_string_equal(tail + strlen(tail) - 7, "?[31m\n?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define MACHINE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        MACHINE_TEST(an_exit_is_told_with_the_last_message),
        MACHINE_TEST(it_runs_after_the_handshake_and_quits_when_asked),
        MACHINE_TEST(one_that_does_not_quit_is_killed),
        MACHINE_TEST(garbage_on_the_control_connection_ends_it),
        MACHINE_TEST(a_seccomp_death_is_named),
        MACHINE_TEST(the_reason_of_a_shutdown_is_told),
        MACHINE_TEST(the_child_has_its_descriptors_and_no_others),
        MACHINE_TEST(what_is_missing_is_named),
        MACHINE_TEST(freeing_a_running_machine_ends_it),
        MACHINE_TEST(the_consoles_file_keeps_the_newest_within_its_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
