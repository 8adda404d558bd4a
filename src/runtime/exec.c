/* SPDX-License-Identifier: Apache-2.0
 *
 * exec.c - exec handles: one connection, one process in a box
 *
 * Theory of operation
 *   Everything that arrives is appended to `in` and looked at once, in order (scan): credit and the end are taken at once, stream data
 *   stays in the buffer, where nb_exec_next() fetches it and grants it again. The shim never sends more than the window allows, so
 *   the buffer has a bound. One thread at a time reads the socket (pumping), without the mutex; the others wait on the condition
 *   variable, so that any number may wait for one exec while one takes its events and another writes. Who reads does not see that there is
 *   something to write since: whoever queues what the socket does not take at once waits for it himself.
 */
#include "runtime/exec.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "runtime/channel.h"
#include "runtime/connect.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES ((size_t) 128 << 10)
/* Two windows in frames of one byte each, one control message, one read. */
#define IN_MAX_BYTES (2u * WIRE_WINDOW_BYTES * (WIRE_HEADER_BYTES + 1) + WIRE_READ_BUFFER_BYTES + READ_BYTES)
/* Requests are small; what a shim that does not read lets pile up. */
#define OUT_MAX_BYTES ((size_t) 2 << 20)

struct nb_exec {
    int fd; /* -1: it was over when it was opened */
    uint32_t exec_id;
    char id[ID_SIZE];
    bool tty;
    bool watches;     /* no streams */
    uint64_t lost[2]; /* bytes of stdout and stderr that an NB_EVENT_GAP is still to tell */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool pumping; /* a thread is reading the socket */
    buf in, out;
    size_t scanned; /* bytes of `in` whose frames have been looked at */
    bool stdin_open, stdin_room_wanted;
    wire_outflow stdin_flow;
    struct {
        wire_inflow flow;
        bool ended;
        bool held; /* its frames stay in `in`, and so are not granted again */
    } streams[2];
    bool over; /* nothing more will come: status or error says why */
    nb_exit_status status;
    nb_error error;         /* code 0: status counts */
    uint8_t *event_bytes;   /* of the last event given out */
    int epoll_fd, ready_fd; /* made when nb_exec_fd() is first asked; ready_fd is readable while `in` holds events */
    uint32_t epoll_events;  /* of fd */
    bool ready_set;
};

static int lasting_error(const nb_exec *e, nb_error *err) {
    if (err)
        *err = e->error;
    return -e->error.code;
}

/* ---------------------------------------------------------------------------------------------------- what has arrived */

static void end_with(nb_exec *e, int code, const char *why) {
    if (e->over)
        return;
    e->over = true;
    (void) nb_fail(&e->error, code, 0, "%s", why);
}

nb_exit_status exec_status_of(const msg_exited *exited) {
    return (nb_exit_status){
        .code = exited->signal ? 128 + exited->signal : exited->code,
        .signal = exited->signal,
        .timed_out = exited->exit_flags & WIRE_EXIT_TIMED_OUT,
        .oom_killed = exited->exit_flags & WIRE_EXIT_OOM,
        .user_time_us = exited->user_time_us,
        .system_time_us = exited->system_time_us,
        .max_rss_bytes = exited->max_rss_bytes,
        .started_at_ms = exited->started_at_ms,
        .finished_at_ms = exited->finished_at_ms,
    };
}

static void end_as_told(nb_exec *e, const msg_exited *exited) {
    if (exited->exit_flags & WIRE_EXIT_STOPPED) {
        end_with(e, NB_E_STOPPED, "the box was stopped");
        return;
    }
    e->over = true;
    e->status = exec_status_of(exited);
}

static void scan_control(nb_exec *e, const wire_frame *frame) {
    msg_exited exited;
    switch (wire_message_id(frame->payload, frame->length)) {
    case id_of_msg_exited:
        if (wire_decode_exited(frame->payload, frame->length, &exited) < 0)
            break;
        end_as_told(e, &exited);
        return;
    case id_of_msg_failed:
        e->over = true;
        (void) channel_failed(frame->payload, frame->length, &e->error);
        return;
    case id_of_msg_launched:
    case id_of_msg_hello:
        return;
    default:
        break;
    }
    end_with(e, NB_E_PROTOCOL, "the box's shim broke the protocol");
}

