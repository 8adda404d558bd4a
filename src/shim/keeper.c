/* SPDX-License-Identifier: Apache-2.0
 *
 * keeper.c - keeps machines waiting
 *
 * Theory of operation
 *   A process of its own, started as a shim is. Each machine that waits has a process too, forked from here, for it is some box's shim when it is
 *   taken, and outlives us (standby.c). What we know of one is what it says on its channel, and that the channel has ended.
 *   One is started at a time, and not at once when another was taken: the box that took it is to have the processors first. After one
 *   that came to nothing the next waits longer and longer.
 *   When the connection to the library ends, or its process does, every channel is shut, and each machine that still waits goes; we go
 *   after the last of them. Whatever ends us, the channels end.
 */
#include "shim/keeper.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "link/link.h"
#include "shim/standby.h"
#include "wire/standby.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FIRST_ORDER_MS 30000
#define REFILL_MS 300
#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS 60000
/* A folder without its lock is younger. */
#define MAKING_S 60
/* For those that wait to go. */
#define DRAIN_MS 10000

typedef enum place_state { EMPTY, STARTING, WAITING } place_state;

typedef struct keeper keeper;

typedef struct place {
    keeper *keeper;
    place_state state;
    loop_fd channel; /* valid when not EMPTY */
} place;

struct keeper {
    loop *l;
    link_end owner;
    loop_fd owner_watcher;
    loop_timer timer; /* for the order; then for the next machine; then for the last one's end */
    uint8_t *bytes;
    msg_standby order; /* points into them; all zero before it came */
    place places[WIRE_STANDBY_MAX];
    uint32_t retry_ms;
    bool ending;
};

static size_t count_places(const keeper *k, place_state state) {
    size_t count = 0;
    for (size_t i = 0; i < k->order.count; i++)
        count += k->places[i].state == state;
    return count;
}

static void tell_owner(keeper *k, const char *failure) {
    link_send(&k->owner, wire_encode_standing,
              (&(msg_standing){.count = (uint32_t) count_places(k, WAITING), .failure = wire_str(failure)}));
}

/* ------------------------------------------------------------------------------------------------------------ the machines */

static void empty_place(place *p) {
    int fd = p->channel.fd;
    loop_fd_done(&p->channel);
    (void) fd_close(fd);
    p->state = EMPTY;
}

static void failed(keeper *k, const char *why) {
    k->retry_ms = k->retry_ms == 0 ? RETRY_FIRST_MS : k->retry_ms * 2 < RETRY_MAX_MS ? k->retry_ms * 2 : RETRY_MAX_MS;
    loop_timer_start(&k->timer, k->retry_ms);
    tell_owner(k, why);
}

static void on_word(place *p, char word, const char *rest) {
    keeper *k = p->keeper;
    switch (word) {
    case STANDBY_WAITS:
        p->state = WAITING;
        k->retry_ms = 0;
        loop_timer_start(&k->timer, 0);
        tell_owner(k, "");
        break;
    case STANDBY_TAKEN:
        empty_place(p);
        loop_timer_start(&k->timer, REFILL_MS);
        tell_owner(k, "");
        break;
    default:
        empty_place(p);
        failed(k, rest);
    }
}

static void on_channel(loop_fd *watcher, uint32_t events) {
    place *p = watcher->user;
    keeper *k = p->keeper;
    char text[1 + NB_ERROR_MESSAGE_SIZE];
    ssize_t n = recv(watcher->fd, text, sizeof(text) - 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (k->ending) {
        if (n <= 0)
            empty_place(p);
        if (count_places(k, EMPTY) == k->order.count)
            loop_quit(k->l);
        return;
    }
    text[n > 0 ? n : 0] = '\0';
    on_word(p, n > 0 ? text[0] : STANDBY_FAILED, n > 0 ? text + 1 : "the process of a machine that waited has ended");
}

/* Nobody waits for those that are somebody's shims by then. */
static void reap_by_kernel(bool yes) {
    (void) sigaction(SIGCHLD, &(struct sigaction){.sa_handler = yes ? SIG_IGN : SIG_DFL}, NULL);
}

/* In the new process: all that it has of ours are the order, the folder and its end of the channel. */
static _Noreturn void become_standby(const keeper *k, int channel) {
    (void) setsid();
    reap_by_kernel(false);
    if (dup3(channel, WIRE_SHIM_SOCKET_FD, O_CLOEXEC) < 0 || close_range(WIRE_SHIM_OWNER_FD, ~0u, 0) < 0)
        _exit(1);
    _exit(standby_main(&k->order, WIRE_SHIM_FOLDER_FD, WIRE_SHIM_SOCKET_FD));
}

static void start_one(keeper *k, place *p) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
        failed(k, "a socket pair could not be made");
        return;
    }
    pid_t pid = fork();
    if (pid == 0)
        become_standby(k, ends[1]);
    (void) fd_close(ends[1]);
    if (pid < 0 || loop_fd_init(k->l, &p->channel, ends[0], EPOLLIN, on_channel, p) < 0) {
        (void) fd_close(ends[0]);
        failed(k, "a process could not be made");
        return;
    }
    p->state = STARTING;
}

