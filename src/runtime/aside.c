/* SPDX-License-Identifier: Apache-2.0
 *
 * aside.c - a few system calls in a process of their own, out of somebody else's process
 *
 * Theory of operation
 *   The embedder may have threads, signal handlers, and a loop of its own around waitpid(-1). So nothing is forked here in the usual
 *   way: the process is cloned with exit signal 0, which no waitpid without __WCLONE sees and which raises no SIGCHLD; it shares our memory
 *   and holds this one thread (CLONE_VM | CLONE_VFORK), so it costs the same however large the embedder is and no lock of another thread
 *   is ever copied. All signals are blocked meanwhile: a handler of the embedder's must not run in a process that shares its memory.
 *
 *   In this process the C library's functions are avoided as well: an embedder that is built with the thread sanitizer has its wrappers
 *   around them, which keep books in that same memory. It would find its signal handlers gone, descriptors of other threads replaced, and
 *   itself a forked process that may start no more threads. So: syscall(), and nothing else.
 */
#include "runtime/aside.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The caller's stack holds it. */
typedef struct errand {
    void (*work)(void *user);
    void *user;
} errand;

_Noreturn void aside_end(int status) {
    for (;;)
        (void) syscall(SYS_exit_group, status);
}

static int run_errand(void *user) {
    const errand *e = user;
    e->work(e->user);
    aside_end(0);
}

int aside_run(void (*work)(void *user), void *user) {
    uint8_t *stack = mmap(NULL, ASIDE_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return -1;
    errand e = {work, user};
    sigset_t all, before;
    int cancel_state;
    (void) sigfillset(&all);
    (void) pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    (void) pthread_sigmask(SIG_BLOCK, &all, &before);
    pid_t pid = __clone(run_errand, stack + ASIDE_STACK_BYTES, CLONE_VM | CLONE_VFORK, &e);
    int error = errno;
    if (pid > 0) {
        while (waitpid(pid, NULL, __WCLONE) < 0 && errno == EINTR)
            ;
    }
    (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void) pthread_setcancelstate(cancel_state, NULL);
    (void) munmap(stack, ASIDE_STACK_BYTES);
    errno = error;
    return pid > 0 ? 0 : -1;
}
