/* SPDX-License-Identifier: Apache-2.0
 *
 * standby.c - a machine that waits to be some box's
 *
 * Theory of operation
 *   It goes on from an image's template, with a disk of its own, and waits before the SETUP that would make it a box's: it has a container and nobody's
 *   name, limits or randomness yet. Its shim listens in a folder of its own (wire/standby.h), and serves one taker: it leaves off listening before it
 *   answers, so that nobody else can have it. From then on it is a shim like any other, except that there is a machine when the order to launch
 *   comes; the disk moves into the box's folder, where an untouched one lay, with one rename(2).
 *   Whoever goes first takes the other along: when the machine ends the shim does, and when the keeper goes, which the channel tells, both do.
 */
#include "shim/standby.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/id.h"
#include "base/lock.h"
#include "jail/broker.h"
#include "machine/qcow2.h"
#include "machine/template.h"
#include "shim/client.h"
#include "shim/process.h"
#include "shim/rehearsal.h"
#include "shim/start.h"
#include "wire/standby.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A restored machine has done its slow part before. */
#define READY_TIMEOUT_MS 20000
/* Who connects sends at once what it is for. */
#define TAKE_TIMEOUT_MS 1000
#define TAKERS_WAITING 16
#define DRAIN_MS 1000

#define TAKER_FDS 2u

#define NAME_SIZE 128

struct standby {
    shim s;
    shim_process process;
    int all, folder, lock; /* of all that wait; of this one, and what says that it is somebody's */
    char name[NAME_SIZE];  /* of the folder; "": there is none */
    int listener, channel;
    loop_fd listener_watcher, channel_watcher;
    loop_timer timer;
    rehearsal rehearsal;
    uint64_t waits_since_ms;
};

