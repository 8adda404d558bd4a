/* SPDX-License-Identifier: Apache-2.0
 *
 * loop.h - the event loop: descriptors and timers of one thread
 *
 * A loop belongs to one thread and is passed in, never global. Watchers are embedded in the object they serve. After a watcher's
 * _done no callback of it comes, not even for an event that the kernel had already reported. A callback may call any function here,
 * also _done on its own watcher and on others.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

typedef struct loop loop;

/* NULL with errno: out of memory or descriptors. */
loop *loop_new(void);
/* Every watcher must be done before. */
void loop_free(loop *l);

/* Runs until loop_quit() is called. 0, or -1 with errno when epoll itself fails. */
int loop_run(loop *l);
/* One round: waits at most @timeout_ms (-1: until something happens) and calls what is due. 0, or -1 with errno. */
int loop_round(loop *l, int timeout_ms);
void loop_quit(loop *l);

typedef struct loop_fd loop_fd;
typedef void loop_fd_callback(loop_fd *watcher, uint32_t events);

struct loop_fd {
    loop *owner; /* NULL when not initialised, or done */
    int fd;
    uint32_t events;
    loop_fd_callback *callback;
    void *user;
};

/* Watches @fd (borrowed) for EPOLLIN, EPOLLOUT; errors and hang-ups are always reported. 0, or -1 with errno. */
int loop_fd_init(loop *l, loop_fd *watcher, int fd, uint32_t events, loop_fd_callback *callback, void *user);
/* 0, or -1 with errno. Setting what is already set costs nothing. */
int loop_fd_set_events(loop_fd *watcher, uint32_t events);
/* Before the descriptor is closed. Fine for a zeroed or done watcher. */
void loop_fd_done(loop_fd *watcher);

typedef struct loop_timer loop_timer;
typedef void loop_timer_callback(loop_timer *timer);

struct loop_timer {
    loop *owner;      /* NULL when not initialised, or done */
    uint64_t due_ms;  /* monotonic; 0 when it is not running */
    loop_timer *next; /* in the loop's list, by due_ms */
    loop_timer_callback *callback;
    void *user;
};

void loop_timer_init(loop *l, loop_timer *timer, loop_timer_callback *callback, void *user);
/* Calls back once, @delay_ms from now; a running timer is set anew. */
void loop_timer_start(loop_timer *timer, uint64_t delay_ms);
void loop_timer_stop(loop_timer *timer);
static inline bool loop_timer_is_running(const loop_timer *timer) {
    return timer->due_ms != 0;
}
void loop_timer_done(loop_timer *timer);

#endif
