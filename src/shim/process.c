/* SPDX-License-Identifier: Apache-2.0
 *
 * process.c - what a box's shim owes to the processes around it: its owner, its first client, whoever sends it signals
 */
#include "shim/process.h"

#include "shim/client.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* A first client that says nothing has died between fork and order. */
#define FIRST_ORDER_MS 30000
/* Nobody waits for a box whose owner has died, and it is to be gone soon. */
#define OWNER_GRACE_MAX_MS 5000u
/* All clients', and what the shim needs for itself and its machine. */
#define DESCRIPTORS_MAX (CLIENTS_MAX + 100)

static void on_owner_ended(loop_fd *watcher, uint32_t events) {
    shim *s = watcher->user;
    loop_fd_done(watcher);
    if (!(s->orders.launch.launch_flags & WIRE_LAUNCH_DETACH))
        shim_stop(s, NB_END_OWNER,
                  s->orders.launch.stop_timeout_ms < OWNER_GRACE_MAX_MS ? s->orders.launch.stop_timeout_ms : OWNER_GRACE_MAX_MS);
}

static void on_signal(loop_fd *watcher, uint32_t events) {
    struct signalfd_siginfo info;
    shim *s = watcher->user;
    if (read(watcher->fd, &info, sizeof(info)) == (ssize_t) sizeof(info))
        shim_stop(s, NB_END_STOP, s->orders.launch.stop_timeout_ms);
}

static void on_no_order(loop_timer *timer) {
    shim *s = timer->user;
    if (!s->orders.bytes)
        loop_quit(s->loop);
}

/* As far as it may: a user's usual 1,024 are fewer than the clients of a full box. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= DESCRIPTORS_MAX)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max : DESCRIPTORS_MAX;
    (void) setrlimit(RLIMIT_NOFILE, &limit);
}

void process_prepare(void) {
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void) sigaction(SIGPIPE, &ignore, NULL);
    (void) sigaction(SIGHUP, &ignore, NULL);
    raise_descriptor_limit();
}

int process_watch_signals(shim *s, shim_process *p) {
    sigset_t mask;
    (void) sigemptyset(&mask);
    (void) sigaddset(&mask, SIGTERM);
    (void) sigaddset(&mask, SIGINT);
    (void) sigprocmask(SIG_SETMASK, &mask, NULL);
    int fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -1 : loop_fd_init(s->loop, &p->signals, fd, EPOLLIN, on_signal, s);
}

int process_begin_duty(shim *s, shim_process *p, int owner) {
    if (loop_fd_init(s->loop, &s->owner_watcher, owner, EPOLLIN, on_owner_ended, s) < 0)
        return -1;
    loop_timer_init(s->loop, &p->first_order, on_no_order, s);
    loop_timer_start(&p->first_order, FIRST_ORDER_MS);
    return 0;
}
