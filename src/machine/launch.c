/* SPDX-License-Identifier: Apache-2.0
 *
 * launch.c - starting the machine's process with exactly the descriptors it may have
 *
 * Theory of operation
 *   Between fork and exec the child reports a failing step with its errno through a socket that closes on exec; end of file means that the
 *   program runs. What serves a filter of system calls comes the same way. PR_SET_PDEATHSIG follows the thread that forked and is set before
 *   the filter; a parent that died before it was set is found by asking once more who the parent is.
 */
#include "machine/launch.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Descriptors are first moved above this, so that putting one in its place cannot close another. More than any program here is given. */
#define LAUNCH_SPARE_FD 64

/* Linux's real-time signals end here. */
#define LAUNCH_SIGNAL_MAX 64

#define LAUNCH_STATUS_UNREPORTED 127

typedef enum launch_step { STEP_DESCRIPTORS, STEP_LIMITS, STEP_PARENT, STEP_FILTER, STEP_EXECUTE } launch_step;

static const char *const step_texts[] = {
    [STEP_DESCRIPTORS] = "set up the descriptors of", [STEP_LIMITS] = "set the limits of", [STEP_PARENT] = "tie to its parent",
    [STEP_FILTER] = "filter the system calls of",     [STEP_EXECUTE] = "execute",
};

/* Of STEP_FILTER with errno 0 its descriptor comes along; any other is the child's last. */
typedef struct launch_report {
    launch_step step;
    int system_errno;
} launch_report;

/* What is to be run, and how. */
typedef struct launch_order {
    char *const *argv;
    const int *fds;
    size_t fd_count;
    int (*install)(void); /* NULL: no filter */
} launch_order;

static void child_fail(int report_fd, launch_step step, int system_errno) {
    launch_report report = {step, system_errno};
    (void) fd_write_all(report_fd, &report, sizeof(report));
    _exit(LAUNCH_STATUS_UNREPORTED);
}