static int stream_index(const nb_exec *e, uint32_t channel) {
    if (e->watches || wire_channel_exec(channel) != e->exec_id || wire_channel_stream(channel) == WIRE_STREAM_STDIN)
        return -1;
    return wire_channel_stream(channel) == WIRE_STREAM_STDOUT ? 0 : 1;
}

static bool scan_frame(nb_exec *e, const wire_frame *frame) {
    int stream;
    switch (frame->kind) {
    case WIRE_FRAME_CONTROL:
        scan_control(e, frame);
        return true;
    case WIRE_FRAME_CREDIT:
        return frame->channel == wire_channel(e->exec_id, WIRE_STREAM_STDIN) && wire_outflow_granted(&e->stdin_flow, frame->credit);
    case WIRE_FRAME_DATA:
    case WIRE_FRAME_END:
        stream = stream_index(e, frame->channel);
        if (stream < 0 || e->streams[stream].ended || !wire_inflow_received(&e->streams[stream].flow, frame->length))
            return false;
        e->streams[stream].ended = frame->length == 0;
        return true;
    }
    return false;
}

static void scan(nb_exec *e) {
    while (!e->over) {
        wire_frame frame;
        size_t used;
        int found = wire_frame_parse(buf_bytes(&e->in) + e->scanned, buf_length(&e->in) - e->scanned, &frame, &used);
        if (found == 0)
            return;
        if (found < 0 || !scan_frame(e, &frame)) {
            end_with(e, NB_E_PROTOCOL, "the box's shim broke the protocol");
            return;
        }
        e->scanned += used;
    }
}

static bool holds(const nb_exec *e) {
    return e->streams[0].held || e->streams[1].held;
}

/* The first frame that no held stream keeps. False: there is none. */
static bool find_frame(const nb_exec *e, size_t *ret_at, wire_frame *ret_frame, size_t *ret_used) {
    for (size_t at = 0; at < e->scanned; at += *ret_used) {
        (void) wire_frame_parse(buf_bytes(&e->in) + at, e->scanned - at, ret_frame, ret_used); /* looked at before: whole and right */
        bool is_stream = ret_frame->kind == WIRE_FRAME_DATA || ret_frame->kind == WIRE_FRAME_END;
        int stream = is_stream ? stream_index(e, ret_frame->channel) : -1;
        if (stream < 0 || !e->streams[stream].held) {
            *ret_at = at;
            return true;
        }
    }
    return false;
}

/* Whether nb_exec_next() has something. */
static bool is_ready(const nb_exec *e) {
    wire_frame frame;
    size_t at, used;
    if (e->lost[0] > 0 || e->lost[1] > 0 || (e->stdin_room_wanted && e->stdin_flow.credit > 0))
        return true;
    return holds(e) ? find_frame(e, &at, &frame, &used) : e->scanned > 0 || e->over;
}

/* Keeps ready_fd in step with whether nb_exec_next() has something, and the socket's events with whether it could write. */
static void update_ready(nb_exec *e) {
    bool ready = is_ready(e);
    uint32_t events = EPOLLIN | (buf_length(&e->out) > 0 ? EPOLLOUT : 0);
    if (e->epoll_fd >= 0 && e->over) {
        (void) epoll_ctl(e->epoll_fd, EPOLL_CTL_DEL, e->fd, NULL); /* its end would be readable for ever, while a stream is held */
    } else if (e->epoll_fd >= 0 && events != e->epoll_events) {
        (void) epoll_ctl(e->epoll_fd, EPOLL_CTL_MOD, e->fd, &(struct epoll_event){.events = events});
        e->epoll_events = events;
    }
    if (e->ready_fd < 0 || ready == e->ready_set)
        return;
    uint64_t count = 1;
    (void) !(ready ? write(e->ready_fd, &count, sizeof(count)) : read(e->ready_fd, &count, sizeof(count)));
    e->ready_set = ready;
}

