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
 *   Mounting is an exec (wire/mount-order.h), one at a time: a target may lie in another volume.
 */
#include "shim/volume.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "machine/launch.h"
#include "shim/session.h"
#include "wire/mount-order.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_WORD_MAX_BYTES 1024u

/* STARTING  a server that has not said its first word; leaves by it -> READY, or fails the start
 * READY     leaves by volumes_mount() -> MOUNTING; a tmpfs begins here
 * MOUNTING  the mounter runs
 * MOUNTED
 * GONE      its server has ended */
typedef enum volume_state { VOLUME_STARTING, VOLUME_READY, VOLUME_MOUNTING, VOLUME_MOUNTED, VOLUME_GONE } volume_state;

struct volume {
    shim *shim;
    volume *next;
    volume_state state;
    uint32_t id;
    const char *words[WIRE_MOUNT_WORDS]; /* in the order to launch */
    bool file;                           /* the host's path is a file */
    pid_t pid;                           /* 0: none, or reaped */
    int pidfd, socket;                   /* -1: none */
    loop_fd socket_watcher, process_watcher;
    wire_inflow requests; /* from the agent */
    wire_outflow answers; /* to it */
    buf queue;            /* requests that the socket did not take */
    char first_word[FIRST_WORD_MAX_BYTES];
    size_t first_word_bytes;
};

enum { WORD_KIND, WORD_SOURCE, WORD_TARGET, WORD_OPTIONS };

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
    while (v && wire_channel_exec(channel) != WIRE_VOLUME_EXEC_ID(v->id))
        v = v->next;
    return v;
}

static bool is_served(const volume *v) {
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

static void close_server(volume *v) {
    loop_fd_done(&v->socket_watcher);
    loop_fd_done(&v->process_watcher);
    v->socket = fd_close(v->socket);
    reap(v);
    v->pidfd = fd_close(v->pidfd);
    buf_done(&v->queue);
}

/* Where it cannot start, that is why the box cannot; later the box goes on without it. */
static void lose_server(volume *v, const char *why) {
    shim *s = v->shim;
    char message[NB_ERROR_MESSAGE_SIZE];
    if (v->state == VOLUME_GONE)
        return;
    bool mounted = v->state == VOLUME_MOUNTED;
    v->state = VOLUME_GONE;
    close_server(v);
    (void) snprintf(message, sizeof(message), "mount the volume '%s' at '%s': %s", v->words[WORD_SOURCE], v->words[WORD_TARGET], why);
    if (!mounted) {
        shim_fail(s, NB_E_STORAGE, message);
        return;
    }
    log_warning(&s->log, "volume: '%s' is gone: %s", v->words[WORD_TARGET], why);
    link_end_of_stream(&s->agent, answers_channel(v));
}

static void on_process(loop_fd *watcher, uint32_t events) {
    lose_server(watcher->user, "its file server died");
}

static void watch_socket(volume *v) {
    bool readable = v->state == VOLUME_STARTING || (v->answers.credit > 0 && link_has_room(&v->shim->agent));
    (void) loop_fd_set_events(&v->socket_watcher, (readable ? EPOLLIN : 0) | (buf_length(&v->queue) > 0 ? EPOLLOUT : 0));
}

/* What the server has taken may be sent again. */
static void give_back(volume *v, size_t length) {
    uint32_t credit = wire_inflow_consumed(&v->requests, length);
    if (credit > 0)
        link_credit(&v->shim->agent, requests_channel(v), credit);
}

static void read_first_word(volume *v) {
    ssize_t n = read(v->socket, v->first_word + v->first_word_bytes, sizeof(v->first_word) - 1 - v->first_word_bytes);
    if (n > 0 && v->first_word_bytes == 0 && v->first_word[0] == '\0') {
        v->state = VOLUME_READY;
        volumes_mount(v->shim);
        return;
    }
    if (n > 0)
        v->first_word_bytes += (size_t) n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        lose_server(v, v->first_word_bytes > 0 ? v->first_word : "its file server did not start");
}

static void read_answers(volume *v) {
    shim *s = v->shim;
    ssize_t n = link_data_from_fd(&s->agent, answers_channel(v), v->socket, v->answers.credit);
    if (n > 0)
        v->answers.credit -= (uint32_t) n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR && errno != ENOMEM))
        lose_server(v, "its file server ended: the guest has sent what no kernel does, or it failed");
}

