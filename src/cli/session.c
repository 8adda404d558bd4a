/* SPDX-License-Identifier: Apache-2.0
 *
 * session.c - connects this program's streams, terminal and signals with a process in a box, until it ends
 *
 * Theory of operation
 *   One poll(2) loop over the exec's descriptor, the queue of signals, stdin and whichever of stdout and stderr has bytes waiting.
 *   stdin, stdout and stderr are shared with other programs, so their file descriptions are not made non-blocking: each is touched only
 *   after poll() said so. An output that is a pipe is opened a second time, and that description, ours alone, does not block. Where
 *   that is not permitted, a write is no longer than what a pipe with room takes without blocking. So a signal is heard even
 *   while the reader of our output sleeps.
 *
 *   At most one piece of each output is kept. While it waits its stream is held back, so the process is slowed down by the windows of the
 *   protocol and nothing here grows; the other stream goes on, for a reader who wants that one first.
 */
#include "cli/session.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "cli/cli.h"
#include "cli/signals.h"
#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A kill is answered in milliseconds, on a busy machine without KVM in a second. */
#define KILL_WAIT_MS 3000

#define STDIN_PIECE_SIZE 65536 /* a pipe's capacity */

typedef enum input_state {
    INPUT_OPEN,    /* read when there is room for it */
    INPUT_AT_END,  /* end of file was read; told to the process after what is held */
    INPUT_FINISHED /* nothing more goes in */
} input_state;

typedef struct output {
    nb_event_kind stream;
    int fd;       /* where it goes */
    int own_pipe; /* a description of our own of that pipe, which does not block, or -1 */
    uint8_t *memory;
    size_t capacity;
    const uint8_t *at;
    size_t left;
    uint64_t number; /* of its piece, in the order in which they came */
} output;

typedef struct session {
    nb_exec *exec;
    const session_options *options;
    signal_queue signals;
    terminal terminal;
    detach_filter filter;

    int killed_status;   /* 0: we killed nothing; else what we say when its end is not seen */
    deadline leave_at;   /* after a kill, if its end is not seen by then */
    bool output_closed;  /* nobody reads: output is dropped */
    unsigned interrupts; /* SIGINTs so far */

    input_state input;
    uint8_t input_bytes[STDIN_PIECE_SIZE + DETACH_KEYS_MAX]; /* and what was held back */
    size_t input_start, input_end;

    output outputs[2]; /* stdout, stderr */
    uint64_t pieces;

    bool is_over;
    session_result result;
} session;

static void finish(session *s, session_end end, int status) {
    s->is_over = true;
    s->result = (session_result){end, status};
}

/* @status  what is said when its end is not seen. An error is left to nb_exec_next(), which meets the same one. */
static void kill_process(session *s, int status) {
    if (s->killed_status)
        return;
    (void) nb_exec_kill(s->exec, NULL);
    s->killed_status = status;
    s->leave_at = deadline_in(KILL_WAIT_MS);
}

static void pass_size(const session *s) {
    uint16_t columns, rows;
    if (s->options->tty && terminal_size(STDIN_FILENO, &columns, &rows))
        (void) nb_exec_resize(s->exec, columns, rows, NULL);
}

static void on_signal(session *s, int number) {
    if (number == SIGWINCH) {
        pass_size(s);
    } else if (number != SIGINT || s->interrupts++ == 0) {
        (void) nb_exec_signal(s->exec, number, NULL);
    } else if (s->killed_status) {
        finish(s, SESSION_LEFT, s->killed_status);
    } else {
        kill_process(s, STATUS_SIGNAL + SIGINT);
    }
}

/* -1: it is no pipe, or another user's. */
static int open_own_pipe(int fd) {
    struct stat file;
    char path[32];
    if (fstat(fd, &file) < 0 || !S_ISFIFO(file.st_mode))
        return -1;
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
}

static ssize_t write_output(const output *o) {
    if (o->own_pipe >= 0)
        return write(o->own_pipe, o->at, o->left);
    struct stat file;
    bool is_file = fstat(o->fd, &file) == 0 && S_ISREG(file.st_mode);
    /* What a pipe with room is sure to take, pipe(7). */
    return write(o->fd, o->at, is_file || o->left < PIPE_BUF ? o->left : PIPE_BUF);
}