static void child_reset_signals(void) {
    sigset_t none;
    (void) sigemptyset(&none);
    for (int i = 1; i <= LAUNCH_SIGNAL_MAX; i++)
        (void) sigaction(i, &(struct sigaction){.sa_handler = SIG_DFL}, NULL); /* KILL, STOP and the C library's two refuse */
    (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Puts each descriptor in its place and closes all others but the report pipe; returns where that is now. */
static int child_place_fds(int report_fd, const int *fds, size_t fd_count) {
    int moved[LAUNCH_SPARE_FD];
    for (size_t i = 0; i < fd_count; i++) {
        moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, LAUNCH_SPARE_FD);
        if (moved[i] < 0)
            child_fail(report_fd, STEP_DESCRIPTORS, errno);
    }
    int report = fcntl(report_fd, F_DUPFD_CLOEXEC, LAUNCH_SPARE_FD);
    if (report < 0)
        child_fail(report_fd, STEP_DESCRIPTORS, errno);
    for (size_t i = 0; i < fd_count; i++) {
        if (dup2(moved[i], (int) i) < 0)
            child_fail(report, STEP_DESCRIPTORS, errno);
    }
    int last = (int) fd_count;
    if (dup3(report, last, O_CLOEXEC) < 0 || close_range((unsigned) last + 1, ~0u, 0) < 0)
        child_fail(report, STEP_DESCRIPTORS, errno);
    return last;
}

/* Without it the program runs all the same: the parent knows. */
static void child_filter(int report_fd, int (*install)(void)) {
    CLEANUP(cleanup_fd) int listener = install();
    launch_report report = {STEP_FILTER, listener < 0 ? errno : 0};
    (void) fd_send_message(report_fd, &report, sizeof(report), &listener, listener < 0 ? 0 : 1);
}

static void child_run(pid_t parent, int report_fd, const launch_order *o) __attribute__((noreturn));
static void child_run(pid_t parent, int report_fd, const launch_order *o) {
    static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin", locale[] = "LC_ALL=C";
    static char *const environment[] = {path, locale, NULL};
    (void) setpgid(0, 0); /* a terminal's Ctrl-C is for whoever owns the terminal */
    child_reset_signals();
    int report = child_place_fds(report_fd, o->fds, o->fd_count);
    if (setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0) /* a core would hold the guest's memory */
        child_fail(report, STEP_LIMITS, errno);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        child_fail(report, STEP_PARENT, errno);
    if (getppid() != parent)
        _exit(LAUNCH_STATUS_UNREPORTED);
    if (o->install)
        child_filter(report, o->install);
    (void) execve(o->argv[0], o->argv, environment);
    child_fail(report, STEP_EXECUTE, errno);
    _exit(LAUNCH_STATUS_UNREPORTED);
}

static void reap(pid_t pid) {
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* Reads the child's reports: 0 when the program was executed. */
static int await_execution(int report_fd, const char *program, int *ret_listener, int *ret_refused_by, nb_error *err) {
    for (;;) {
        launch_report report;
        int fds[FD_PASS_MAX];
        size_t count;
        ssize_t n = fd_receive_message(report_fd, &report, sizeof(report), fds, &count);
        if (n == 0)
            return 0;
        if (n != (ssize_t) sizeof(report))
            return nb_fail(err, NB_E_MACHINE, n < 0 ? errno : EIO, "start '%s'", program);
        if (report.step == STEP_FILTER) {
            *ret_listener = count > 0 ? fds[0] : -1;
            *ret_refused_by = count > 0 ? 0 : report.system_errno ? report.system_errno : EMFILE;
            continue;
        }
        int r = nb_fail(err, NB_E_MACHINE, report.system_errno, "%s '%s'", step_texts[report.step], program);
        if (report.step == STEP_EXECUTE && report.system_errno == ENOENT)
            return nb_fail_hint(err, r, "install qemu-system-x86 (qemu-system-arm for aarch64)");
        return r;
    }
}

int launch_filtered_program(strv argv, const int *fds, size_t fd_count, int (*install)(void), pid_t *ret_pid, int *ret_pidfd,
                            int *ret_listener, int *ret_refused_by, nb_error *err) {
    CLEANUP(cleanup_free) char **pointers = strv_pointers(argv);
    if (!pointers)
        return nb_fail_oom(err);
    const launch_order order = {pointers, fds, fd_count, install};
    CLEANUP(cleanup_fd) int listener = -1;
    int ends[2], refused_by = 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return nb_fail(err, NB_E_MACHINE, errno, "make a socket pair");
    CLEANUP(cleanup_fd) int report = ends[0];
    CLEANUP(cleanup_fd) int reporter = ends[1];

    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        return nb_fail(err, NB_E_MACHINE, errno, "make a process for '%s'", pointers[0]);
    if (pid == 0)
        child_run(parent, reporter, &order);
    reporter = fd_close(reporter);

    int r = await_execution(report, pointers[0], &listener, &refused_by, err);
    int pidfd = -1;
    if (r == 0 && (pidfd = process_open(pid)) < 0)
        r = nb_fail(err, NB_E_MACHINE, errno, "open the process of '%s'", pointers[0]);
    if (r < 0) {
        (void) kill(pid, SIGKILL); /* our child and not reaped: the number is still its own */
        reap(pid);
        return r;
    }
    *ret_pid = pid;
    *ret_pidfd = pidfd;
    *ret_listener = take_fd(&listener);
    *ret_refused_by = refused_by;
    return 0;
}

int launch_program(strv argv, const int *fds, size_t fd_count, pid_t *ret_pid, int *ret_pidfd, nb_error *err) {
    int listener, refused_by;
    return launch_filtered_program(argv, fds, fd_count, NULL, ret_pid, ret_pidfd, &listener, &refused_by, err);
}