/* Reads what is there without waiting. */
static void read_socket(nb_exec *e) {
    uint8_t *to = buf_reserve(&e->in, READ_BYTES);
    if (!to) {
        end_with(e, NB_E_NO_MEMORY, "receive the exec's output: out of memory");
        return;
    }
    ssize_t n = recv(e->fd, to, READ_BYTES, MSG_DONTWAIT);
    if (n > 0) {
        buf_added(&e->in, (size_t) n);
        scan(e);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        end_with(e, NB_E_BOX_GONE, "the box's shim is gone");
    }
    update_ready(e);
}

/* Writes what is queued as far as the socket takes it. */
static void write_socket(nb_exec *e) {
    while (buf_length(&e->out) > 0 && !e->over) {
        ssize_t n = send(e->fd, buf_bytes(&e->out), buf_length(&e->out), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            buf_consume(&e->out, (size_t) n);
        } else if (n < 0 && errno == EAGAIN) {
            return;
        } else if (n < 0 && errno != EINTR) {
            buf_clear(&e->out); /* the last words of the other side may still be in the socket */
            return;
        }
    }
}

static void wait_for_change(nb_exec *e, deadline until) {
    if (until.at_ms == UINT64_MAX) {
        (void) pthread_cond_wait(&e->changed, &e->mutex);
        return;
    }
    struct timespec at = {.tv_sec = (time_t) (until.at_ms / 1000), .tv_nsec = (long) (until.at_ms % 1000) * 1000000};
    (void) pthread_cond_timedwait(&e->changed, &e->mutex, &at);
}

/* Waits until the socket takes more, without holding up the thread that reads it. */
static void wait_writable(nb_exec *e, deadline until) {
    struct pollfd one = {.fd = e->fd, .events = POLLOUT};
    (void) pthread_mutex_unlock(&e->mutex);
    (void) poll(&one, 1, deadline_left_ms(until));
    (void) pthread_mutex_lock(&e->mutex);
    write_socket(e);
}

/* Lets something happen: reads, or waits while another thread does. The mutex is held before and after, not meanwhile. */
static void pump(nb_exec *e, deadline until) {
    if (e->pumping && buf_length(&e->out) > 0) {
        wait_writable(e, until);
        return;
    }
    if (e->pumping) {
        wait_for_change(e, until);
        return;
    }
    e->pumping = true;
    struct pollfd one = {.fd = e->fd, .events = (short) (POLLIN | (buf_length(&e->out) > 0 ? POLLOUT : 0))};
    (void) pthread_mutex_unlock(&e->mutex);
    int n = poll(&one, 1, deadline_left_ms(until));
    (void) pthread_mutex_lock(&e->mutex);
    if (n > 0 && one.revents & POLLOUT)
        write_socket(e);
    if (n > 0 && one.revents & ~POLLOUT)
        read_socket(e);
    e->pumping = false;
    (void) pthread_cond_broadcast(&e->changed);
}

/* ------------------------------------------------------------------------------------------------------ handles */

static nb_exec *handle_new(int fd, nb_error *err) {
    nb_exec *e = calloc(1, sizeof(*e));
    uint8_t *event_bytes = e ? malloc(WIRE_DATA_MAX_BYTES) : NULL;
    if (!event_bytes) {
        free(e);
        (void) fd_close(fd);
        (void) nb_fail_oom(err);
        return NULL;
    }
    pthread_condattr_t monotonic;
    (void) pthread_condattr_init(&monotonic);
    (void) pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&e->changed, &monotonic);
    (void) pthread_condattr_destroy(&monotonic);
    (void) pthread_mutex_init(&e->mutex, NULL);
    e->fd = fd;
    e->event_bytes = event_bytes;
    e->epoll_fd = e->ready_fd = -1;
    buf_init(&e->in, IN_MAX_BYTES);
    buf_init(&e->out, OUT_MAX_BYTES);
    wire_outflow_init(&e->stdin_flow);
    for (size_t i = 0; i < 2; i++)
        wire_inflow_init(&e->streams[i].flow);
    return e;
}

static void set_id(nb_exec *e, wire_bytes id) {
    (void) snprintf(e->id, sizeof(e->id), "%.*s", (int) id.length, id.at ? (const char *) id.at : "");
}

