/* SPDX-License-Identifier: Apache-2.0
 *
 * loop.c - the event loop: descriptors and timers of one thread
 *
 * Theory of operation
 *   epoll(7), level-triggered, with the watcher's address as data. A batch of events is kept in the loop while it is worked off; a
 *   watcher that is done takes its remaining events out of the batch, which is what makes "no callback after _done" true.
 *   Timers are a list sorted by time: a shim has a handful, an agent one per exec with a limit, and most are never due.
 */
#include "loop/loop.h"

#include "base/clock.h"
#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define LOOP_BATCH 64

struct loop {
    int epoll_fd;
    bool quitting;
    loop_timer *timers;
    struct epoll_event batch[LOOP_BATCH];
    int batch_count; /* events of the current batch, 0 outside of one */
};

loop *loop_new(void) {
    loop *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0) {
        int saved = errno;
        free(l);
        errno = saved;
        return NULL;
    }
    return l;
}

void loop_free(loop *l) {
    if (!l)
        return;
    assert(!l->timers);
    (void) fd_close(l->epoll_fd);
    free(l);
}

static void run_due_timers(loop *l) {
    uint64_t now = clock_monotonic_ms();
    while (l->timers && l->timers->due_ms <= now) {
        loop_timer *timer = l->timers;
        l->timers = timer->next;
        timer->due_ms = 0;
        timer->callback(timer);
    }
}

static int until_next_timer(const loop *l, int timeout_ms) {
    if (!l->timers)
        return timeout_ms;
    int left = deadline_left_ms((deadline){l->timers->due_ms});
    return timeout_ms < 0 || left < timeout_ms ? left : timeout_ms;
}

int loop_round(loop *l, int timeout_ms) {
    int count = epoll_wait(l->epoll_fd, l->batch, LOOP_BATCH, until_next_timer(l, timeout_ms));
    if (count < 0)
        return errno == EINTR ? 0 : -1;
    l->batch_count = count;
    for (int i = 0; i < count; i++) {
        loop_fd *watcher = l->batch[i].data.ptr;
        if (watcher)
            watcher->callback(watcher, l->batch[i].events);
    }
    l->batch_count = 0;
    run_due_timers(l);
    return 0;
}

int loop_run(loop *l) {
    l->quitting = false;
    while (!l->quitting) {
        if (loop_round(l, -1) < 0)
            return -1;
    }
    return 0;
}

void loop_quit(loop *l) {
    l->quitting = true;
}

int loop_fd_init(loop *l, loop_fd *watcher, int fd, uint32_t events, loop_fd_callback *callback, void *user) {
    struct epoll_event event = {.events = events, .data.ptr = watcher};
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return -1;
    *watcher = (loop_fd){.owner = l, .fd = fd, .events = events, .callback = callback, .user = user};
    return 0;
}

int loop_fd_set_events(loop_fd *watcher, uint32_t events) {
    if (events == watcher->events)
        return 0;
    struct epoll_event event = {.events = events, .data.ptr = watcher};
    if (epoll_ctl(watcher->owner->epoll_fd, EPOLL_CTL_MOD, watcher->fd, &event) < 0)
        return -1;
    watcher->events = events;
    return 0;
}

void loop_fd_done(loop_fd *watcher) {
    loop *l = watcher->owner;
    if (!l)
        return;
    (void) epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, watcher->fd, NULL);
    for (int i = 0; i < l->batch_count; i++) {
        if (l->batch[i].data.ptr == watcher)
            l->batch[i].data.ptr = NULL;
    }
    watcher->owner = NULL;
}

void loop_timer_init(loop *l, loop_timer *timer, loop_timer_callback *callback, void *user) {
    *timer = (loop_timer){.owner = l, .callback = callback, .user = user};
}

void loop_timer_start(loop_timer *timer, uint64_t delay_ms) {
    loop_timer_stop(timer);
    uint64_t now_ms = clock_monotonic_ms();
    /* One short of what deadlines take for never, which is no number of milliseconds. */
    timer->due_ms = delay_ms < UINT64_MAX - 1 - now_ms ? now_ms + delay_ms : UINT64_MAX - 1;
    loop_timer **at = &timer->owner->timers;
    while (*at && (*at)->due_ms <= timer->due_ms)
        at = &(*at)->next;
    timer->next = *at;
    *at = timer;
}

void loop_timer_stop(loop_timer *timer) {
    if (!timer->due_ms)
        return;
    loop_timer **at = &timer->owner->timers;
    while (*at != timer)
        at = &(*at)->next;
    *at = timer->next;
    timer->due_ms = 0;
}

void loop_timer_done(loop_timer *timer) {
    if (!timer->owner)
        return;
    loop_timer_stop(timer);
    timer->owner = NULL;
}
