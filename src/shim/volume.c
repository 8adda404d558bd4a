/* SPDX-License-Identifier: Apache-2.0
 *
 * volume.c - the box's volumes: a file server for each, between it and the agent
 *
 * Theory of operation
 *   nestbox-files (src/files) serves one volume over one socket. What the agent sends of the volume's channel goes into it as it is, and its
 *   answers go back: whether the bytes make sense is for the server to see, which is confined, and not for us. Neither side is ever waited for:
 *   the agent gets credit for what the server has taken, and of the server is read what the agent has room for.
 *   A server's first word is a NUL, or why it cannot serve. When one ends, its volume does, and the box goes on: who uses it in there gets an
 *   error.
 *   Agent and shim end a stream each, and send nothing of the volume after that; its number is free when both have.
 */
#include "shim/volume-private.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "machine/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static uint32_t requests_channel(const volume *v) {
    return wire_channel(WIRE_VOLUME_EXEC_ID(v->id), WIRE_STREAM_STDOUT);
}

static uint32_t answers_channel(const volume *v) {
    return wire_channel(WIRE_VOLUME_EXEC_ID(v->id), WIRE_STREAM_STDIN);
}

bool volume_has_channel(uint32_t channel) {
    return wire_channel_exec(channel) > WIRE_EXEC_ID_MAX;
}

static volume *find_by_channel(shim *s, uint32_t channel) {
    volume *v = s->volumes;
    while (v && (wire_channel_exec(channel) != WIRE_VOLUME_EXEC_ID(v->id) || !v->announced))
        v = v->next;
    return v;
}

bool volume_is_served(const volume *v) {
    return strcmp(v->words[WORD_KIND], WIRE_MOUNT_VOLUME) == 0;
}

/* ---------------------------------------------------------------------------------------------------------- the server */

