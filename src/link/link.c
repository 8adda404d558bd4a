/* SPDX-License-Identifier: Apache-2.0
 *
 * link.c - our end of a framed connection, on an event loop
 *
 * Theory of operation
 *   Reading: each readiness reads up to LINK_READ_BYTES, and hands out every whole frame. A partial frame waits at the head
 *   of the buffer, which can hold the longest one.
 *   Writing: everything is appended to one queue and written, at once or at the end of the loop's turn, as far as the descriptor takes
 *   it; the rest waits for EPOLLOUT. A write that fails is reported from a timer of the loop, so that no sender finds its link gone in the middle of
 *   its own work. It fails because the other side has closed; what that said before is still read first, for a request must not be lost with
 *   who made it.
 */
#include "link/link.h"

#include "base/clock.h"
#include "base/fd.h"

#include <nestbox/error.h>

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#define LINK_READ_BYTES ((size_t) 128 << 10)
/* What the driver of a virtio-serial port hands out with one read(2) at most. */
#define LINK_PORT_READ_BYTES 4096
/* Frames that link_data_from_fd() fills with one read, each 64 KiB with its header: a port takes 32 KiB with one write, and a tail of some
 * bytes would cost it as much again. */
#define LINK_GATHER_FRAMES 4
#define LINK_GATHER_DATA_BYTES ((size_t) WIRE_DATA_MAX_BYTES - WIRE_HEADER_BYTES)

static void on_ready(loop_fd *watcher, uint32_t events);
static void on_fault(loop_timer *timer);
static void on_writer(loop_timer *timer);

int link_resume(loop *l, link_end *end, int fd, enum wire_direction accepts, const link_handlers *handlers, void *user) {
    *end = (link_end){.loop = l, .fd = fd, .accepts = accepts, .handlers = handlers, .user = user};
    buf_init(&end->in, WIRE_READ_BUFFER_BYTES + LINK_READ_BYTES);
    buf_init(&end->out, LINK_QUEUE_MAX_BYTES);
    end->out.kept_bytes = LINK_QUEUE_RESERVE_BYTES;
    loop_timer_init(l, &end->fault, on_fault, end);
    loop_timer_init(l, &end->writer, on_writer, end);
    /* What is said about a lack of memory needs none. */
    if (!buf_reserve(&end->out, LINK_QUEUE_RESERVE_BYTES) || fd_set_nonblock(fd, true) < 0 ||
        loop_fd_init(l, &end->watcher, fd, EPOLLIN, on_ready, end) < 0) {
        link_done(end);
        return -1;
    }
    end->greeted = true;
    return 0;
}

int link_init(loop *l, link_end *end, int fd, enum wire_direction accepts, const link_handlers *handlers, void *user) {
    if (link_resume(l, end, fd, accepts, handlers, user) < 0)
        return -1;
    end->greeted = false;
    link_send(end, wire_encode_hello, (&(msg_hello){.version = WIRE_VERSION, .capabilities = WIRE_CAPABILITIES}));
    return 0;
}

void link_done(link_end *end) {
    loop_timer_done(&end->fault);
    loop_timer_done(&end->writer);
    loop_fd_done(&end->watcher);
    if (end->loop)
        end->fd = fd_close(end->fd);
    buf_done(&end->in);
    buf_done(&end->out);
    end->loop = NULL;
}

/* @reason  "" when it was the other side that closed */
static void fail_later(link_end *end, const char *reason) {
    if (!end->fault_reason) {
        end->fault_reason = reason;
        loop_timer_start(&end->fault, 0);
    }
}

static void close_now(link_end *end, const char *why) {
    loop_timer_stop(&end->fault);
    loop_timer_stop(&end->writer);
    loop_fd_done(&end->watcher);
    end->fd = fd_close(end->fd);
    end->handlers->on_closed(end, why);
}

