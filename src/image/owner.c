/* SPDX-License-Identifier: Apache-2.0
 *
 * owner.c - a worker's end of the conversation with whoever wants its work
 */
#include "image/owner.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/size.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROGRESS_INTERVAL_MS 100u
#define SILENCE_MAX_MS 500
#define RECEIVE_BYTES ((size_t) 64 << 10)

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

static void set_limit(int resource, rlim_t wanted) {
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0)
        return;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    if (resource != RLIMIT_NOFILE)
        limit.rlim_max = limit.rlim_cur;
    (void) setrlimit(resource, &limit);
}

bool owner_drop_rights(uint64_t memory_max_bytes, uint64_t descriptors_max) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return false;
    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_NOFILE, descriptors_max);
    if (!SANITIZED)
        set_limit(RLIMIT_AS, memory_max_bytes);
    return true;
}

void owner_init(owner *o) {
    *o = (owner){0};
    buf_init(&o->in, WIRE_READ_BUFFER_BYTES);
    buf_init(&o->out, WIRE_READ_BUFFER_BYTES);
}

void owner_done(owner *o) {
    buf_done(&o->in);
    buf_done(&o->out);
}

void owner_send(owner *o) {
    while (buf_length(&o->out) > 0) {
        ssize_t sent = send(WIRE_WORKER_SOCKET_FD, buf_bytes(&o->out), buf_length(&o->out), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            _exit(EXIT_FAILURE);
        buf_consume(&o->out, (size_t) sent);
    }
}

bool owner_wait(int timeout_ms, int other_fd) {
    struct pollfd fds[] = {{.fd = WIRE_WORKER_SOCKET_FD}, {.fd = other_fd, .events = POLLIN}};
    int ready;
    do {
        ready = poll(fds, ARRAY_LENGTH(fds), timeout_ms);
    } while (ready < 0 && errno == EINTR);
    if (ready < 0 || fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
        _exit(EXIT_FAILURE);
    return fds[1].revents != 0;
}

void owner_wait_telling(owner *o, int other_fd, const char *what) {
    while (!owner_wait(SILENCE_MAX_MS, other_fd))
        owner_send_progress(o, what, "", 0, 0);
}

bool owner_progress_is_due(owner *o) {
    uint64_t now = clock_monotonic_ms();
    if (now < o->next_progress_ms)
        return false;
    o->next_progress_ms = now + PROGRESS_INTERVAL_MS;
    return true;
}

bool owner_is_left_waiting(const owner *o) {
    return clock_monotonic_ms() >= o->told_at_ms + SILENCE_MAX_MS;
}

void owner_send_progress(owner *o, const char *what, const char *item, uint64_t done_bytes, uint64_t total_bytes) {
    (void) owner_wait(0, -1);
    o->told_at_ms = clock_monotonic_ms();
    msg_progress message = {.what = wire_str(what), .item = wire_str(item), .done_bytes = done_bytes, .total_bytes = total_bytes};
    if (wire_control(&o->out, wire_encode_progress, &message))
        owner_send(o);
}

void owner_send_failed(owner *o, const nb_error *err) {
    msg_failed message = {.code = err->code, .error = err->system_errno, .message = wire_str(err->message), .hint = wire_str(err->hint)};
    if (wire_control(&o->out, wire_encode_failed, &message))
        owner_send(o);
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

static bool greet(owner *o) {
    msg_hello mine = {.version = WIRE_VERSION, .capabilities = WIRE_CAPABILITIES}, theirs;
    wire_frame frame;
    size_t used;
    if (!wire_control(&o->out, wire_encode_hello, &mine))
        return false;
    owner_send(o);
    if (!receive(&o->in, &frame, &used) || wire_decode_hello(frame.payload, frame.length, &theirs) < 0 || theirs.version != WIRE_VERSION)
        return false;
    buf_consume(&o->in, used);
    return true;
}

bool owner_receive_request(owner *o, const uint8_t **ret_message, size_t *ret_length) {
    wire_frame frame;
    size_t used;
    if (!greet(o) || !receive(&o->in, &frame, &used))
        return false;
    *ret_message = frame.payload;
    *ret_length = frame.length;
    return true;
}