static void reap(volume *v) {
    if (v->pid == 0)
        return;
    (void) process_signal(v->pidfd, SIGKILL);
    while (waitpid(v->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    v->pid = 0;
}

void volume_close_server(volume *v) {
    loop_fd_done(&v->socket_watcher);
    loop_fd_done(&v->process_watcher);
    v->socket = fd_close(v->socket);
    reap(v);
    v->pidfd = fd_close(v->pidfd);
    buf_done(&v->queue);
    if (v->announced && !v->answers_ended)
        link_end_of_stream(&v->shim->agent, answers_channel(v));
    v->answers_ended = true;
}

static void lose(volume *v, const char *why) {
    volume_close_server(v);
    volume_server_is_lost(v, why);
}

static void on_process(loop_fd *watcher, uint32_t events) {
    lose(watcher->user, "its file server died");
}

static bool may_read(const volume *v) {
    return v->answers.credit > 0 && link_has_room(&v->shim->agent);
}

void volume_watch(volume *v) {
    bool readable = v->state == VOLUME_STARTING || may_read(v);
    (void) loop_fd_set_events(&v->socket_watcher, (readable ? EPOLLIN : 0) | (buf_length(&v->queue) > 0 ? EPOLLOUT : 0));
}

/* What the server has taken may be sent again. */
static void give_back(volume *v, size_t length) {
    uint32_t credit = wire_inflow_consumed(&v->requests, length);
    if (credit > 0 && !v->answers_ended)
        link_credit(&v->shim->agent, requests_channel(v), credit);
}

static void read_first_word(volume *v) {
    ssize_t n = read(v->socket, v->first_word + v->first_word_bytes, sizeof(v->first_word) - 1 - v->first_word_bytes);
    if (n > 0 && v->first_word_bytes == 0 && v->first_word[0] == '\0') {
        volume_server_is_ready(v);
        return;
    }
    if (n > 0)
        v->first_word_bytes += (size_t) n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        lose(v, v->first_word_bytes > 0 ? v->first_word : "its file server did not start");
}

static void read_answers(volume *v) {
    ssize_t n = link_data_from_fd(&v->shim->agent, answers_channel(v), v->socket, v->answers.credit);
    if (n > 0) {
        v->answers.credit -= (uint32_t) n;
        volume_watch(v);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR && errno != ENOMEM)) {
        lose(v, "its file server ended: the guest has sent what no kernel does, or it failed");
    }
}

static void write_requests(volume *v) {
    ssize_t n = write(v->socket, buf_bytes(&v->queue), buf_length(&v->queue));
    if (n > 0) {
        buf_consume(&v->queue, (size_t) n);
        give_back(v, (size_t) n);
        volume_watch(v);
    }
}

/* The last step may free the volume. */
static void on_socket(loop_fd *watcher, uint32_t events) {
    volume *v = watcher->user;
    if (events & EPOLLOUT && buf_length(&v->queue) > 0)
        write_requests(v);
    if (v->state == VOLUME_STARTING)
        read_first_word(v);
    else if (may_read(v))
        read_answers(v);
}

int volume_start_server(volume *v, const char *program, nb_error *err) {
    CLEANUP(buf_done) buf argv;
    CLEANUP(cleanup_fd) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct stat status;
    int ends[2];
    buf_init(&argv, WIRE_PATH_MAX_BYTES * 3);
    if (!strv_add(&argv, program) || !strv_add(&argv, v->words[WORD_SOURCE]) ||
        !strv_add(&argv, strcmp(v->words[WORD_OPTIONS], WIRE_MOUNT_READ_ONLY) == 0 ? "ro" : "rw"))
        return nb_fail_oom(err);
    if (stat(v->words[WORD_SOURCE], &status) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "mount '%s' at '%s'", v->words[WORD_SOURCE], v->words[WORD_TARGET]);
    v->file = !S_ISDIR(status.st_mode);
    if (null < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "make a socket pair");
    v->socket = ends[0];
    int result = launch_program(strv_of(&argv), (const int[3]){ends[1], null, null}, 3, &v->pid, &v->pidfd, err);
    (void) fd_close(ends[1]);
    if (result < 0)
        return result;
    loop *l = v->shim->loop;
    if (fd_set_nonblock(v->socket, true) < 0 || loop_fd_init(l, &v->socket_watcher, v->socket, EPOLLIN, on_socket, v) < 0 ||
        loop_fd_init(l, &v->process_watcher, v->pidfd, EPOLLIN, on_process, v) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "watch a file server");
    return 0;
}

/* -------------------------------------------------------------------------------------------------- requests, answers */

int volume_request(shim *s, uint32_t channel, const uint8_t *bytes, size_t length) {
    volume *v = find_by_channel(s, channel);
    if (!v || channel != requests_channel(v) || v->requests_ended || !wire_inflow_received(&v->requests, length))
        return -NB_E_PROTOCOL;
    if (length == 0) {
        v->requests_ended = true;
        volume_agent_has_left(v);
        return 0;
    }
    if (v->socket < 0)
        return 0;
    size_t taken = 0;
    if (buf_length(&v->queue) == 0) {
        ssize_t n = write(v->socket, bytes, length);
        taken = n > 0 ? (size_t) n : 0;
    }
    give_back(v, taken);
    if (taken < length && !buf_append(&v->queue, bytes + taken, length - taken))
        lose(v, "memory is out");
    else
        volume_watch(v);
    return 0;
}

int volume_agent_credit(shim *s, uint32_t channel, uint32_t credit) {
    volume *v = find_by_channel(s, channel);
    if (!v || channel != answers_channel(v) || !wire_outflow_granted(&v->answers, credit))
        return -NB_E_PROTOCOL;
    if (v->socket >= 0)
        volume_watch(v);
    return 0;
}

void volumes_agent_has_room(shim *s) {
    for (volume *v = s->volumes; v; v = v->next) {
        if (v->socket >= 0)
            volume_watch(v);
    }
}