static void on_timer(loop_timer *timer) {
    keeper *k = timer->user;
    if (!k->bytes || k->ending) {
        loop_quit(k->l);
        return;
    }
    for (size_t i = 0; i < k->order.count && count_places(k, STARTING) == 0; i++) {
        if (k->places[i].state == EMPTY)
            start_one(k, &k->places[i]);
    }
}

/* Whether somebody is at it, or was a moment ago: its lock comes after it. */
static bool is_being_made(const char *name) {
    struct stat status;
    return name[0] == '.' && fstatat(WIRE_SHIM_FOLDER_FD, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           status.st_mtime + MAKING_S > time(NULL);
}

/* What processes that were killed have left. */
static void sweep(void) {
    DIR *list = file_list(WIRE_SHIM_FOLDER_FD);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        char path[sizeof(entry->d_name) + sizeof("/" WIRE_STANDBY_LOCK)];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || is_being_made(entry->d_name))
            continue;
        (void) snprintf(path, sizeof(path), "%s/" WIRE_STANDBY_LOCK, entry->d_name);
        CLEANUP(cleanup_fd) int lock = openat(WIRE_SHIM_FOLDER_FD, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (lock >= 0 ? lock_take(lock) == 0 : errno == ENOENT)
            (void) file_remove_tree(WIRE_SHIM_FOLDER_FD, entry->d_name);
    }
    if (list)
        (void) closedir(list);
}

/* --------------------------------------------------------------------------------------------------------------- the owner */

static void begin_ending(keeper *k) {
    if (k->ending)
        return;
    k->ending = true;
    if (count_places(k, EMPTY) == k->order.count) {
        loop_quit(k->l);
        return;
    }
    for (size_t i = 0; i < k->order.count; i++) {
        if (k->places[i].state != EMPTY)
            (void) shutdown(k->places[i].channel.fd, SHUT_WR);
    }
    loop_timer_start(&k->timer, DRAIN_MS);
}

static int on_owner_message(link_end *end, uint16_t id, const uint8_t *bytes, size_t length) {
    keeper *k = end->user;
    if (k->bytes || id != id_of_msg_standby || !(k->bytes = malloc(length)))
        return -NB_E_PROTOCOL;
    memcpy(k->bytes, bytes, length);
    if (wire_decode_standby(k->bytes, length, &k->order) < 0 || k->order.count == 0 || k->order.count > WIRE_STANDBY_MAX) {
        k->order = (msg_standby){0};
        return -NB_E_PROTOCOL;
    }
    sweep();
    loop_timer_start(&k->timer, 0);
    return 0;
}

static void on_owner_closed(link_end *end, const char *why) {
    begin_ending(end->user);
}

static const link_handlers owner_handlers = {
    .on_message = on_owner_message,
    .on_closed = on_owner_closed,
};

static void on_owner_ended(loop_fd *watcher, uint32_t events) {
    loop_fd_done(watcher);
    begin_ending(watcher->user);
}

int keeper_main(void) {
    static keeper k = {.owner = {.fd = -1}};
    k.l = loop_new();
    /* Ours until the end: who closes a pool waits for that. */
    CLEANUP(cleanup_fd) int sign_of_life = fcntl(WIRE_SHIM_SOCKET_FD, F_DUPFD_CLOEXEC, WIRE_SHIM_OWNER_FD + 1);
    if (!k.l || sign_of_life < 0 || loop_fd_init(k.l, &k.owner_watcher, WIRE_SHIM_OWNER_FD, EPOLLIN, on_owner_ended, &k) < 0 ||
        link_init(k.l, &k.owner, WIRE_SHIM_SOCKET_FD, TO_SHIM, &owner_handlers, &k) < 0)
        return 1;
    reap_by_kernel(true);
    for (size_t i = 0; i < WIRE_STANDBY_MAX; i++)
        k.places[i].keeper = &k;
    loop_timer_init(k.l, &k.timer, on_timer, &k);
    loop_timer_start(&k.timer, FIRST_ORDER_MS);
    int result = loop_run(k.l);
    link_done(&k.owner);
    loop_timer_done(&k.timer);
    free(k.bytes);
    return result < 0 ? 1 : 0;
}
