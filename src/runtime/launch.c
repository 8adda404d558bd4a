/* SPDX-License-Identifier: Apache-2.0
 *
 * launch.c - starting a helper program out of somebody else's process
 *
 * Theory of operation
 *   A launcher is run aside (aside.c): it clones the program, which shares our memory until it executes, and ends. So the program is no
 *   child of ours.
 */
#include "runtime/launch.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/process.h"
#include "runtime/aside.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST_FD 3
/* Descriptors are first moved out of the way of their final numbers. */
#define SCRATCH_FD 64

/* Shared by the three processes; the caller's stack holds it. */
typedef struct order {
    int program;
    char *argv[2];
    const int *fds;
    size_t fd_count;
    uint8_t *stack; /* the program's until it executes */
    pid_t pid;
    int error; /* errno of what failed first, 0 when the program runs */
} order;

static const char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", NULL};

/* Only bare system calls from here to the exec: this memory is the embedder's. */

/* The kernel's struct sigaction of SIG_DFL, whatever its layout; and its size of a signal set. */
static const uint64_t standard_action[8], no_signals;
#define KERNEL_SIGSET_BYTES sizeof(no_signals)

static int move_away(int fd) {
    return (int) syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, SCRATCH_FD);
}

static int place_descriptors(const order *o, int *ret_program) {
    int scratch[LAUNCH_FDS_MAX];
    for (size_t i = 0; i < o->fd_count; i++) {
        scratch[i] = move_away(o->fds[i]);
        if (scratch[i] < 0)
            return -1;
    }
    *ret_program = move_away(o->program);
    int null = (int) syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
    if (*ret_program < 0 || null < 0)
        return -1;
    if (null < FIRST_FD) { /* the embedder may have closed its streams; dup3 onto itself is an error */
        null = move_away(null);
        if (null < 0)
            return -1;
    }
    for (int fd = 0; fd < FIRST_FD; fd++) {
        if (syscall(SYS_dup3, null, fd, 0) < 0)
            return -1;
    }
    for (size_t i = 0; i < o->fd_count; i++) {
        if (syscall(SYS_dup3, scratch[i], FIRST_FD + (int) i, 0) < 0)
            return -1;
    }
    return 0;
}

static int become_program(void *user) {
    order *o = user;
    int program;
    if (syscall(SYS_setsid) >= 0 && syscall(SYS_chdir, "/") == 0 && place_descriptors(o, &program) == 0) {
        (void) syscall(SYS_umask, 0077);
        for (int number = 1; number < NSIG; number++)
            (void) syscall(SYS_rt_sigaction, number, standard_action, NULL, KERNEL_SIGSET_BYTES); /* KILL and STOP refuse, and need none */
        (void) syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, NULL, KERNEL_SIGSET_BYTES);
        (void) syscall(SYS_execveat, program, "", o->argv, environment, AT_EMPTY_PATH);
    }
    o->error = errno;
    aside_end(1);
}

static void launch(void *user) {
    order *o = user;
    o->pid = __clone(become_program, o->stack + ASIDE_STACK_BYTES, CLONE_VM | CLONE_VFORK, o);
    if (o->pid < 0)
        o->error = errno;
}

static int run(int program, const char *name, const int *fds, size_t fd_count, nb_error *err) {
    uint8_t *stack = mmap(NULL, ASIDE_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return nb_fail_oom(err);
    order o = {.program = program, .argv = {(char *) name, NULL}, .fds = fds, .fd_count = fd_count, .stack = stack};
    int error = aside_run(launch, &o) < 0 ? errno : o.error;
    (void) munmap(stack, ASIDE_STACK_BYTES);
    return error ? nb_fail(err, NB_E_INTERNAL, error, "run '%s'", name) : 0;
}

int launch_program(int program, const char *name, const int *fds, size_t fd_count, nb_error *err) {
    assert(fd_count <= LAUNCH_FDS_MAX);
    int ends[2], all[1 + LAUNCH_FDS_MAX];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "make a socket pair");
    CLEANUP(cleanup_fd) int ours = ends[0];
    CLEANUP(cleanup_fd) int theirs = ends[1];
    if (fd_set_nonblock(ours, true) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "make a socket pair");
    all[0] = theirs;
    for (size_t i = 0; i < fd_count; i++)
        all[1 + i] = fds[i];
    int result = run(program, name, all, 1 + fd_count, err);
    return result < 0 ? result : take_fd(&ours);
}

int launch_shim(int program, const char *name, int folder, nb_error *err) {
    CLEANUP(cleanup_fd) int owner = process_open(getpid());
    if (owner < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "open a pidfd of this process");
    return launch_program(program, name, (const int[2]){folder, owner}, 2, err);
}
