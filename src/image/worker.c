/* SPDX-License-Identifier: Apache-2.0
 *
 * worker.c - nestbox-image: turns one image into one base disk, and ends
 *
 * Theory of operation
 *   This program stands between an image, which may be hostile, and the process of whoever wants it. It is born with three
 *   descriptors (wire/limits.h): the owner's socket, the source, the disk. It opens nothing else, except files below a source that is a
 *   folder. It cannot gain rights (no_new_privs), cannot be traced, and has bounds on its memory; it still has its user's rights, which
 *   SECURITY.md says too.
 *
 *   HELLO both ways, IMPORT in; PROGRESS out, at most ten a second; IMPORTED or FAILED out; end. Everything blocks. When the owner's end
 *   of the socket closes, nobody wants the disk any more: the process ends at once, wherever it stands.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/size.h"
#include "image/import.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROGRESS_INTERVAL_MS 100u
#define RECEIVE_BYTES ((size_t) 64 << 10)
/* A tree of the largest image that is allowed takes some 2 GiB; a decompressor's window little beside it. */
#define MEMORY_MAX_BYTES GIB(4)
/* A folder on the way down to the deepest costs a descriptor. */
#define DESCRIPTORS_MAX 4096u

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0 /* with it, address space is what the sanitizer reserves */
#endif

typedef struct worker {
    buf out;
    uint64_t next_progress_ms;
} worker;

static void set_limit(int resource, rlim_t wanted) {
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0)
        return;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    if (resource != RLIMIT_NOFILE)
        limit.rlim_max = limit.rlim_cur;
    (void) setrlimit(resource, &limit);
}

/* Before the first foreign byte. False: the process would have more rights than it may. */
static bool drop_rights(void) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return false;
    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_NOFILE, DESCRIPTORS_MAX);
    if (!SANITIZED)
        set_limit(RLIMIT_AS, MEMORY_MAX_BYTES);
    return true;
}

