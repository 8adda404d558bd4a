/* SPDX-License-Identifier: Apache-2.0
 *
 * client.c - box.sock, and who has connected to it
 *
 * A connection is for one thing: a LAUNCH (the shim's first connection alone), one exec, an attachment, a LIST, a DETACH, a STOP, or COUNTs.
 */
#include "shim/client.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "shim/session.h"
#include "shim/stats.h"
#include "shim/volume.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 1024
/* A connection that cannot be accepted waits so long: looking at it at once would take all of a processor. */
#define ACCEPT_RETRY_MS 50

struct client {
    shim *shim;
    client *next;
    link_end link;
    session *session; /* NULL before it has one, and after its exec ended */
    client *next_watcher;
    bool used;   /* it has asked for its one thing */
    bool failed; /* FAILED was the answer, and is the last word */
    bool awaits_stats;
};

static void client_free(client *c) {
    shim *s = c->shim;
    for (client **at = &s->clients; *at; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            s->client_count--;
            break;
        }
    }
    if (s->launcher == c)
        s->launcher = NULL;
    volumes_forget_client(s, c);
    session_leave(c);
    link_done(&c->link);
    free(c);
}

link_end *client_link(client *c) {
    return &c->link;
}

session *client_session(const client *c) {
    return c->session;
}

void client_set_session(client *c, session *x) {
    c->session = x;
}

client **client_next_watcher(client *c) {
    return &c->next_watcher;
}

bool client_was_failed(const client *c) {
    return c->failed;
}

void client_fail(client *c, const nb_error *why) {
    c->failed = true;
    link_send(
        &c->link, wire_encode_failed,
        (&(msg_failed){.code = why->code, .error = why->system_errno, .message = wire_str(why->message), .hint = wire_str(why->hint)}));
}

void client_await_stats(client *c) {
    c->awaits_stats = true;
}

void client_tell_stats(shim *s, const msg_counted *counted) {
    for (client *c = s->clients; c; c = c->next) {
        if (c->awaits_stats)
            link_send(&c->link, wire_encode_counted, counted);
        c->awaits_stats = false;
    }
}

void client_fail_stats(shim *s) {
    nb_error why;
    (void) nb_fail(&why, NB_E_STOPPED, 0, "measure the box: it was stopped");
    for (client *c = s->clients; c; c = c->next) {
        if (c->awaits_stats)
            client_fail(c, &why);
        c->awaits_stats = false;
    }
}

static void begin_exec(client *c, const msg_spawn *spawn) {
    shim *s = c->shim;
    nb_error why;
    if (!shim_takes_execs(s)) {
        (void) nb_fail(&why, NB_E_STOPPED, 0, "start the exec: the box is not running");
        client_fail(c, &why);
        return;
    }
    msg_spawn order = *spawn;
    order.exec_id = 0;
    order.spawn_flags &=
        WIRE_SPAWN_TTY | WIRE_SPAWN_STDIN | WIRE_SPAWN_NO_NEW_PRIVILEGES | WIRE_SPAWN_DETACHED | WIRE_SPAWN_COPY | WIRE_SPAWN_PROCESSES;
    if (session_begin(s, c, &order, &why) < 0)
        client_fail(c, &why);
}

static int begin_mount(client *c, uint16_t id, const uint8_t *bytes, size_t length) {
    nb_error why;
    msg_mount mount;
    msg_unmount unmount;
    int result;
    if (id == id_of_msg_mount) {
        if (wire_decode_mount(bytes, length, &mount) < 0)
            return -NB_E_PROTOCOL;
        result = volumes_mount(c->shim, c, &mount, &why);
    } else {
        if (wire_decode_unmount(bytes, length, &unmount) < 0)
            return -NB_E_PROTOCOL;
        result = volumes_unmount(c->shim, c, &unmount, &why);
    }
    if (result < 0)
        client_fail(c, &why);
    return 0;
}

static int first_request(client *c, uint16_t id, const uint8_t *bytes, size_t length) {
    shim *s = c->shim;
    nb_error why;
    msg_spawn spawn;
    msg_attach attach;
    msg_stop stop;
    c->used = true;
    switch (id) {
    case id_of_msg_launch:
        if (shim_launch(s, c, bytes, length, &why) < 0)
            client_fail(c, &why);
        return 0;
    case id_of_msg_spawn:
        if (wire_decode_spawn(bytes, length, &spawn) < 0)
            return -NB_E_PROTOCOL;
        begin_exec(c, &spawn);
        return 0;
    case id_of_msg_attach:
        if (wire_decode_attach(bytes, length, &attach) < 0)
            return -NB_E_PROTOCOL;
        if (session_attach(s, c, attach.id, attach.attach_flags & WIRE_ATTACH_WATCH, &why) < 0)
            client_fail(c, &why);
        return 0;
    case id_of_msg_list:
        session_list(s, c);
        return 0;
    case id_of_msg_count:
        if (stats_ask(s, c, &why) < 0)
            client_fail(c, &why);
        return 0;
    case id_of_msg_mount:
    case id_of_msg_unmount:
        return begin_mount(c, id, bytes, length);
    case id_of_msg_detach:
        s->orders.launch.launch_flags |= WIRE_LAUNCH_DETACH;
        link_send(&c->link, wire_encode_attached, (&(msg_attached){0})); /* of no exec */
        return 0;
    case id_of_msg_stop:
        if (wire_decode_stop(bytes, length, &stop) < 0)
            return -NB_E_PROTOCOL;
        shim_stop(s, NB_END_STOP, stop.grace_ms == UINT32_MAX ? s->orders.launch.stop_timeout_ms : stop.grace_ms);
        return 0;
    default:
        return -NB_E_PROTOCOL;
    }
}

