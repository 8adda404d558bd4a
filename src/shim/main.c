/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c - nestbox-shim: supervises one box
 *
 * Started by the library alone, with its first client's socket, the box's folder and a pidfd of its owner as descriptors
 * (wire/limits.h). Takes no arguments.
 */
#include "shim/client.h"
#include "shim/shim.h"
#include "shim/template-make.h"
#include "wire/template.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
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

/* Inherits nothing but what it was given: the program that started us may have had anything open. */
static int check_descriptors(void) {
    if (fcntl(WIRE_SHIM_SOCKET_FD, F_SETFD, FD_CLOEXEC) < 0 || fcntl(WIRE_SHIM_FOLDER_FD, F_SETFD, FD_CLOEXEC) < 0 ||
        fcntl(WIRE_SHIM_OWNER_FD, F_SETFD, FD_CLOEXEC) < 0)
        return -1;
    return close_range(WIRE_SHIM_OWNER_FD + 1, ~0u, 0);
}

static int watch_signals(shim *s, loop_fd *watcher) {
    sigset_t mask;
    (void) sigemptyset(&mask);
    (void) sigaddset(&mask, SIGTERM);
    (void) sigaddset(&mask, SIGINT);
    (void) sigprocmask(SIG_SETMASK, &mask, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void) sigaction(SIGPIPE, &ignore, NULL);
    (void) sigaction(SIGHUP, &ignore, NULL);
    int fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -1 : loop_fd_init(s->loop, watcher, fd, EPOLLIN, on_signal, s);
}

/* The same program makes templates, under another name. */
static bool is_template_maker(int argc, char **argv) {
    return argc > 0 && strcmp(argv[0], WIRE_TEMPLATE_PROGRAM) == 0;
}

int main(int argc, char **argv) {
    shim s;
    loop_fd signals;
    loop_timer first_order;
    nb_error why = {0};
    if (check_descriptors() < 0) {
        (void) dprintf(STDERR_FILENO, "nestbox-shim: started by hand; it is libnestbox that starts it\n");
        return 2;
    }
    (void) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void) prctl(PR_SET_DUMPABLE, 0);
    (void) umask(0077);
    if (is_template_maker(argc, argv)) {
        (void) sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
        return template_main();
    }
    raise_descriptor_limit();
    loop *l = loop_new();
    if (!l)
        return 1;
    int result = shim_init(&s, l, WIRE_SHIM_FOLDER_FD, &why);
    client *first = client_new(&s, WIRE_SHIM_SOCKET_FD);
    if (!first)
        return 1;
    if (result < 0) {
        client_fail(first, &why);
        (void) client_end_flushed(&s);
        return 1;
    }
    if (watch_signals(&s, &signals) < 0 || loop_fd_init(l, &s.owner_watcher, WIRE_SHIM_OWNER_FD, EPOLLIN, on_owner_ended, &s) < 0)
        return 1;
    loop_timer_init(l, &first_order, on_no_order, &s);
    loop_timer_start(&first_order, FIRST_ORDER_MS);
    result = loop_run(l);
    shim_done(&s);
    return result < 0 ? 1 : 0;
}