static void on_socket(loop_fd *watcher, uint32_t events) {
    volume *v = watcher->user;
    if (events & EPOLLOUT && buf_length(&v->queue) > 0) {
        ssize_t n = write(v->socket, buf_bytes(&v->queue), buf_length(&v->queue));
        if (n > 0) {
            buf_consume(&v->queue, (size_t) n);
            give_back(v, (size_t) n);
        }
    }
    if (v->state == VOLUME_STARTING)
        read_first_word(v);
    else if (v->answers.credit > 0 && link_has_room(&v->shim->agent))
        read_answers(v);
    if (v->socket >= 0)
        watch_socket(v);
}

static int start_server(volume *v, nb_error *err) {
    shim *s = v->shim;
    CLEANUP(cleanup_free) char *program = wire_str_copy(s->orders.launch.files);
    CLEANUP(buf_done) buf argv;
    CLEANUP(cleanup_fd) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct stat status;
    int ends[2];
    buf_init(&argv, WIRE_PATH_MAX_BYTES * 3);
    if (!program || !strv_add(&argv, program) || !strv_add(&argv, v->words[WORD_SOURCE]) ||
        !strv_add(&argv, strcmp(v->words[WORD_OPTIONS], WIRE_MOUNT_READ_ONLY) == 0 ? "ro" : "rw"))
        return nb_fail_oom(err);
    if (stat(v->words[WORD_SOURCE], &status) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "mount the volume '%s' at '%s'", v->words[WORD_SOURCE], v->words[WORD_TARGET]);
    v->file = !S_ISDIR(status.st_mode);
    if (null < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "make a socket pair");
    v->socket = ends[0];
    int result = launch_program(strv_of(&argv), (const int[3]){ends[1], null, null}, 3, &v->pid, &v->pidfd, err);
    (void) fd_close(ends[1]);
    if (result < 0)
        return result;
    if (fd_set_nonblock(v->socket, true) < 0 || loop_fd_init(s->loop, &v->socket_watcher, v->socket, EPOLLIN, on_socket, v) < 0 ||
        loop_fd_init(s->loop, &v->process_watcher, v->pidfd, EPOLLIN, on_process, v) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "watch a file server");
    return 0;
}

/* ----------------------------------------------------------------------------------------------------------- beginning */

static unsigned depth_of(const char *path) {
    unsigned depth = 0;
    for (const char *at = path; *at; at++)
        depth += at[0] == '/' && at[1] && at[1] != '/';
    return depth;
}

/* Behind all that lie no deeper: a target in another volume comes after it, and what was named first is mounted first. */
static void insert(shim *s, volume *v) {
    volume **at = &s->volumes;
    while (*at && depth_of((*at)->words[WORD_TARGET]) <= depth_of(v->words[WORD_TARGET]))
        at = &(*at)->next;
    v->next = *at;
    *at = v;
}

