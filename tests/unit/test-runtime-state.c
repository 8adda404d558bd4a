/* SPDX-License-Identifier: Apache-2.0
 *
 * test-runtime-state.c - what a box is doing, told by its record and its lock, also when the two disagree
 */
#include "base/cleanup.h"
#include "base/lock.h"
#include "base/process.h"
#include "runtime/state.h"
#include "shim/record.h"
#include "test-folder.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const msg_record running = {
    .state = NB_BOX_RUNNING, .shim_pid = 4711, .machine_pid = 4712, .machine_start_ticks = 1, .started_at_ms = 5};

static void write_as_a_shim(const test_folder *folder, msg_record content) {
    record r = {.is = content, .accelerator = "tcg", .message = "fine"};
    assert_int_equal(record_write(&r, folder->fd, true), 0);
}

static box_status read_status(const test_folder *folder) {
    box_status status;
    nb_error err;
    if (box_status_read(folder->fd, NULL, &status, &err) < 0)
        fail_msg("%s", err.message);
    return status;
}

/* A shim's sign of life. */
static int hold_lock(const test_folder *folder) {
    int fd = openat(folder->fd, STATE_LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(lock_take(fd), 0);
    return fd;
}

static void the_two_sides_agree_on_the_files(void **state) {
    assert_string_equal(STATE_RECORD_FILE, RECORD_FILE);
    assert_string_equal(STATE_LOCK_FILE, LOCK_FILE);
    assert_string_equal(STATE_SOCKET_FILE, SOCKET_FILE);
    assert_string_equal(STATE_DISK_FILE, DISK_FILE);
}

static void a_box_that_never_started_is_created(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    CLEANUP(box_status_done) box_status status = read_status(&folder);
    assert_false(status.live);
    assert_int_equal(status.record.state, NB_BOX_CREATED);
    assert_int_equal(status.record.started_at_ms, 0);
}

static void a_held_lock_and_a_record_are_believed(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    CLEANUP(cleanup_fd) int lock = hold_lock(&folder);
    write_as_a_shim(&folder, running);
    CLEANUP(box_status_done) box_status status = read_status(&folder);
    assert_true(status.live);
    assert_int_equal(status.record.state, NB_BOX_RUNNING);
    assert_int_equal(status.record.shim_pid, 4711);
    assert_int_equal(status.record.message.length, 4);
    assert_int_equal(lock_take(lock), 0); /* the look took nothing away */
}

/* Without the last bytes, which later versions have added. */
static void expect_understood(size_t added) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    CLEANUP(cleanup_fd) int lock = hold_lock(&folder);
    CLEANUP(cleanup_free) char *whole = NULL;
    size_t length;
    write_as_a_shim(&folder, running);
    assert_int_equal(file_read(folder.fd, RECORD_FILE, 4096, &whole, &length), 0);
    test_folder_write(&folder, RECORD_FILE, whole, length - added);
    CLEANUP(box_status_done) box_status status = read_status(&folder);
    assert_int_equal(status.record.state, NB_BOX_RUNNING);
    assert_int_equal(status.record.shim_pid, 4711);
    assert_memory_equal(status.record.message.at, "fine", 4);
    assert_int_equal(status.record.health, NB_HEALTH_NONE);
    assert_int_equal(status.record.restart_count, 0);
    assert_int_equal(status.record.limits_by + status.record.limits_groups.bytes, 0);
}

/* As versions 6 and 5 of the database had it: without what is told of limits, and of restarts and health. */
static void a_record_of_an_older_version_is_understood(void **state) {
    expect_understood(10);
    expect_understood(10 + 17);
}

static void a_held_lock_alone_is_a_box_that_is_starting(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    CLEANUP(cleanup_fd) int lock = hold_lock(&folder);
    assert_true(lock >= 0);
    box_status first = read_status(&folder);
    assert_int_equal(first.record.state, NB_BOX_STARTING);
    box_status_done(&first);
    write_as_a_shim(&folder, (msg_record){.state = NB_BOX_STOPPED}); /* of the run before */
    CLEANUP(box_status_done) box_status second = read_status(&folder);
    assert_true(second.live);
    assert_int_equal(second.record.state, NB_BOX_STARTING);
}

static void a_shim_that_died_is_found_and_recorded(void **state) {
    static const uint8_t states[] = {NB_BOX_STARTING, NB_BOX_RUNNING, NB_BOX_STOPPING};
    for (size_t i = 0; i < 6; i++) {
        CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
        bool started = i >= 3;
        msg_record dead = running;
        dead.state = states[i % 3];
        dead.started_at_ms = started ? 5 : 0;
        write_as_a_shim(&folder, dead);
        test_folder_write(&folder, STATE_LOCK_FILE, "", 0); /* which every box is made with */
        for (unsigned look = 0; look < 2; look++) {         /* the second finds what the first has written */
            CLEANUP(box_status_done) box_status status = read_status(&folder);
            assert_false(status.live);
            assert_int_equal(status.record.state, started ? NB_BOX_STOPPED : NB_BOX_FAILED);
            assert_int_equal(status.record.cause, NB_END_CRASH);
            assert_int_equal(status.record.shim_pid, 0);
            assert_int_equal(status.record.machine_pid, 4712); /* who buries it must know it */
            assert_true(status.record.finished_at_ms > 0);
        }
        assert_int_equal(test_folder_count(&folder, "."), 2);
    }
}