int exec_handle_new(int fd, const exec_beginning *beginning, nb_exec **ret_exec, nb_error *err) {
    nb_exec *e = handle_new(fd, err);
    if (!e)
        return -NB_E_NO_MEMORY;
    e->exec_id = beginning->exec_id;
    set_id(e, beginning->id);
    e->stdin_open = beginning->open_stdin;
    e->tty = beginning->tty;
    e->watches = beginning->watches;
    memcpy(e->lost, beginning->lost, sizeof(e->lost));
    *ret_exec = e;
    return 0;
}

msg_exited exec_exited_of(const msg_exec_info *info) {
    return (msg_exited){
        .code = info->code,
        .signal = info->signal,
        .exit_flags = info->exit_flags,
        .user_time_us = info->user_time_us,
        .system_time_us = info->system_time_us,
        .max_rss_bytes = info->max_rss_bytes,
        .started_at_ms = info->started_at_ms,
        .finished_at_ms = info->finished_at_ms,
    };
}

int exec_handle_ended(const msg_exec_info *info, nb_exec **ret_exec, nb_error *err) {
    nb_exec *e = handle_new(-1, err);
    if (!e)
        return -NB_E_NO_MEMORY;
    set_id(e, info->id);
    e->tty = info->info_flags & WIRE_INFO_TTY;
    e->watches = true;
    msg_exited exited = exec_exited_of(info);
    end_as_told(e, &exited);
    *ret_exec = e;
    return 0;
}

const char *nb_exec_id(const nb_exec *e) {
    return e ? e->id : NULL;
}

void nb_exec_free(nb_exec *e) {
    if (!e)
        return;
    (void) fd_close(e->fd);
    (void) fd_close(e->epoll_fd);
    (void) fd_close(e->ready_fd);
    buf_done(&e->in);
    buf_done(&e->out);
    free(e->event_bytes);
    (void) pthread_cond_destroy(&e->changed);
    (void) pthread_mutex_destroy(&e->mutex);
    free(e);
}

static int make_event_fd(nb_exec *e) {
    CLEANUP(cleanup_fd) int epoll = epoll_create1(EPOLL_CLOEXEC);
    CLEANUP(cleanup_fd) int ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll < 0 || ready < 0 || (e->fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, e->fd, &event) < 0) ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, ready, &event) < 0)
        return -1;
    e->epoll_fd = take_fd(&epoll);
    e->epoll_events = EPOLLIN;
    e->ready_fd = take_fd(&ready);
    update_ready(e);
    return 0;
}

int nb_exec_fd(nb_exec *e) {
    if (!e)
        return -1;
    (void) pthread_mutex_lock(&e->mutex);
    if (e->epoll_fd < 0)
        (void) make_event_fd(e);
    int fd = e->epoll_fd;
    (void) pthread_mutex_unlock(&e->mutex);
    return fd;
}

/* ------------------------------------------------------------------------------------------------------------- events */

/* Takes the first frame off the buffer. True: it is an event. */
static bool take_event(nb_exec *e, nb_event *ret_event) {
    for (int i = 0; i < 2; i++) {
        if (e->lost[i] > 0) {
            *ret_event = (nb_event){.kind = NB_EVENT_GAP, .stream = i + 1, .length = (size_t) e->lost[i]};
            e->lost[i] = 0;
            return true;
        }
    }
    wire_frame frame;
    size_t at, used;
    while (find_frame(e, &at, &frame, &used)) {
        int stream = frame.kind == WIRE_FRAME_DATA || frame.kind == WIRE_FRAME_END ? stream_index(e, frame.channel) : -1;
        if (stream >= 0) {
            memcpy(e->event_bytes, frame.payload, frame.length);
            *ret_event =
                (nb_event){.kind = stream == 0 ? NB_EVENT_STDOUT : NB_EVENT_STDERR, .bytes = e->event_bytes, .length = frame.length};
            uint32_t credit = wire_inflow_consumed(&e->streams[stream].flow, frame.length);
            if (credit > 0 && !e->streams[stream].ended && wire_frame_credit(&e->out, frame.channel, credit))
                write_socket(e);
        }
        memmove(buf_bytes(&e->in) + used, buf_bytes(&e->in), at); /* held frames before it close up */
        buf_consume(&e->in, used);
        e->scanned -= used;
        if (stream >= 0)
            return true;
    }
    if (e->stdin_room_wanted && e->stdin_flow.credit > 0) {
        e->stdin_room_wanted = false;
        *ret_event = (nb_event){.kind = NB_EVENT_STDIN_ROOM};
        return true;
    }
    return false;
}

