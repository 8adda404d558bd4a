/* SPDX-License-Identifier: Apache-2.0
 *
 * test-jail.c - the jail of a machine's process, with a hostile program in it
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "jail/broker.h"
#include "jail/filter.h"
#include "jail/policy.h"
#include "machine/launch.h"

#include "../unit/test-folder.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define OUTPUT_MAX_BYTES 65536

static const char *hostile_program;

typedef struct jailed {
    loop *l;
    loop_fd ended;
    pid_t pid;
    int pidfd, listener, refused_by;
    broker *broker;
} jailed;

static void on_ended(loop_fd *watcher, uint32_t events) {
    jailed *j = watcher->user;
    loop_quit(j->l);
}

/* Its exit status; a signal's number + 128. */
static int run(jailed *j, const char *words, size_t words_bytes, const int *fds, size_t fd_count) {
    nb_error err;
    int status;
    if (launch_filtered_program((strv){words, words_bytes}, fds, fd_count, filter_install, &j->pid, &j->pidfd, &j->listener, &j->refused_by,
                                &err) < 0)
        fail_msg("%s", err.message);
    if (j->listener < 0)
        fail_msg("the kernel forbids the filter: errno %d", j->refused_by);
    assert_int_equal(broker_new(j->l, NULL, j->listener, words, &j->broker, NULL), 0);
    assert_int_equal(loop_fd_init(j->l, &j->ended, j->pidfd, EPOLLIN, on_ended, j), 0);
    assert_int_equal(loop_run(j->l), 0);
    loop_fd_done(&j->ended);
    broker_free(j->broker);
    assert_int_equal(waitpid(j->pid, &status, 0), j->pid);
    (void) close(j->pidfd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void a_hostile_program_gets_nothing_but_what_it_needs(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    static char output[OUTPUT_MAX_BYTES], words[8192];
    jailed j = {.l = loop_new()};
    int ends[2];
    test_folder_write(&folder, "secret", "secret", 6);
    assert_int_equal(pipe(ends), 0);
    int nothing = open("/dev/null", O_RDONLY), own = openat(folder.fd, "secret", O_RDWR);
    int n = snprintf(words, sizeof(words), "%s%c%s", hostile_program, 0, folder.path);
    const int fds[] = {nothing, ends[1], ends[1], own, folder.fd};
    int status = run(&j, words, (size_t) n + 1, fds, 5);
    (void) close(ends[1]);
    ssize_t length = fd_read_full(ends[0], output, sizeof(output) - 1);
    output[length > 0 ? length : 0] = '\0';
    if (status != 0)
        fail_msg("status %d:\n%s", status, output);
    (void) close(ends[0]);
    (void) close(own);
    (void) close(nothing);
    loop_free(j.l);
}

static void who_asks_nobody_is_told_so_and_does_not_hang(void **state) {
    jailed j = {.l = loop_new()};
    nb_error err;
    int status, nothing = open("/dev/null", O_RDWR);
    char words[8192];
    int n = snprintf(words, sizeof(words), "%s%c/", hostile_program, 0);
    const int fds[] = {nothing, nothing, nothing};
    assert_int_equal(
        launch_filtered_program((strv){words, (size_t) n + 1}, fds, 3, filter_install, &j.pid, &j.pidfd, &j.listener, &j.refused_by, &err),
        0);
    assert_true(j.listener >= 0);
    (void) close(j.listener); /* its libraries cannot be opened: it ends */
    assert_int_equal(waitpid(j.pid, &status, 0), j.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 127);
    (void) close(j.pidfd);
    (void) close(nothing);
    loop_free(j.l);
}

static void expect(const char *path, int flags, policy_verdict verdict) {
    char clean[PATH_MAX];
    if (policy_judge("/opt/qemu/bin/qemu-system-x86_64", path, flags, clean) != verdict)
        fail_msg("'%s' with flags %#x is judged otherwise than %d", path, (unsigned) flags, (int) verdict);
}

static void what_is_installed_with_the_program_may_be_read(void **state) {
    expect("/opt/qemu/share/qemu/bios.bin", O_RDONLY, POLICY_READ);
    expect("/opt/qemu/bin/../share/qemu/bios.bin", O_RDONLY, POLICY_READ);
    expect("/opt/qemu/lib/libpixman.so", O_RDONLY, POLICY_READ);
    expect("/opt/qemu/bin/qemu-system-x86_64", O_RDONLY, POLICY_READ);
    expect("/opt/qemu/bin/qemu-system-x86_64", O_RDWR, POLICY_REFUSED);
    expect("/opt/qemu/bin/qemu-img", O_RDONLY, POLICY_REFUSED);
    expect("/opt/qemu/share/qemu/bios.bin", O_RDWR, POLICY_REFUSED);
    expect("/opt/qemu/secrets", O_RDONLY, POLICY_REFUSED);
    expect("/opt/qemu/library", O_RDONLY, POLICY_REFUSED);
    expect("/opt/qemu/lib/../secrets", O_RDONLY, POLICY_REFUSED);
    expect("/usr/libx", O_RDONLY, POLICY_REFUSED);
    expect("/dev/kvm", O_RDWR, POLICY_DEVICE);
    expect("/dev/kvm", O_RDWR | O_CREAT, POLICY_REFUSED);
    expect("/dev/../dev/kvm", O_RDWR, POLICY_DEVICE);
    expect("/dev/mem", O_RDWR, POLICY_REFUSED);
    expect("/proc/self/fd/17", O_RDONLY, POLICY_OWN);
    expect("/proc/self/fd/1x", O_RDONLY, POLICY_REFUSED);
    expect("/proc/self/fd/", O_RDONLY, POLICY_REFUSED);
    expect("/proc/self", O_RDONLY, POLICY_REFUSED);
    expect("", O_RDONLY, POLICY_REFUSED);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_installed_with_the_program_may_be_read),
        cmocka_unit_test(a_hostile_program_gets_nothing_but_what_it_needs),
        cmocka_unit_test(who_asks_nobody_is_told_so_and_does_not_hang),
    };
    if (argc != 2)
        return 2;
    hostile_program = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