static void tell_keeper(standby *w, char what, const char *why) {
    char text[1 + NB_ERROR_MESSAGE_SIZE];
    int length = snprintf(text, sizeof(text), "%c%s", what, why);
    if (w->channel >= 0)
        (void) send(w->channel, text, (size_t) length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void give_up(standby *w, const char *why) {
    log_error(&w->s.log, "standby: %s", why);
    tell_keeper(w, STANDBY_FAILED, why);
    loop_quit(w->s.loop);
}

/* Nobody else can take it any more. */
static void stop_listening(standby *w) {
    loop_fd_done(&w->listener_watcher);
    w->listener = fd_close(w->listener);
    (void) unlinkat(w->folder, WIRE_STANDBY_SOCKET, 0);
}

/* The keeper is told no more, and its end is not this one's. */
static void leave_keeper(standby *w) {
    loop_fd_done(&w->channel_watcher);
    w->channel = fd_close(w->channel);
}

/* ----------------------------------------------------------------------------------------------------------- being taken */

static void become_shim(standby *w, int connection, const int fds[TAKER_FDS]) {
    nb_error why;
    client *first = client_new(&w->s, connection);
    if (!first) {
        give_up(w, "there is no memory for its first client");
        return;
    }
    int result = shim_enter(&w->s, fds[0], &why);
    if (result == 0 && process_begin_duty(&w->s, &w->process, fds[1]) < 0)
        result = nb_fail(&why, NB_E_INTERNAL, errno, "watch the box's owner");
    if (result < 0) {
        client_fail(first, &why);
        link_drain(client_link(first), DRAIN_MS);
        loop_quit(w->s.loop);
        return;
    }
    log_info(&w->s.log, "standby: the machine has waited for %" PRIu64 " ms", clock_monotonic_ms() - w->waits_since_ms);
}

static void on_taker(loop_fd *watcher, uint32_t events) {
    standby *w = watcher->user;
    char byte = 0;
    int fds[FD_PASS_MAX];
    size_t count = 0;
    CLEANUP(cleanup_fd) int connection = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection < 0 || !client_may_come_in(connection))
        return;
    struct pollfd readable = {.fd = connection, .events = POLLIN};
    ssize_t n = poll(&readable, 1, TAKE_TIMEOUT_MS) == 1 ? fd_receive_message(connection, &byte, 1, fds, &count) : -1;
    bool taken = n == 1 && byte == WIRE_STANDBY_TAKE && count == TAKER_FDS;
    if (taken) {
        const char answer = WIRE_STANDBY_TAKEN;
        stop_listening(w);
        taken = send(connection, &answer, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
    }
    if (taken) {
        tell_keeper(w, STANDBY_TAKEN, "");
        leave_keeper(w);
        become_shim(w, take_fd(&connection), fds);
        return;
    }
    for (size_t i = 0; n > 0 && i < count; i++)
        (void) fd_close(fds[i]);
    if (w->listener < 0) /* it was to be somebody's who has gone meanwhile */
        loop_quit(w->s.loop);
}

static int listen_for_takers(standby *w) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void) snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" WIRE_STANDBY_SOCKET, w->folder);
    w->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (w->listener < 0 || bind(w->listener, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(w->listener, TAKERS_WAITING) < 0)
        return -1;
    return loop_fd_init(w->s.loop, &w->listener_watcher, w->listener, EPOLLIN, on_taker, w);
}

/* A machine that has waited in vain, or cannot be had. */
static void drop_machine(standby *w) {
    machine_free(w->s.machine);
    w->s.machine = NULL;
    link_done(&w->s.agent);
    broker_free(take_ptr(&w->s.broker));
    w->s.console = fd_close(w->s.console);
}

bool standby_hand_over(shim *s) {
    standby *w = take_ptr(&s->standby);
    CLEANUP(cleanup_fd) int disk = openat(s->folder, DISK_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (disk < 0 || !qcow2_is_untouched(disk))
        log_info(&s->log, "standby: the box has run meanwhile: it has a machine of its own");
    else if (renameat(w->folder, CONSOLE_FILE, s->folder, CONSOLE_FILE) < 0 || renameat(w->folder, DISK_FILE, s->folder, DISK_FILE) < 0)
        log_warning(&s->log, "standby: move the machine's files into the box's folder: %m: it has a machine of its own");
    else
        return true;
    drop_machine(w);
    return false;
}

/* --------------------------------------------------------------------------------------------------------------- waiting */

static void on_rehearsed(void *user) {
    standby *w = user;
    loop_timer_stop(&w->timer);
    if (listen_for_takers(w) < 0) {
        give_up(w, "it cannot be reached: its socket could not be made");
        return;
    }
    w->waits_since_ms = clock_monotonic_ms();
    tell_keeper(w, STANDBY_WAITS, "");
}

static void on_machine_running(void *user) {
    standby *w = user;
    rehearsal_begin(&w->rehearsal);
}

static void on_machine_ended(void *user, const machine_end *end) {
    standby *w = user;
    link_done(&w->s.agent);
    machine_free(w->s.machine);
    w->s.machine = NULL;
    give_up(w, end->reason);
}

static void on_timer(loop_timer *timer) {
    give_up(timer->user, "the machine did not go on from its template in time");
}

static void on_keeper_gone(loop_fd *watcher, uint32_t events) {
    standby *w = watcher->user;
    loop_quit(w->s.loop);
}

static rehearsal *rehearsal_of(link_end *end) {
    shim *s = end->user;
    return &s->standby->rehearsal;
}

static int on_agent_message(link_end *end, uint16_t id, const uint8_t *bytes, size_t length) {
    return rehearsal_message(rehearsal_of(end), id, bytes, length);
}

static int on_agent_data(link_end *end, uint32_t channel, const uint8_t *bytes, size_t length) {
    return rehearsal_data(rehearsal_of(end));
}

static void on_agent_closed(link_end *end, const char *why) {
    shim *s = end->user;
    if (why)
        machine_kill(s->machine); /* its end is just behind otherwise */
}

static const link_handlers agent_handlers = {
    .on_message = on_agent_message,
    .on_data = on_agent_data,
    .on_closed = on_agent_closed,
};

/* Under another name until it is locked: what is called after a key and is nobody's may be swept. */
static int make_folder(standby *w, const char *key, nb_error *err) {
    char id[ID_SIZE], name[NAME_SIZE];
    if (id_generate(id) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "take random bytes from the host's kernel");
    (void) snprintf(w->name, sizeof(w->name), ".%s.new", id);
    if (mkdirat(w->all, w->name, 0700) < 0) {
        w->name[0] = '\0';
        return nb_fail(err, nb_code_of_errno(errno), errno, "make a folder for a machine that waits");
    }
    w->folder = openat(w->all, w->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    w->lock = w->folder < 0 ? -1 : openat(w->folder, WIRE_STANDBY_LOCK, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    (void) snprintf(name, sizeof(name), "%s.%s", key, id);
    if (w->lock < 0 || lock_take(w->lock) < 0 || renameat(w->all, w->name, w->all, name) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make a folder for a machine that waits");
    (void) snprintf(w->name, sizeof(w->name), "%s", name);
    w->s.folder = w->folder;
    shim_log_to_folder(&w->s);
    return 0;
}

static int make_disk(standby *w, const msg_standby *order, nb_error *err) {
    CLEANUP(cleanup_free) char *backing = wire_str_copy(order->backing);
    if (!backing)
        return nb_fail_oom(err);
    CLEANUP(cleanup_fd) int disk = openat(w->folder, DISK_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return disk < 0 ? nb_fail(err, nb_code_of_errno(errno), errno, "make its disk")
                    : qcow2_create_overlay(disk, backing, order->disk_bytes, err);
}

static int begin(standby *w, const msg_standby *order, nb_error *err) {
    const machine_events events = {.user = w, .on_running = on_machine_running, .on_ended = on_machine_ended};
    CLEANUP(cleanup_free) char *path = wire_str_copy(order->template_path);
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (!slash)
        return path ? nb_fail(err, NB_E_PROTOCOL, 0, "understand the order to keep machines") : nb_fail_oom(err);
    int result = make_folder(w, slash + 1, err);
    if (result == 0)
        result = make_disk(w, order, err);
    if (result < 0)
        return result;
    w->s.orders.launch = (msg_launch){
        .qemu = order->qemu,
        .accelerator = order->accelerator,
        .base_disk = order->base_disk,
        .image_template_path = order->template_path,
        .memory_bytes = order->memory_bytes,
        .cpus = order->cpus,
    };
    result = start_machine(&w->s, &events, &agent_handlers, err);
    if (!w->s.restored_image) /* and without a kernel there is no other way */
        return nb_fail(err, NB_E_MACHINE, 0, "the template is not to be relied on, or QEMU could write to it");
    if (result == 0) {
        w->s.standby = w;
        w->rehearsal.machine = w->s.machine;
        w->rehearsal.memory_bytes = order->memory_bytes;
        loop_timer_start(&w->timer, READY_TIMEOUT_MS);
    }
    return result;
}

static int init(standby *w, int folder, int channel) {
    *w = (standby){.all = folder, .channel = channel, .folder = -1, .lock = -1, .listener = -1};
    loop *l = loop_new();
    if (!l)
        return -1;
    shim_init(&w->s, l);
    loop_timer_init(l, &w->timer, on_timer, w);
    w->rehearsal = (rehearsal){.agent = &w->s.agent, .on_done = on_rehearsed, .user = w};
    return process_watch_signals(&w->s, &w->process) < 0 || loop_fd_init(l, &w->channel_watcher, w->channel, EPOLLIN, on_keeper_gone, w) < 0
               ? -1
               : 0;
}

/* All but what the box has that took it. */
static void end(standby *w) {
    if (w->listener >= 0)
        stop_listening(w);
    loop_fd_done(&w->channel_watcher);
    loop_timer_done(&w->timer);
    if (w->s.machine)
        drop_machine(w);
    shim_done(&w->s);
    if (w->name[0])
        (void) file_remove_tree(w->all, w->name);
    w->lock = fd_close(w->lock);
    w->folder = fd_close(w->folder);
    w->channel = fd_close(w->channel); /* last: it is the sign that nothing is left */
}

int standby_main(const msg_standby *order, int folder, int channel) {
    standby w;
    nb_error why;
    if (init(&w, folder, channel) < 0)
        return 1;
    int result = begin(&w, order, &why);
    if (result < 0)
        give_up(&w, why.message);
    else
        result = loop_run(w.s.loop);
    end(&w);
    return result < 0 ? 1 : 0;
}