/* Who was told that there is no room hears of it from on_ready(), also when it was a later message that wrote the whole queue. */
static void update_events(link_end *end) {
    uint32_t events = EPOLLIN | (buf_length(&end->out) > 0 || end->was_full ? EPOLLOUT : 0);
    if (loop_fd_set_events(&end->watcher, events) < 0)
        fail_later(end, "watch the connection");
}

/* Writes what the descriptor takes. False: it failed for good. */
static bool write_queue(link_end *end) {
    while (buf_length(&end->out) > 0) {
        ssize_t n = write(end->fd, buf_bytes(&end->out), buf_length(&end->out));
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return errno == EAGAIN;
        }
        if (n == 0)
            return true;
        buf_consume(&end->out, (size_t) n);
    }
    return true;
}

void link_flush(link_end *end, bool queued) {
    if (!link_is_open(end) || end->fault_reason)
        return;
    if (!queued)
        fail_later(end, "the other side does not read, or memory is out");
    else if (!write_queue(end))
        fail_later(end, "");
    else
        update_events(end);
}

void link_flush_soon(link_end *end, bool queued) {
    if (!queued)
        link_flush(end, false);
    else if (!loop_timer_is_running(&end->writer))
        loop_timer_start(&end->writer, 0);
}

static void on_writer(loop_timer *timer) {
    link_flush(timer->user, true);
}

bool link_has_room(link_end *end) {
    if (!link_is_open(end) || end->fault_reason)
        return false;
    if (buf_length(&end->out) < LINK_QUEUE_HIGH_BYTES)
        return true;
    end->was_full = true;
    return false;
}

void link_data(link_end *end, uint32_t channel, const void *bytes, size_t length) {
    if (!link_is_open(end))
        return;
    const uint8_t *at = bytes;
    bool queued = true;
    while (length > 0 && queued) {
        size_t piece = length < WIRE_DATA_MAX_BYTES ? length : WIRE_DATA_MAX_BYTES;
        queued = wire_frame_data(&end->out, channel, at, piece);
        at += piece;
        length -= piece;
    }
    link_flush(end, queued);
}

void link_end_of_stream(link_end *end, uint32_t channel) {
    if (link_is_open(end))
        link_flush_soon(end, wire_frame_end(&end->out, channel));
}

void link_credit(link_end *end, uint32_t channel, uint32_t credit) {
    if (link_is_open(end))
        link_flush(end, wire_frame_credit(&end->out, channel, credit));
}

ssize_t link_data_from_fd(link_end *end, uint32_t channel, int fd, size_t max) {
    struct iovec parts[LINK_GATHER_FRAMES];
    int count = 0;
    /* Behind what waits for the end of the turn, room for all of them would make the queue outgrow what it keeps, time and again. */
    int frames_max = buf_length(&end->out) == 0 ? LINK_GATHER_FRAMES : 1;
    uint8_t *frames = wire_data_reserve(&end->out, (size_t) frames_max * (size_t) WIRE_DATA_MAX_BYTES - WIRE_HEADER_BYTES);
    if (!frames) {
        errno = ENOMEM;
        return -1;
    }
    for (size_t left = max; count < frames_max && left > 0; count++) {
        size_t piece = left < LINK_GATHER_DATA_BYTES ? left : LINK_GATHER_DATA_BYTES;
        parts[count] = (struct iovec){frames + (size_t) count * WIRE_DATA_MAX_BYTES + WIRE_HEADER_BYTES, piece};
        left -= piece;
    }
    ssize_t n = readv(fd, parts, count);
    for (size_t left = n > 0 ? (size_t) n : 0; left > 0;) {
        size_t piece = left < LINK_GATHER_DATA_BYTES ? left : LINK_GATHER_DATA_BYTES;
        wire_data_commit(&end->out, channel, piece);
        left -= piece;
    }
    if (n > 0)
        link_flush(end, true);
    return n;
}

