/* SPDX-License-Identifier: Apache-2.0
 *
 * embedder.c - a program that has a life of its own beside the library
 *
 * One thread forks children whose exit codes say who they are; another reaps whatever waitpid(-1) gives. A child of the library's would
 * turn up there, and one of ours that the library reaped would be missed.
 */
#include "embedder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHILDREN_MAX 4096
/* As many statuses have to come for the test to mean something. */
#define CHILDREN_MIN 1000
#define LOCALE_SIZE 256
#define FD_MAX 1024
#define PAUSE_NS 2000000L

struct embedder {
    pthread_t forker, reaper;
    atomic_bool over, forked_all;
    pid_t pids[CHILDREN_MAX]; /* by number; 0 once reaped */
    atomic_int forked;
    int reaped;
    const char *fault;
    sigset_t mask;
    struct sigaction actions[NSIG];
    char folder[PATH_MAX];
    mode_t umask;
    char locale[LOCALE_SIZE];
    struct rlimit limits[RLIM_NLIMITS];
    bool open[FD_MAX];
    unsigned threads;
};

static atomic_int child_signals;

static void on_child(int signal) {
    child_signals++;
}

static unsigned count_threads(void) {
    unsigned count = 0;
    DIR *tasks = opendir("/proc/self/task");
    while (tasks && readdir(tasks))
        count++;
    (void) closedir(tasks);
    return count;
}

static mode_t current_umask(void) {
    mode_t now = umask(0);
    (void) umask(now);
    return now;
}

static void take_pause(void) {
    struct timespec left = {.tv_nsec = PAUSE_NS};
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

static void *fork_children(void *user) {
    embedder *e = user;
    for (int i = 0; i < CHILDREN_MAX && !e->over; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(i % 256);
        e->pids[i] = pid;
        e->forked++;
        take_pause();
    }
    e->forked_all = true;
    return NULL;
}

/* The child's number, or -1 for a stranger. Its pid may come before the forker has written it down. */
static int find_child(embedder *e, pid_t pid) {
    for (unsigned look = 0; look < 1000; look++) {
        for (int i = 0; i < e->forked; i++) {
            if (e->pids[i] == pid) {
                e->pids[i] = 0;
                return i;
            }
        }
        take_pause();
    }
    return -1;
}

static void *reap_children(void *user) {
    embedder *e = user;
    for (;;) {
        int status;
        bool last = e->forked_all;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid > 0) {
            int child = find_child(e, pid);
            if (child < 0)
                e->fault = "a child turned up that is not the program's own";
            else if (!WIFEXITED(status) || WEXITSTATUS(status) != child % 256)
                e->fault = "a child had another's status";
            e->reaped++;
        } else if (last && (pid == 0 || errno == ECHILD)) {
            if (pid < 0 || e->reaped >= e->forked)
                return NULL;
            take_pause();
        } else {
            take_pause();
        }
    }
}

embedder *embedder_begin(void) {
    embedder *e = calloc(1, sizeof(*e));
    sigset_t own;
    struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART};
    if (!e)
        abort();
    child_signals = 0;
    (void) sigaction(SIGCHLD, &action, NULL);
    (void) sigemptyset(&own);
    (void) sigaddset(&own, SIGUSR2);
    (void) pthread_sigmask(SIG_BLOCK, &own, NULL);
    (void) pthread_sigmask(SIG_BLOCK, NULL, &e->mask);
    for (int number = 1; number < NSIG; number++)
        (void) sigaction(number, NULL, &e->actions[number]);
    if (!getcwd(e->folder, sizeof(e->folder)))
        abort();
    e->umask = current_umask();
    (void) snprintf(e->locale, sizeof(e->locale), "%s", setlocale(LC_ALL, "C.UTF-8") ? setlocale(LC_ALL, NULL) : "");
    for (int resource = 0; resource < RLIM_NLIMITS; resource++)
        (void) getrlimit((enum __rlimit_resource) resource, &e->limits[resource]);
    for (int fd = 0; fd < FD_MAX; fd++)
        e->open[fd] = fcntl(fd, F_GETFD) >= 0;
    if (pthread_create(&e->reaper, NULL, reap_children, e) != 0 || pthread_create(&e->forker, NULL, fork_children, e) != 0)
        abort();
    e->threads = count_threads();
    return e;
}

static const char *compare(const embedder *e) {
    sigset_t mask;
    char folder[PATH_MAX];
    (void) pthread_sigmask(SIG_BLOCK, NULL, &mask);
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigismember(&mask, number) != sigismember(&e->mask, number))
            return "the signal mask has changed";
        if (sigaction(number, NULL, &action) == 0 &&
            (action.sa_handler != e->actions[number].sa_handler || action.sa_flags != e->actions[number].sa_flags))
            return "a signal handler has changed";
    }
    if (!getcwd(folder, sizeof(folder)) || strcmp(folder, e->folder) != 0)
        return "the working directory has changed";
    if (current_umask() != e->umask)
        return "the umask has changed";
    if (strcmp(setlocale(LC_ALL, NULL), e->locale) != 0)
        return "the locale has changed";
    for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
        struct rlimit now = {0};
        (void) getrlimit((enum __rlimit_resource) resource, &now);
        if (now.rlim_cur != e->limits[resource].rlim_cur || now.rlim_max != e->limits[resource].rlim_max)
            return "a resource limit has changed";
    }
    if (count_threads() != e->threads)
        return "there are other threads than before";
    for (int fd = 0; fd < FD_MAX; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (e->open[fd] && flags < 0)
            return "a descriptor of the program's own was closed";
        if (!e->open[fd] && flags >= 0 && !(flags & FD_CLOEXEC))
            return "a descriptor of the library's is not CLOEXEC";
    }
    return NULL;
}

const char *embedder_end(embedder *e) {
    const char *changed = compare(e);
    while (e->forked < CHILDREN_MIN)
        take_pause();
    e->over = true;
    (void) pthread_join(e->forker, NULL);
    (void) pthread_join(e->reaper, NULL);
    struct sigaction standard = {.sa_handler = SIG_DFL};
    (void) sigaction(SIGCHLD, &standard, NULL);
    if (!changed)
        changed = e->fault;
    if (!changed && e->reaped != e->forked)
        changed = "a child of the program's own was reaped by somebody else";
    if (!changed && (e->forked < CHILDREN_MIN || child_signals == 0))
        changed = "the test itself had too few children";
    (void) setlocale(LC_ALL, "C");
    free(e);
    return changed;
}