int nb_exec_next(nb_exec *e, int64_t timeout_ms, nb_event *ret_event, nb_error *err) {
    if (!e || !ret_event)
        return nb_fail(err, NB_E_INVALID, 0, "take an event: an argument is NULL");
    deadline until = deadline_in(timeout_ms);
    int result = 0;
    (void) pthread_mutex_lock(&e->mutex);
    for (bool looked = false;; looked = true) {
        if (take_event(e, ret_event))
            break;
        if (e->over && !holds(e)) {
            *ret_event = (nb_event){.kind = NB_EVENT_EXITED, .status = e->status};
            result = e->error.code ? lasting_error(e, err) : 0;
            break;
        }
        if (e->over || (looked && deadline_passed(until))) {
            *ret_event = (nb_event){.kind = NB_EVENT_NONE};
            break;
        }
        pump(e, until);
    }
    update_ready(e);
    (void) pthread_mutex_unlock(&e->mutex);
    return result;
}

int nb_exec_hold(nb_exec *e, nb_event_kind stream, bool held, nb_error *err) {
    if (!e || (stream != NB_EVENT_STDOUT && stream != NB_EVENT_STDERR))
        return nb_fail(err, NB_E_INVALID, 0, "hold a stream of an exec: there is none such");
    (void) pthread_mutex_lock(&e->mutex);
    e->streams[stream == NB_EVENT_STDOUT ? 0 : 1].held = held;
    update_ready(e);
    (void) pthread_mutex_unlock(&e->mutex);
    return 0;
}

int nb_exec_wait(nb_exec *e, int64_t timeout_ms, nb_exit_status *ret_status, nb_error *err) {
    if (!e || !ret_status)
        return nb_fail(err, NB_E_INVALID, 0, "wait for an exec: an argument is NULL");
    deadline until = deadline_in(timeout_ms);
    int result = 0;
    (void) pthread_mutex_lock(&e->mutex);
    for (bool looked = false; !e->over; looked = true) {
        if (looked && deadline_passed(until)) {
            result = nb_fail(err, NB_E_TIMEOUT, 0, "wait for the exec: it still runs");
            break;
        }
        pump(e, until);
    }
    if (result == 0 && e->error.code)
        result = lasting_error(e, err);
    else if (result == 0)
        *ret_status = e->status;
    (void) pthread_mutex_unlock(&e->mutex);
    return result;
}

/* -------------------------------------------------------------------------------------------------------------- input */

/* Sends what is queued, waiting until it has left: requests are not to be lost with the handle. */
static int send_queued(nb_exec *e, nb_error *err) {
    deadline until = deadline_in(CONNECT_TIMEOUT_MS);
    write_socket(e);
    while (buf_length(&e->out) > 0 && !e->over) {
        if (deadline_passed(until))
            return nb_fail(err, NB_E_TIMEOUT, 0, "send a request: the box's shim does not read");
        wait_writable(e, until);
    }
    return 0;
}

/* Queues what credit and queue allow. How many bytes that was. */
static size_t queue_stdin(nb_exec *e, const uint8_t *bytes, size_t length) {
    size_t piece = length < e->stdin_flow.credit ? length : e->stdin_flow.credit;
    if (piece > WIRE_DATA_MAX_BYTES)
        piece = WIRE_DATA_MAX_BYTES;
    if (piece == 0 || buf_length(&e->out) >= WIRE_WINDOW_BYTES ||
        !wire_frame_data(&e->out, wire_channel(e->exec_id, WIRE_STREAM_STDIN), bytes, piece))
        return 0;
    e->stdin_flow.credit -= (uint32_t) piece;
    write_socket(e);
    return piece;
}