int volumes_start(shim *s, nb_error *err) {
    strv mounts = s->orders.launch.mounts;
    uint32_t id = 0;
    for (const char *word = strv_next(mounts, NULL); word; word = strv_next(mounts, word), id++) {
        volume *v = id < WIRE_VOLUMES_MAX ? calloc(1, sizeof(*v)) : NULL;
        if (!v)
            return nb_fail_oom(err);
        *v = (volume){.shim = s, .id = id, .state = VOLUME_STARTING, .pidfd = -1, .socket = -1};
        wire_inflow_init(&v->requests);
        wire_outflow_init(&v->answers);
        buf_init(&v->queue, WIRE_WINDOW_BYTES);
        for (size_t i = 0; i < WIRE_MOUNT_WORDS; i++) {
            v->words[i] = word;
            if (i + 1 < WIRE_MOUNT_WORDS)
                word = strv_next(mounts, word);
            if (!word) {
                free(v);
                return nb_fail(err, NB_E_PROTOCOL, 0, "understand the mounts of the box");
            }
        }
        insert(s, v);
        int result = is_served(v) ? start_server(v, err) : 0;
        if (result < 0)
            return result;
        if (!is_served(v))
            v->state = VOLUME_READY;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------ mounting */

static int begin_mounter(volume *v, nb_error *err) {
    shim *s = v->shim;
    CLEANUP(buf_done) buf argv;
    char number[16];
    (void) snprintf(number, sizeof(number), "%u", v->id);
    buf_init(&argv, WIRE_PATH_MAX_BYTES * 3);
    bool served = is_served(v);
    if (served) {
        uint8_t flags = (uint8_t) ((v->file ? WIRE_VOLUME_FILE : 0) |
                                   (strcmp(v->words[WORD_OPTIONS], WIRE_MOUNT_READ_ONLY) == 0 ? WIRE_VOLUME_READ_ONLY : 0));
        link_send(&s->agent, wire_encode_volume, (&(msg_volume){.volume_id = v->id, .volume_flags = flags}));
    }
    if (!strv_add(&argv, v->words[WORD_KIND]) || !strv_add(&argv, served ? number : v->words[WORD_SOURCE]) ||
        !strv_add(&argv, v->words[WORD_TARGET]) ||
        !strv_add(&argv, !served   ? v->words[WORD_OPTIONS]
                         : v->file ? WIRE_MOUNT_FILE
                                   : ""))
        return nb_fail_oom(err);
    msg_spawn order = {
        .spawn_flags = WIRE_SPAWN_MOUNT | WIRE_SPAWN_DETACHED,
        .argv = strv_of(&argv),
        .console_timeout_ms = WIRE_CONSOLE_TIMEOUT_DEFAULT_MS,
    };
    return session_begin(s, NULL, &order, err);
}

void volumes_mount(shim *s) {
    nb_error err;
    if (s->state != SHIM_MOUNTING)
        return;
    for (volume *v = s->volumes; v; v = v->next) {
        if (v->state == VOLUME_MOUNTING || v->state == VOLUME_STARTING)
            return; /* its turn, and it is on its way */
        if (v->state != VOLUME_READY)
            continue;
        v->state = VOLUME_MOUNTING;
        if (begin_mounter(v, &err) < 0)
            shim_fail(s, err.code, err.message);
        return;
    }
    shim_mounted(s);
}

void volumes_mounter_ended(shim *s, bool good, const char *text, size_t length) {
    char message[NB_ERROR_MESSAGE_SIZE];
    volume *v = s->volumes;
    while (v && v->state != VOLUME_MOUNTING)
        v = v->next;
    if (!v)
        return;
    if (good) {
        v->state = VOLUME_MOUNTED;
        if (v->socket >= 0)
            watch_socket(v);
        volumes_mount(s);
        return;
    }
    while (length > 0 && text[length - 1] == '\n')
        length--;
    (void) snprintf(message, sizeof(message), "%.*s", (int) length, text);
    shim_fail(s, NB_E_STORAGE, message);
}

/* -------------------------------------------------------------------------------------------------- requests, answers */

int volume_request(shim *s, uint32_t channel, const uint8_t *bytes, size_t length) {
    volume *v = find_by_channel(s, channel);
    if (!v || channel != requests_channel(v) || v->state < VOLUME_MOUNTING || !wire_inflow_received(&v->requests, length))
        return -NB_E_PROTOCOL;
    if (v->socket < 0 || length == 0) {
        give_back(v, length);
        return 0;
    }
    size_t taken = 0;
    if (buf_length(&v->queue) == 0) {
        ssize_t n = write(v->socket, bytes, length);
        taken = n > 0 ? (size_t) n : 0;
    }
    give_back(v, taken);
    if (taken < length && !buf_append(&v->queue, bytes + taken, length - taken)) {
        lose_server(v, "memory is out");
        return 0;
    }
    watch_socket(v);
    return 0;
}

int volume_agent_credit(shim *s, uint32_t channel, uint32_t credit) {
    volume *v = find_by_channel(s, channel);
    if (!v || channel != answers_channel(v) || !wire_outflow_granted(&v->answers, credit))
        return -NB_E_PROTOCOL;
    if (v->socket >= 0)
        watch_socket(v);
    return 0;
}

void volumes_agent_has_room(shim *s) {
    for (volume *v = s->volumes; v; v = v->next) {
        if (v->socket >= 0)
            watch_socket(v);
    }
}

void volumes_done(shim *s) {
    while (s->volumes) {
        volume *v = s->volumes;
        s->volumes = v->next;
        close_server(v);
        free(v);
    }
}