static int on_message(link_end *end, uint16_t id, const uint8_t *bytes, size_t length) {
    client *c = end->user;
    msg_signal signal;
    msg_resize resize;
    if (!c->used || id == id_of_msg_count)
        return first_request(c, id, bytes, length);
    switch (id) {
    case id_of_msg_detach:
        session_detach(c);
        return 0;
    case id_of_msg_signal:
        return wire_decode_signal(bytes, length, &signal) < 0 ? -NB_E_PROTOCOL : session_signal(c, &signal);
    case id_of_msg_resize:
        return wire_decode_resize(bytes, length, &resize) < 0 ? -NB_E_PROTOCOL : session_resize(c, &resize);
    default:
        return -NB_E_PROTOCOL;
    }
}

static int on_data(link_end *end, uint32_t channel, const uint8_t *bytes, size_t length) {
    return session_input(end->user, channel, bytes, length);
}

static int on_credit(link_end *end, uint32_t channel, uint32_t credit) {
    return session_client_credit(end->user, channel, credit);
}

static void on_closed(link_end *end, const char *why) {
    client *c = end->user;
    if (why)
        log_warning(&c->shim->log, "client: closed a connection: %s", why);
    client_free(c);
}

static const link_handlers handlers = {
    .on_message = on_message,
    .on_data = on_data,
    .on_credit = on_credit,
    .on_closed = on_closed,
};

client *client_new(shim *s, int fd) {
    client *c = calloc(1, sizeof(*c));
    if (!c) {
        (void) fd_close(fd);
        return NULL;
    }
    c->shim = s;
    if (link_init(s->loop, &c->link, fd, TO_SHIM, &handlers, c) < 0) {
        free(c);
        return NULL;
    }
    c->next = s->clients;
    s->clients = c;
    s->client_count++;
    return c;
}

bool client_may_come_in(int fd) {
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

static void on_connection(loop_fd *watcher, uint32_t events) {
    shim *s = watcher->user;
    int fd = accept4(watcher->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
        (void) loop_fd_set_events(watcher, 0);
        loop_timer_start(&s->server_timer, ACCEPT_RETRY_MS);
    }
    if (fd < 0)
        return;
    if (s->client_count >= CLIENTS_MAX || !client_may_come_in(fd)) {
        log_warning(&s->log, "client: refused a connection: %s", s->client_count >= CLIENTS_MAX ? "too many" : "another user's process");
        (void) fd_close(fd);
        return;
    }
    (void) client_new(s, fd);
}

static void on_accept_retry(loop_timer *timer) {
    shim *s = timer->user;
    (void) loop_fd_set_events(&s->server_watcher, EPOLLIN);
}

int client_listen(shim *s) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    /* Through the folder's descriptor, because a home's path may be longer than sun_path. */
    (void) snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", s->folder, SOCKET_FILE);
    if (unlinkat(s->folder, SOCKET_FILE, 0) < 0 && errno != ENOENT) /* left by a shim that was killed; we hold the box's lock */
        return -1;
    CLEANUP(cleanup_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0177);
    int bound = fd < 0 ? -1 : bind(fd, (struct sockaddr *) &address, sizeof(address));
    (void) umask(before);
    if (bound < 0 || listen(fd, BACKLOG) < 0 || loop_fd_init(s->loop, &s->server_watcher, fd, EPOLLIN, on_connection, s) < 0)
        return -1;
    (void) take_fd(&fd);
    loop_timer_init(s->loop, &s->server_timer, on_accept_retry, s);
    return 0;
}

void client_listen_done(shim *s) {
    if (!s->server_watcher.owner)
        return;
    loop_timer_done(&s->server_timer);
    int fd = s->server_watcher.fd;
    loop_fd_done(&s->server_watcher);
    (void) fd_close(fd);
    (void) unlinkat(s->folder, SOCKET_FILE, 0);
}

size_t client_end_flushed(shim *s) {
    for (client *c = s->clients, *next; c; c = next) {
        next = c->next;
        if (!c->session && buf_length(link_queue(&c->link)) == 0)
            client_free(c);
    }
    return s->client_count;
}