static void a_box_that_ended_in_order_is_left_as_it_is(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    write_as_a_shim(&folder, (msg_record){.state = NB_BOX_STOPPED, .cause = NB_END_EXIT, .has_exit = 1, .code = 3, .started_at_ms = 1});
    CLEANUP(box_status_done) box_status status = read_status(&folder);
    assert_int_equal(status.record.cause, NB_END_EXIT);
    assert_int_equal(status.record.code, 3);
}

static void a_damaged_record_is_believed_in_nothing(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    msg_record wrong = running;
    wrong.state = NB_BOX_FAILED + 1;
    write_as_a_shim(&folder, wrong);
    box_status first = read_status(&folder);
    assert_int_equal(first.record.state, NB_BOX_FAILED);
    assert_int_equal(first.record.machine_pid, 0);
    box_status_done(&first);
    test_folder_write(&folder, STATE_RECORD_FILE, "noise", 5);
    CLEANUP(box_status_done) box_status second = read_status(&folder);
    assert_int_equal(second.record.state, NB_BOX_FAILED);
    assert_int_equal(second.record.machine_pid, 0);
    assert_int_equal(box_bury_machine(&second, NULL), 0);
}

static void a_failed_start_is_recorded_unless_somebody_runs_the_box(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    nb_error why = {.code = NB_E_MACHINE, .message = "no qemu"};
    int lock = hold_lock(&folder);
    box_record_failure(folder.fd, NULL, &why);
    assert_int_equal(faccessat(folder.fd, STATE_RECORD_FILE, F_OK, 0), -1);
    (void) fd_close(lock);
    box_record_failure(folder.fd, NULL, &why);
    CLEANUP(box_status_done) box_status status = read_status(&folder);
    assert_int_equal(status.record.state, NB_BOX_FAILED);
    assert_int_equal(status.record.failure, NB_E_MACHINE);
    assert_memory_equal(status.record.message.at, "no qemu", 7);
}

static void one_at_a_time_locks_a_box(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    nb_error err;
    int lock = box_lock(folder.fd, &err);
    assert_true(lock >= 0);
    assert_int_equal(box_lock(folder.fd, &err), -NB_E_INVALID_STATE);
    assert_int_equal(box_wait_unlocked(folder.fd, 1, &err), -NB_E_TIMEOUT);
    (void) fd_close(lock);
    assert_int_equal(box_wait_unlocked(folder.fd, 0, &err), 0);
}

static void a_machine_that_outlived_its_shim_is_killed_and_no_other_process(void **state) {
    pid_t pid = fork();
    if (pid == 0) {
        (void) pause();
        _exit(0);
    }
    process_id id;
    assert_int_equal(process_identify(pid, &id), 0);
    box_status status = {.record = {.machine_pid = (uint32_t) pid, .machine_start_ticks = id.start_ticks + 1}};
    assert_int_equal(box_bury_machine(&status, NULL), 0); /* a recycled pid */
    status.record.machine_start_ticks = 0;                /* never known */
    assert_int_equal(box_bury_machine(&status, NULL), 0);
    status.record.machine_start_ticks = id.start_ticks;
    status.live = true; /* its shim's business */
    assert_int_equal(box_bury_machine(&status, NULL), 0);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    status.live = false;
    assert_int_equal(box_bury_machine(&status, NULL), 0);
    int ended;
    assert_int_equal(waitpid(pid, &ended, 0), pid);
    assert_true(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGKILL);
    assert_int_equal(box_bury_machine(&status, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_two_sides_agree_on_the_files),
        cmocka_unit_test(a_box_that_never_started_is_created),
        cmocka_unit_test(a_held_lock_and_a_record_are_believed),
        cmocka_unit_test(a_record_of_an_older_version_is_understood),
        cmocka_unit_test(a_held_lock_alone_is_a_box_that_is_starting),
        cmocka_unit_test(a_shim_that_died_is_found_and_recorded),
        cmocka_unit_test(a_box_that_ended_in_order_is_left_as_it_is),
        cmocka_unit_test(a_damaged_record_is_believed_in_nothing),
        cmocka_unit_test(a_failed_start_is_recorded_unless_somebody_runs_the_box),
        cmocka_unit_test(one_at_a_time_locks_a_box),
        cmocka_unit_test(a_machine_that_outlived_its_shim_is_killed_and_no_other_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