/* 0, or what the handler said. */
static int hand_out(link_end *end, const wire_frame *frame) {
    switch (frame->kind) {
    case WIRE_FRAME_CONTROL: {
        uint16_t id = wire_message_id(frame->payload, frame->length);
        if (!wire_message_allowed(id, end->accepts))
            return -NB_E_PROTOCOL;
        if (id != id_of_msg_hello)
            return end->greeted ? end->handlers->on_message(end, id, frame->payload, frame->length) : -NB_E_PROTOCOL;
        msg_hello hello;
        if (end->greeted || wire_decode_hello(frame->payload, frame->length, &hello) < 0 || hello.version != WIRE_VERSION)
            return -NB_E_PROTOCOL;
        end->greeted = true;
        if (end->handlers->on_greeted)
            end->handlers->on_greeted(end);
        return 0;
    }
    case WIRE_FRAME_DATA:
    case WIRE_FRAME_END:
        return end->greeted && end->handlers->on_data ? end->handlers->on_data(end, frame->channel, frame->payload, frame->length)
                                                      : -NB_E_PROTOCOL;
    case WIRE_FRAME_CREDIT:
        return end->greeted && end->handlers->on_credit ? end->handlers->on_credit(end, frame->channel, frame->credit) : -NB_E_PROTOCOL;
    }
    return -NB_E_PROTOCOL;
}

/* False: the end is closed, and may be freed. */
static bool read_frames(link_end *end) {
    wire_frame frame;
    size_t used = 0;
    int found;
    while (link_is_open(end) && (found = wire_frame_parse(buf_bytes(&end->in), buf_length(&end->in), &frame, &used)) != 0) {
        if (found < 0 || hand_out(end, &frame) < 0) {
            if (link_is_open(end))
                close_now(end, "the other side broke the protocol");
            return false;
        }
        if (link_is_open(end))
            buf_consume(&end->in, used);
    }
    return link_is_open(end);
}

/* As read(2), going on for as long as a port may have more: where that is a socket, a short message costs one call as before. */
static ssize_t read_much(int fd, uint8_t *to, size_t max) {
    size_t length = 0;
    ssize_t n;
    do {
        n = read(fd, to + length, max - length);
        if (n > 0)
            length += (size_t) n;
    } while (n >= LINK_PORT_READ_BYTES && length < max);
    return length > 0 ? (ssize_t) length : n; /* what is wrong with it, the next call will say */
}

/* False: there was nothing to read, or the end is closed, and may be freed. */
static bool read_some(link_end *end, uint32_t events) {
    uint8_t *to = buf_reserve(&end->in, LINK_READ_BYTES);
    if (!to)
        return false; /* memory is out for now; what waits to be read is reported again */
    ssize_t n = read_much(end->fd, to, LINK_READ_BYTES);
    if (n > 0) {
        buf_added(&end->in, (size_t) n);
        return read_frames(end);
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR) || events & EPOLLHUP)
        close_now(end, NULL);
    return false;
}

static void on_fault(loop_timer *timer) {
    link_end *end = timer->user;
    if (*end->fault_reason)
        close_now(end, end->fault_reason);
    else if (!buf_reserve(&end->in, LINK_READ_BYTES))
        close_now(end, NULL);
    else if (read_some(end, EPOLLHUP)) /* which closes once nothing is left */
        loop_timer_start(timer, 0);
}

static void on_ready(loop_fd *watcher, uint32_t events) {
    link_end *end = watcher->user;
    if (events & EPOLLOUT && !end->fault_reason) {
        link_flush(end, true);
        if (end->was_full && buf_length(&end->out) < LINK_QUEUE_HIGH_BYTES) {
            end->was_full = false;
            update_events(end);
            if (end->handlers->on_room)
                end->handlers->on_room(end);
            if (!link_is_open(end))
                return;
        }
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        (void) read_some(end, events);
}

void link_drain(link_end *end, int timeout_ms) {
    deadline until = deadline_in(timeout_ms);
    while (link_is_open(end) && buf_length(&end->out) > 0 && write_queue(end)) {
        struct pollfd writable = {.fd = end->fd, .events = POLLOUT};
        if (buf_length(&end->out) == 0 || deadline_passed(until) || poll(&writable, 1, deadline_left_ms(until)) < 0)
            return;
    }
}