static int keep_output(session *s, output *o, const nb_event *event, nb_error *err) {
    if (s->output_closed || event->length == 0)
        return 0;
    if (event->length > o->capacity) {
        uint8_t *larger = realloc(o->memory, event->length);
        if (!larger)
            return nb_fail_oom(err);
        o->memory = larger;
        o->capacity = event->length;
    }
    memcpy(o->memory, event->bytes, event->length);
    o->at = o->memory;
    o->left = event->length;
    o->number = s->pieces++;
    return nb_exec_hold(s->exec, o->stream, true, err);
}

/* Whether something that is kept could be written now. */
static bool can_write(const session *s) {
    struct pollfd polled[2];
    for (size_t i = 0; i < 2; i++)
        polled[i] = (struct pollfd){.fd = s->outputs[i].left > 0 ? s->outputs[i].fd : -1, .events = POLLOUT};
    return (s->outputs[0].left > 0 || s->outputs[1].left > 0) && poll(polled, 2, 0) > 0;
}

static void drop_outputs(session *s) {
    for (size_t i = 0; i < 2; i++) {
        s->outputs[i].left = 0;
        (void) nb_exec_hold(s->exec, s->outputs[i].stream, false, NULL);
    }
}

static int on_output_writable(session *s, output *o, nb_error *err) {
    ssize_t n = write_output(o);
    if (n >= 0) {
        o->at += n;
        o->left -= (size_t) n;
        return o->left > 0 ? 0 : nb_exec_hold(s->exec, o->stream, false, err);
    }
    if (errno == EINTR || errno == EAGAIN)
        return 0;
    if (errno != EPIPE)
        return nb_fail(err, NB_E_STORAGE, errno, "write standard %s", o->fd == STDOUT_FILENO ? "output" : "error");
    s->output_closed = true;
    drop_outputs(s);
    kill_process(s, STATUS_SIGNAL + SIGPIPE);
    return 0;
}

static int on_input_readable(session *s, nb_error *err) {
    uint8_t typed[STDIN_PIECE_SIZE];
    ssize_t n = read(STDIN_FILENO, typed, sizeof(typed));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n < 0 && errno != EIO) /* that is a terminal's end: it was hung up */
        return nb_fail(err, NB_E_STORAGE, errno, "read standard input");
    bool detached = false;
    s->input_start = s->input_end = 0;
    if (n <= 0) {
        s->input = INPUT_AT_END;
    } else if (s->filter.keys) {
        s->input_end = detach_filter_feed(&s->filter, typed, (size_t) n, s->input_bytes, &detached);
    } else {
        memcpy(s->input_bytes, typed, (size_t) n);
        s->input_end = (size_t) n;
    }
    if (detached)
        finish(s, SESSION_DETACHED, STATUS_OK);
    return 0;
}

/* Gives the process what was read, as far as it has room. A box that is gone is told by nb_exec_next(). */
static void feed_input(session *s) {
    size_t left = s->input_end - s->input_start, written = 0;
    if (s->input == INPUT_FINISHED)
        return;
    if (left > 0) {
        int r = nb_exec_write(s->exec, s->input_bytes + s->input_start, left, 0, &written, NULL);
        if (r < 0 && r != -NB_E_TIMEOUT) {
            s->input = INPUT_FINISHED;
            return;
        }
        s->input_start += written;
    }
    if (s->input == INPUT_AT_END && s->input_start == s->input_end) {
        (void) nb_exec_close_stdin(s->exec, NULL);
        s->input = INPUT_FINISHED;
    }
}

static void on_exited(session *s, const nb_exit_status *status) {
    if (s->output_closed)
        finish(s, SESSION_CLOSED, STATUS_SIGNAL + SIGPIPE);
    else if (status->timed_out)
        finish(s, SESSION_EXITED, STATUS_TIMED_OUT);
    else
        finish(s, SESSION_EXITED, status->code);
}

/* Takes what the exec has to say until there is nothing that is not held back, or something that can be written
 * first: so the two outputs keep their order where nobody blocks. */
static int take_events(session *s, nb_error *err) {
    nb_event event = {.kind = NB_EVENT_NONE};
    do {
        int r = nb_exec_next(s->exec, 0, &event, err);
        if (r < 0)
            return r;
        switch (event.kind) {
        case NB_EVENT_STDOUT:
        case NB_EVENT_STDERR:
            r = keep_output(s, &s->outputs[event.kind == NB_EVENT_STDOUT ? 0 : 1], &event, err);
            if (r < 0)
                return r;
            break;
        case NB_EVENT_EXITED:
            on_exited(s, &event.status);
            break;
        case NB_EVENT_GAP:
            (void) fprintf(stderr, "nestbox: %zu bytes of standard %s were lost while nobody was attached\n", event.length,
                           event.stream == 1 ? "output" : "error");
            break;
        case NB_EVENT_STDIN_ROOM: /* feed_input() is tried in every round */
        case NB_EVENT_NONE:
            break;
        }
    } while (event.kind != NB_EVENT_NONE && !s->is_over && !can_write(s));
    return 0;
}