int nb_exec_write(nb_exec *e, const void *bytes, size_t length, int64_t timeout_ms, size_t *ret_written, nb_error *err) {
    if (!e || (!bytes && length > 0) || !ret_written)
        return nb_fail(err, NB_E_INVALID, 0, "write to an exec: an argument is NULL");
    deadline until = deadline_in(timeout_ms);
    const uint8_t *at = bytes;
    size_t written = 0;
    int result = 0;
    (void) pthread_mutex_lock(&e->mutex);
    for (bool looked = false; written < length; looked = true) {
        if (!e->stdin_open) {
            result = nb_fail(err, NB_E_INVALID, 0, "write to an exec: its stdin is not open");
            break;
        }
        if (e->over) {
            if (e->error.code)
                result = lasting_error(e, err);
            written = length; /* nobody is there to read it: dropped, as a pipe's reader's end would */
            break;
        }
        size_t piece = queue_stdin(e, at + written, length - written);
        written += piece;
        if (piece > 0)
            continue;
        if (looked && deadline_passed(until)) {
            e->stdin_room_wanted = true;
            break;
        }
        if (e->stdin_flow.credit > 0)
            wait_writable(e, until);
        else
            pump(e, until);
    }
    if (result == 0 && e->pumping)
        (void) send_queued(e, NULL); /* taken they are, whether or not the shim reads in time */
    update_ready(e);
    (void) pthread_mutex_unlock(&e->mutex);
    if (result == 0)
        *ret_written = written;
    return result;
}

/* Sends the frame that @queue appends; to an exec that is over: nothing. */
static int request(nb_exec *e, bool (*queue)(nb_exec *e, const void *what), const void *what, nb_error *err) {
    int result = 0;
    (void) pthread_mutex_lock(&e->mutex);
    if (!e->over)
        result = queue(e, what) ? send_queued(e, err) : nb_fail_oom(err);
    (void) pthread_mutex_unlock(&e->mutex);
    return result;
}

static bool queue_end_of_stdin(nb_exec *e, const void *what) {
    bool queued = !e->stdin_open || wire_frame_end(&e->out, wire_channel(e->exec_id, WIRE_STREAM_STDIN));
    e->stdin_open = false;
    return queued;
}

int nb_exec_close_stdin(nb_exec *e, nb_error *err) {
    if (!e)
        return nb_fail(err, NB_E_INVALID, 0, "close an exec's stdin: it is NULL");
    return request(e, queue_end_of_stdin, NULL, err);
}

static bool queue_signal(nb_exec *e, const void *what) {
    return wire_control(&e->out, wire_encode_signal, (const msg_signal *) what);
}

int nb_exec_signal(nb_exec *e, int signal, nb_error *err) {
    if (!e || signal < 1 || signal > WIRE_SIGNAL_MAX)
        return nb_fail(err, NB_E_INVALID, 0, "signal an exec: %d is no signal from 1 to %d", signal, WIRE_SIGNAL_MAX);
    return request(e, queue_signal, &(msg_signal){.exec_id = e->exec_id, .signal = (uint8_t) signal}, err);
}

int nb_exec_kill(nb_exec *e, nb_error *err) {
    if (!e)
        return nb_fail(err, NB_E_INVALID, 0, "kill an exec: it is NULL");
    return request(e, queue_signal, &(msg_signal){.exec_id = e->exec_id, .signal = SIGKILL, .whole_tree = 1}, err);
}

static bool queue_detach(nb_exec *e, const void *what) {
    return wire_control(&e->out, wire_encode_detach, (&(msg_detach){0}));
}

int nb_exec_detach(nb_exec *e, nb_error *err) {
    if (!e)
        return nb_fail(err, NB_E_INVALID, 0, "detach from an exec: it is NULL");
    return request(e, queue_detach, NULL, err);
}

static bool queue_resize(nb_exec *e, const void *what) {
    return wire_control(&e->out, wire_encode_resize, (const msg_resize *) what);
}

int nb_exec_resize(nb_exec *e, uint16_t columns, uint16_t rows, nb_error *err) {
    if (!e || !e->tty || columns > WIRE_COLUMNS_MAX || rows > WIRE_ROWS_MAX)
        return nb_fail(err, NB_E_INVALID, 0, "resize an exec's terminal: it has none, or %u x %u is beyond %u x %u", columns, rows,
                       WIRE_COLUMNS_MAX, WIRE_ROWS_MAX);
    return request(e, queue_resize, &(msg_resize){.exec_id = e->exec_id, .columns = columns, .rows = rows}, err);
}
