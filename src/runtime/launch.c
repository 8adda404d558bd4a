/* SPDX-License-Identifier: Apache-2.0
 *
 * launch.c - starting a helper program out of somebody else's process
 *
 * Theory of operation
 *   The embedder may have threads, signal handlers, and a loop of its own around waitpid(-1). So nothing is forked here in the usual
 *   way: a launcher is cloned with exit signal 0, which no waitpid without __WCLONE sees and which raises no SIGCHLD; it shares our memory
 *   and holds this one thread (CLONE_VM | CLONE_VFORK), so it costs the same however large the embedder is and no lock of another thread
 *   is ever copied. It clones the program the same way and ends, so the program is nobody's child of ours; we reap the launcher by its
 *   pid. All signals are blocked meanwhile: a handler of the embedder's must not run in a process that shares its memory.
 *
 *   In these two processes the C library's functions are avoided as well: an embedder that is built with the thread sanitizer has its
 *   wrappers around them, which keep books in that same memory. It would find its signal handlers gone, descriptors of other
 *   threads replaced, and itself a forked process that may start no more threads.
 */
#include "runtime/launch.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each of the two processes runs a few small functions until it executes or ends. */
#define STACK_BYTES ((size_t) 64 << 10)
#define FIRST_FD 3
/* Descriptors are first moved out of the way of their final numbers. */
#define SCRATCH_FD 64

/* Shared by the three processes; the caller's stack holds it. */
typedef struct order {
    int program;
    char *argv[2];
    const int *fds;
    size_t fd_count;
    uint8_t *stacks;
    pid_t pid;
    int error; /* errno of what failed first, 0 when the program runs */
} order;

/* clone() under the C library's own name for it (glibc, musl), which no sanitizer wraps. */
int __clone(int (*run)(void *), void *stack, int flags, void *user, ...);

static const char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", NULL};

/* Only bare system calls from here to the exec: this memory is the embedder's. */

/* The kernel's struct sigaction of SIG_DFL, whatever its layout; and its size of a signal set. */
static const uint64_t standard_action[8], no_signals;
#define KERNEL_SIGSET_BYTES sizeof(no_signals)

static int move_away(int fd) {
    return (int) syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, SCRATCH_FD);
}

static _Noreturn void end(int status) {
    for (;;)
        (void) syscall(SYS_exit_group, status);
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
    end(1);
}

static int become_launcher(void *user) {
    order *o = user;
    o->pid = __clone(become_program, o->stacks + 2 * STACK_BYTES, CLONE_VM | CLONE_VFORK, o);
    if (o->pid < 0)
        o->error = errno;
    end(0);
}

pid_t launch_program(int program, const char *name, const int *fds, size_t fd_count, nb_error *err) {
    assert(fd_count <= LAUNCH_FDS_MAX);
    uint8_t *stacks = mmap(NULL, 2 * STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stacks == MAP_FAILED)
        return nb_fail_oom(err);
    order o = {.program = program, .argv = {(char *) name, NULL}, .fds = fds, .fd_count = fd_count, .stacks = stacks};
    sigset_t all, before;
    int cancel_state;
    (void) sigfillset(&all);
    (void) pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    (void) pthread_sigmask(SIG_BLOCK, &all, &before);
    pid_t launcher = __clone(become_launcher, stacks + STACK_BYTES, CLONE_VM | CLONE_VFORK, &o);
    int error = errno;
    if (launcher > 0) {
        while (waitpid(launcher, NULL, __WCLONE) < 0 && errno == EINTR)
            ;
        error = o.error;
    }
    (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void) pthread_setcancelstate(cancel_state, NULL);
    (void) munmap(stacks, 2 * STACK_BYTES);
    if (launcher < 0 || error)
        return nb_fail(err, NB_E_INTERNAL, error, "run '%s'", name);
    return o.pid;
}