/* Sleeps until something can be done, and does it. */
static int wait_and_serve(session *s, nb_error *err) {
    bool wants_input = s->input == INPUT_OPEN && s->input_start == s->input_end;
    struct pollfd polled[] = {
        {.fd = s->signals.fd, .events = POLLIN},
        {.fd = nb_exec_fd(s->exec), .events = POLLIN}, /* only wakes us: take_events() comes next */
        {.fd = wants_input ? STDIN_FILENO : -1, .events = POLLIN},
        {.fd = s->outputs[0].left > 0 ? s->outputs[0].fd : -1, .events = POLLOUT},
        {.fd = s->outputs[1].left > 0 ? s->outputs[1].fd : -1, .events = POLLOUT},
    };
    const struct pollfd *signals = &polled[0], *input = &polled[2], *outputs = &polled[3];
    if (poll(polled, sizeof(polled) / sizeof(polled[0]), deadline_left_ms(s->leave_at)) < 0 && errno != EINTR)
        return nb_fail(err, NB_E_INTERNAL, errno, "wait for the command");
    if (deadline_passed(s->leave_at))
        finish(s, SESSION_LEFT, s->killed_status);
    for (int number; signals->revents && !s->is_over && (number = signals_next(&s->signals)) != 0;)
        on_signal(s, number);
    int r = 0;
    /* What came first goes first where both could: they may be one and the same file. */
    size_t first = s->outputs[0].number < s->outputs[1].number ? 0 : 1, which = outputs[first].revents ? first : 1 - first;
    if (outputs[which].revents && !s->is_over)
        r = on_output_writable(s, &s->outputs[which], err);
    if (input->revents && !s->is_over && r == 0)
        r = on_input_readable(s, err);
    return r;
}

static int pump(session *s, nb_error *err) {
    for (;;) {
        int r = can_write(s) ? 0 : take_events(s, err);
        if (r < 0 || s->is_over)
            return r;
        feed_input(s);
        r = wait_and_serve(s, err);
        if (r < 0)
            (void) nb_exec_kill(s->exec, NULL); /* nobody is left to read it */
        if (r < 0 || s->is_over)
            return r;
    }
}

int session_check_terminal(nb_error *err) {
    if (isatty(STDIN_FILENO))
        return 0;
    return nb_fail(err, NB_E_INVALID, 0, "the input device is not a TTY");
}

/* Until it is over. */
static int run_with_signals(session *s, nb_error *err) {
    const session_options *options = s->options;
    int r = 0;
    if (options->tty && options->feed_stdin && terminal_make_raw(STDIN_FILENO, &s->terminal) < 0)
        r = nb_fail(err, NB_E_STORAGE, errno, "set the terminal to raw mode");
    if (r == 0) {
        pass_size(s);
        int noted = signals_noted();
        if (noted)
            on_signal(s, noted);
        r = pump(s, err);
    }
    terminal_restore(&s->terminal);
    signals_give_back(&s->signals);
    return r;
}

int session_run(nb_exec *exec, const session_options *options, session_result *ret_result, nb_error *err) {
    session s = {.exec = exec, .options = options, .signals = {.fd = -1}, .leave_at = deadline_in(-1)};
    s.outputs[0] = (output){.stream = NB_EVENT_STDOUT, .fd = STDOUT_FILENO, .own_pipe = open_own_pipe(STDOUT_FILENO)};
    s.outputs[1] = (output){.stream = NB_EVENT_STDERR, .fd = STDERR_FILENO, .own_pipe = open_own_pipe(STDERR_FILENO)};
    s.input = options->feed_stdin ? INPUT_OPEN : INPUT_FINISHED;
    if (options->tty && options->feed_stdin && options->detach->count > 0)
        s.filter.keys = options->detach;
    int r = signals_take(&s.signals, err);
    if (r == 0)
        r = run_with_signals(&s, err);
    for (size_t i = 0; i < 2; i++) {
        (void) fd_close(s.outputs[i].own_pipe);
        free(s.outputs[i].memory);
    }
    if (r == 0)
        *ret_result = s.result;
    return r;
}