/* Sends what is in the buffer, or ends: an owner that is gone wants nothing more. */
static void send_out(worker *w) {
    while (buf_length(&w->out) > 0) {
        ssize_t sent = send(WIRE_WORKER_SOCKET_FD, buf_bytes(&w->out), buf_length(&w->out), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            _exit(EXIT_FAILURE);
        buf_consume(&w->out, (size_t) sent);
    }
}

static void end_without_owner(int timeout_ms, int other_fd) {
    struct pollfd fds[] = {{.fd = WIRE_WORKER_SOCKET_FD}, {.fd = other_fd, .events = POLLIN}};
    int ready;
    do {
        ready = poll(fds, ARRAY_LENGTH(fds), timeout_ms);
    } while (ready < 0 && errno == EINTR);
    if (ready < 0 || fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
        _exit(EXIT_FAILURE);
}

static void on_wait_readable(void *user, int fd) {
    end_without_owner(-1, fd);
}

static void on_progress(void *user, const char *what, uint64_t done_bytes, uint64_t total_bytes) {
    worker *w = user;
    uint64_t now = clock_monotonic_ms();
    if (now < w->next_progress_ms)
        return;
    w->next_progress_ms = now + PROGRESS_INTERVAL_MS;
    end_without_owner(0, -1);
    msg_progress message = {.what = wire_str(what), .done_bytes = done_bytes, .total_bytes = total_bytes};
    if (wire_control(&w->out, wire_encode_progress, &message))
        send_out(w);
}

/* The payload of the next control frame, in @in until it is consumed; false: the owner is gone or does not keep to the protocol. */
static bool receive(buf *in, wire_frame *ret_frame, size_t *ret_used) {
    for (;;) {
        int r = wire_frame_parse(buf_bytes(in), buf_length(in), ret_frame, ret_used);
        if (r != 0)
            return r == 1 && ret_frame->kind == WIRE_FRAME_CONTROL &&
                   wire_message_allowed(wire_message_id(ret_frame->payload, ret_frame->length), TO_WORKER);
        size_t room = buf_room(in) < RECEIVE_BYTES ? buf_room(in) : RECEIVE_BYTES;
        uint8_t *at = room > 0 ? buf_reserve(in, room) : NULL;
        if (!at)
            return false;
        ssize_t length = recv(WIRE_WORKER_SOCKET_FD, at, room, 0);
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            return false;
        buf_added(in, (size_t) length);
    }
}

static bool greet(worker *w, buf *in) {
    msg_hello mine = {.version = WIRE_VERSION, .capabilities = WIRE_CAPABILITIES}, theirs;
    wire_frame frame;
    size_t used;
    if (!wire_control(&w->out, wire_encode_hello, &mine))
        return false;
    send_out(w);
    if (!receive(in, &frame, &used) || wire_decode_hello(frame.payload, frame.length, &theirs) < 0 || theirs.version != WIRE_VERSION)
        return false;
    buf_consume(in, used);
    return true;
}

static void answer_failed(worker *w, const nb_error *err) {
    msg_failed message = {.code = err->code, .error = err->system_errno, .message = wire_str(err->message), .hint = wire_str(err->hint)};
    if (wire_control(&w->out, wire_encode_failed, &message))
        send_out(w);
}

static void answer_imported(worker *w, const import_result *result) {
    const image_config *config = &result->config;
    msg_imported message = {
        .id = wire_str(result->id),
        .name = wire_str(result->name),
        .architecture = wire_str(config->architecture),
        .os = wire_str(config->os),
        .disk_bytes = result->disk_bytes,
        .content_bytes = result->content_bytes,
        .entrypoint = strv_of(&config->entrypoint),
        .command = strv_of(&config->command),
        .env = strv_of(&config->env),
        .labels = strv_of(&config->labels),
        .cwd = wire_str(config->cwd),
        .user = wire_str(config->user),
        .stop_signal = wire_str(config->stop_signal),
    };
    nb_error err;
    if (wire_control(&w->out, wire_encode_imported, &message)) {
        send_out(w);
        return;
    }
    (void) nb_fail(&err, NB_E_IMAGE, 0, "report the image's configuration: its name, '%.100s', or another text is too long", result->name);
    answer_failed(w, &err);
}

static int serve(worker *w, const msg_import *message) {
    CLEANUP(cleanup_free) char *reference = wire_str_copy(message->reference);
    CLEANUP(cleanup_free) char *architecture = wire_str_copy(message->architecture);
    CLEANUP(import_result_done) import_result result = {0};
    image_watch watch = {.wait_readable = on_wait_readable, .progress = on_progress, .user = w};
    nb_error err = {0};
    int r = reference && architecture ? 0 : nb_fail_oom(&err);
    if (r == 0) {
        import_request request = {
            .kind = message->kind,
            .source_fd = WIRE_WORKER_SOURCE_FD,
            .disk_fd = WIRE_WORKER_DISK_FD,
            .reference = reference,
            .architecture = architecture,
            .disk_max_bytes = message->disk_max_bytes,
            .command = message->command,
            .watch = &watch,
        };
        r = image_import(&request, &result, &err);
    }
    if (r < 0)
        answer_failed(w, &err);
    else
        answer_imported(w, &result);
    return EXIT_SUCCESS;
}

int main(void) {
    worker w = {0};
    buf in;
    wire_frame frame;
    size_t used;
    msg_import message;
    /* libarchive converts names with the locale's help; in the C locale it gives none at all. */
    if (!drop_rights() || !setlocale(LC_CTYPE, "C.UTF-8"))
        return EXIT_FAILURE;
    buf_init(&w.out, WIRE_READ_BUFFER_BYTES);
    buf_init(&in, WIRE_READ_BUFFER_BYTES);
    if (!greet(&w, &in) || !receive(&in, &frame, &used) || wire_decode_import(frame.payload, frame.length, &message) < 0)
        return EXIT_FAILURE;
    int status = serve(&w, &message);
    buf_done(&in);
    buf_done(&w.out);
    return status;
}
