/* SPDX-License-Identifier: Apache-2.0
 *
 * signals.c - signals sent to this program: noted while a library call blocks, queued while a command in a box is attached
 *
 * A signal that was set to be ignored when the program was started stays ignored only if it is SIGHUP: that is what nohup(1) asks for.
 * SIGINT and SIGQUIT are ignored in every background command of a shell script, where whoever sends one means the command in the box.
 */
#include "cli/signals.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/size.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/signalfd.h>

static const int noted_signals[] = {SIGINT, SIGTERM, SIGHUP};
static const int queued_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};

/* Program-wide as signal handlers are. */
static volatile sig_atomic_t noted;
static bool noting;

static void on_signal(int number) {
    noted = number;
}

static bool is_wanted(int number) {
    struct sigaction action;
    return number != SIGHUP || (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN);
}

void signals_note(void) {
    noting = true;
    for (size_t i = 0; i < ARRAY_LENGTH(noted_signals); i++) {
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | (int) SA_RESETHAND};
        if (is_wanted(noted_signals[i]))
            (void) sigaction(noted_signals[i], &action, NULL);
    }
}

int signals_noted(void) {
    int number = noted;
    noted = 0;
    return number;
}

bool signals_are_noted(void) {
    return noted != 0;
}

int signals_take(signal_queue *ret_queue, nb_error *err) {
    signal_queue q = {.fd = -1};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LENGTH(queued_signals); i++) {
        if (is_wanted(queued_signals[i]))
            sigaddset(&set, queued_signals[i]);
    }
    q.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (q.fd < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "make a queue of signals");
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void) sigprocmask(SIG_BLOCK, &set, &q.mask_before);
    (void) sigaction(SIGPIPE, &ignore, &q.pipe_before);
    *ret_queue = q;
    return 0;
}

int signals_next(const signal_queue *q) {
    struct signalfd_siginfo info;
    if (q->fd < 0 || read(q->fd, &info, sizeof(info)) != (ssize_t) sizeof(info))
        return 0;
    return (int) info.ssi_signo;
}

void signals_give_back(signal_queue *q) {
    if (q->fd < 0)
        return;
    while (signals_next(q) != 0)
        ; /* sent to a command that has ended */
    if (noting)
        signals_note(); /* the clean-up that follows is not cut short by one that comes just now */
    (void) sigaction(SIGPIPE, &q->pipe_before, NULL);
    (void) sigprocmask(SIG_SETMASK, &q->mask_before, NULL);
    q->fd = fd_close(q->fd);
}
