/* SPDX-License-Identifier: Apache-2.0
 *
 * test-base-process.c - signs of life: locks and process identities
 */
#include "base/cleanup.h"
#include "base/lock.h"
#include "base/process.h"
#include "test-folder.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int open_lock_file(const test_folder *folder) {
    int fd = openat(folder->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void another_description_of_the_same_process_counts_as_somebody_else(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    CLEANUP(cleanup_fd) int first = open_lock_file(&folder);
    CLEANUP(cleanup_fd) int second = open_lock_file(&folder);
    assert_false(lock_is_held(first));
    assert_int_equal(lock_take(first), 0);
    assert_int_equal(lock_take(first), 0);
    assert_false(lock_is_held(first));
    assert_true(lock_is_held(second));
    assert_int_equal(lock_take(second), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(lock_wait(second, 1), -1);
    assert_int_equal(errno, EAGAIN);
    /* Opening and closing the file anywhere else is what loses a POSIX lock. */
    (void) fd_close(open_lock_file(&folder));
    assert_true(lock_is_held(second));
    first = fd_close(first);
    assert_false(lock_is_held(second));
    assert_int_equal(lock_take(second), 0);
}

typedef struct child {
    pid_t pid;
    int alive; /* pipe whose end in the child holds it up */
} child;

static void child_end(child *c) {
    (void) fd_close(c->alive);
    if (c->pid > 0)
        (void) waitpid(c->pid, NULL, 0);
}

/* A child that has the lock and lives until its pipe is closed or it is killed. */
static child child_with_lock(const test_folder *folder) {
    int alive[2], ready[2];
    char byte;
    assert_int_equal(pipe2(alive, O_CLOEXEC), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void) close(alive[1]);
        int fd = openat(folder->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (lock_take(fd) < 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        (void) !read(alive[0], &byte, 1);
        _exit(0);
    }
    (void) fd_close(alive[0]);
    (void) fd_close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void) fd_close(ready[0]);
    return (child){pid, alive[1]};
}

static void a_lock_ends_with_its_holder(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    CLEANUP(child_end) child holder = child_with_lock(&folder);
    CLEANUP(cleanup_fd) int fd = open_lock_file(&folder);
    assert_true(lock_is_held(fd));
    assert_int_equal(kill(holder.pid, SIGKILL), 0);
    assert_int_equal(lock_wait(fd, 10000), 0);
}

static void a_process_is_known_by_pid_and_start_together(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    CLEANUP(child_end) child other = child_with_lock(&folder);
    process_id id;
    assert_int_equal(process_identify(other.pid, &id), 0);
    assert_int_equal(id.pid, other.pid);
    assert_true(process_is_alive(id));
    assert_false(process_is_alive((process_id){id.pid, id.start_ticks + 1}));
    assert_false(process_is_alive((process_id){id.pid, 0}));
    assert_false(process_is_alive((process_id){0, 0}));
    assert_false(process_is_alive((process_id){-1, id.start_ticks}));

    CLEANUP(cleanup_fd) int pidfd = process_open(other.pid);
    assert_int_equal(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(process_signal(pidfd, SIGKILL), 0);
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    assert_int_equal(poll(&ended, 1, 10000), 1);
    assert_false(process_is_alive(id)); /* a zombie, not reaped yet */
    assert_int_equal(waitpid(other.pid, NULL, 0), other.pid);
    other.pid = 0;
    assert_false(process_is_alive(id));
    assert_int_equal(process_identify(id.pid, &id), -1);
    assert_int_equal(errno, ESRCH);
}

static void a_name_cannot_forge_the_start_time(void **state) {
    process_id before, after;
    char name[16];
    assert_int_equal(process_identify(getpid(), &before), 0);
    (void) prctl(PR_GET_NAME, name);
    (void) prctl(PR_SET_NAME, ") R 1 (a b");
    assert_int_equal(process_identify(getpid(), &after), 0);
    (void) prctl(PR_SET_NAME, name);
    assert_int_equal(after.start_ticks, before.start_ticks);
    assert_true(process_is_alive(before));
}

static void signals_have_names_and_numbers(void **state) {
    assert_int_equal(signal_number("TERM"), SIGTERM);
    assert_int_equal(signal_number("SIGTERM"), SIGTERM);
    assert_int_equal(signal_number("sigterm"), SIGTERM);
    assert_int_equal(signal_number("15"), 15);
    assert_int_equal(signal_number("64"), 64);
    static const char *const bad[] = {"", "0", "65", "-1", "15x", "SIG", "TERMINATE", "99999999999999999999", " "};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(signal_number(bad[i]), 0);
    for (int number = 1; number < 32; number++) {
        const char *name = signal_name(number);
        if (name)
            assert_int_equal(signal_number(name), number);
    }
    assert_string_equal(signal_name(SIGKILL), "KILL");
    assert_null(signal_name(0));
    assert_null(signal_name(64));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_description_of_the_same_process_counts_as_somebody_else),
        cmocka_unit_test(a_lock_ends_with_its_holder),
        cmocka_unit_test(a_process_is_known_by_pid_and_start_together),
        cmocka_unit_test(a_name_cannot_forge_the_start_time),
        cmocka_unit_test(signals_have_names_and_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
