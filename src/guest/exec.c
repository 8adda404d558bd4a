/* SPDX-License-Identifier: Apache-2.0
 *
 * exec.c - one process of the box, as the agent sees it: its streams, its limits, its end
 *
 * Theory of operation
 *   exec_begin() makes the pipes (or the console's socket) and the cgroup, and posts CREATE to the zygote without waiting for it. The zygote's
 *   answers move the exec on. Output is read only while the host has granted credit and the link's queue has room, so one stream that
 *   nobody reads stalls itself alone.
 *
 *   The end: all that the leader wrote before it exited is in its pipes by the time the zygote has reaped it. So each stream is read
 *   for exactly as much as its pipe held then (FIONREAD), and beyond that until end of file or for EXEC_DRAIN_MS, whichever comes first: an
 *   orphan that keeps the pipe open delays nobody. A terminal cannot say how much it holds, only whether it holds anything: it is read
 *   until it is empty, which an orphan that writes for ever puts off by no more than TERMINAL_HELD_MAX_BYTES. Then the ends of the
 *   streams and EXITED go out, in this order. What an orphan writes later is read and dropped until end of file: it must not get SIGPIPE.
 *
 * Not here: creating the process (zygote.c, spawn.c).
 */
#include "guest/exec.h"

#include "base/clock.h"
#include "base/fd.h"
#include "guest/terminal.h"
#include "guest/volume.h"
#include "guest/zygote.h"

#include <nestbox/error.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long output of a leader's children may come after the leader's exit and still count. */
#define EXEC_DRAIN_MS 250
/* A window's worth: how often the process and we take turns is what a stream costs, above all where the processor is translated. Where the
 * kernel refuses, the usual 64 KiB must do. */
#define EXEC_PIPE_BYTES ((int) WIRE_WINDOW_BYTES)

/* Beyond what a terminal can hold: 4 KiB in its line discipline, and the kernel's buffers behind it, which are limited to 8 KiB and a little
 * (drivers/tty/pty.c, tty_buffer_set_limit). FIONREAD counts the first alone. */
#define TERMINAL_HELD_MAX_BYTES ((size_t) 64 << 10)

/* A stream that could not be watched is looked at again after this. */
#define EXEC_RETRY_MS 10

/* QUEUED    CREATE was not sent yet: the zygote's socket is full
 * CREATING  the zygote has it; leaves by CREATED, CREATE_FAILED
 * RUNNING   SPAWNED was told
 * DRAINING  the process has ended, its status is known; output is still being read
 * TOLD      EXITED was told; what orphans write is dropped */
typedef enum exec_state { EXEC_QUEUED, EXEC_CREATING, EXEC_RUNNING, EXEC_DRAINING, EXEC_TOLD } exec_state;

typedef struct out_stream {
    exec *owner;
    int fd; /* -1 at end of file */
    uint32_t channel;
    loop_fd watcher; /* there only while reading makes sense: a pipe that hangs up is always reported */
    wire_outflow flow;
    size_t must_read; /* DRAINING: bytes the leader had written that we have not read yet; of a terminal, as many as it can have been */
} out_stream;

struct exec {
    agent *agent;
    exec *next;
    uint32_t id;
    pid_t pid; /* from RUNNING on, as we see it */
    exec_state state;
    bool tty;
    int create_fds[FD_PASS_MAX]; /* QUEUED: what goes with CREATE */
    size_t create_fd_count;
    uint8_t create_flags;
    cgroup_leaf *cgroup;
    out_stream out[2];
    size_t out_count; /* 1 with a terminal */
    int stdin_fd;     /* pipe, or the terminal; -1: closed, what comes is dropped */
    bool stdin_open;  /* the host may still send */
    bool stdin_ended; /* close once stdin_queue is written */
    buf stdin_queue;
    loop_fd stdin_watcher;
    wire_inflow stdin_flow;
    int console; /* socket on which the terminal's master comes, or -1 */
    loop_fd console_watcher;
    loop_timer console_timer;
    loop_timer limit; /* the exec's timeout, then its grace */
    loop_timer drain;
    uint64_t timeout_ms;
    uint32_t grace_ms;           /* after the timeout, between SIGTERM and SIGKILL */
    uint32_t console_timeout_ms; /* a terminal that has not been handed over by then never will be */
    bool timed_out;
    bool out_of_memory;          /* what came for its stdin could not be kept */
    uint64_t tree_signals_early; /* a bit each: came before the process was born */
    uint64_t signals_unsent;     /* a bit each: the zygote's socket was full, or has not had the CREATE yet */
    msg_ended end;               /* from DRAINING on */
};

static void out_resume(out_stream *out);
static void stdin_write(exec *e);
static void maybe_tell_exit(exec *e);
static void signal_tree(exec *e, int signal);
static void fail_spawn(exec *e, unsigned step, int error);

static exec *find(agent *a, uint32_t id) {
    for (exec *e = a->execs; e; e = e->next) {
        if (e->id == id)
            return e;
    }
    return NULL;
}

static void exec_free(exec *e) {
    agent *a = e->agent;
    for (exec **at = &a->execs; *at; at = &(*at)->next) {
        if (*at == e) {
            *at = e->next;
            a->exec_count--;
            break;
        }
    }
    for (size_t i = 0; i < 2; i++) {
        loop_fd_done(&e->out[i].watcher);
        e->out[i].fd = fd_close(e->out[i].fd);
    }
    for (size_t i = 0; i < e->create_fd_count; i++)
        (void) fd_close(e->create_fds[i]);
    loop_fd_done(&e->stdin_watcher);
    loop_fd_done(&e->console_watcher);
    loop_timer_done(&e->console_timer);
    loop_timer_done(&e->limit);
    loop_timer_done(&e->drain);
    (void) fd_close(e->stdin_fd);
    (void) fd_close(e->console);
    buf_done(&e->stdin_queue);
    cgroup_leaf_give_back(&a->cgroup, e->cgroup);
    free(e);
}

/* TOLD, and nothing is left that could come: gone. */
static void free_if_over(exec *e) {
    if (e->state == EXEC_TOLD && e->out[0].fd < 0 && e->out[1].fd < 0 && !loop_timer_is_running(&e->limit))
        exec_free(e);
}

/* ---------------------------------------------------------------------------------------------------------- output */

static void out_close(out_stream *out) {
    loop_fd_done(&out->watcher);
    if (out->owner->tty && out->owner->stdin_fd == out->fd) {
        loop_fd_done(&out->owner->stdin_watcher);
        out->owner->stdin_fd = -1;
    }
    out->fd = fd_close(out->fd);
    out->must_read = 0;
}

/* One read. False: the stream is over, or there is nothing now. */
static bool out_read(out_stream *out) {
    exec *e = out->owner;
    ssize_t n;
    if (e->state == EXEC_TOLD) {
        static uint8_t dropped[WIRE_DATA_MAX_BYTES];
        n = read(out->fd, dropped, sizeof(dropped));
    } else {
        n = link_data_from_fd(&e->agent->link, out->channel, out->fd, out->flow.credit);
        if (n > 0) {
            out->flow.credit -= (uint32_t) n;
            out->must_read -= out->must_read < (size_t) n ? out->must_read : (size_t) n;
        }
    }
    if (n > 0)
        return true;
    if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOMEM))
        return false;
    out_close(out); /* end of file; a terminal says EIO when its last user closed it */
    return false;
}

static bool out_may_read(const out_stream *out) {
    if (out->owner->state < EXEC_RUNNING)
        return false; /* SPAWNED goes first: before it the host knows of no stream */
    return out->owner->state == EXEC_TOLD || (out->flow.credit > 0 && link_has_room(&out->owner->agent->link));
}

static void on_out_readable(loop_fd *watcher, uint32_t events) {
    out_stream *out = watcher->user;
    exec *e = out->owner;
    if (out_may_read(out))
        (void) out_read(out);
    if (out->fd >= 0 && !out_may_read(out))
        loop_fd_done(&out->watcher);
    if (e->state == EXEC_DRAINING)
        maybe_tell_exit(e);
    else
        free_if_over(e);
}

static void out_resume(out_stream *out) {
    if (out->fd < 0 || out->watcher.owner || !out_may_read(out))
        return;
    agent *a = out->owner->agent;
    if (loop_fd_init(a->loop, &out->watcher, out->fd, EPOLLIN, on_out_readable, out) < 0)
        loop_timer_start(&a->retry_timer, EXEC_RETRY_MS);
}

/* ----------------------------------------------------------------------------------------------------------- input */

static void stdin_credit(exec *e, size_t taken) {
    uint32_t credit = wire_inflow_consumed(&e->stdin_flow, taken);
    if (credit > 0 && e->state != EXEC_TOLD)
        link_credit(&e->agent->link, wire_channel(e->id, WIRE_STREAM_STDIN), credit);
}

/* Nobody reads any more: what is queued, and what still comes, is dropped, so that the sender is not held up. */
static void stdin_abandon(exec *e) {
    loop_fd_done(&e->stdin_watcher);
    if (!e->tty)
        e->stdin_fd = fd_close(e->stdin_fd);
    e->stdin_fd = -1;
    size_t left = buf_length(&e->stdin_queue);
    buf_clear(&e->stdin_queue);
    if (left > 0)
        stdin_credit(e, left);
}

static void stdin_finish(exec *e) {
    /* A terminal has no end of file of its own: the line discipline's end-of-file character stands for it. */
    static const uint8_t end_of_transmission = 4;
    if (e->tty && e->stdin_fd >= 0)
        (void) !write(e->stdin_fd, &end_of_transmission, 1);
    else
        stdin_abandon(e);
}

static void on_stdin_writable(loop_fd *watcher, uint32_t events);

static void stdin_write(exec *e) {
    while (e->stdin_fd >= 0 && buf_length(&e->stdin_queue) > 0) {
        ssize_t n = write(e->stdin_fd, buf_bytes(&e->stdin_queue), buf_length(&e->stdin_queue));
        if (n > 0) {
            buf_consume(&e->stdin_queue, (size_t) n);
            stdin_credit(e, (size_t) n);
        } else if (n < 0 && errno == EAGAIN) {
            if (!e->stdin_watcher.owner && loop_fd_init(e->agent->loop, &e->stdin_watcher, e->stdin_fd, EPOLLOUT, on_stdin_writable, e) < 0)
                loop_timer_start(&e->agent->retry_timer, EXEC_RETRY_MS);
            return;
        } else if (n == 0 || errno != EINTR) {
            stdin_abandon(e);
        }
    }
    loop_fd_done(&e->stdin_watcher);
    if (e->stdin_ended && e->console < 0) {
        e->stdin_ended = false;
        stdin_finish(e);
    }
}

static void on_stdin_writable(loop_fd *watcher, uint32_t events) {
    stdin_write(watcher->user);
}

/* Input was lost: the exec must not go on as if it had it. May free @e. */
static void fail_for_memory(exec *e) {
    if (e->state < EXEC_RUNNING) {
        fail_spawn(e, WIRE_STEP_AGENT, ENOMEM);
        return;
    }
    e->out_of_memory = true;
    stdin_abandon(e);
    signal_tree(e, SIGKILL);
}

/* Straight into the pipe as far as it takes it, without a copy in between; the rest waits. False: memory is out. */
static bool stdin_take(exec *e, const uint8_t *bytes, size_t length) {
    if (e->stdin_fd >= 0 && buf_length(&e->stdin_queue) == 0) {
        ssize_t n = write(e->stdin_fd, bytes, length);
        if (n > 0) {
            stdin_credit(e, (size_t) n);
            bytes += n;
            length -= (size_t) n;
        }
    }
    return length == 0 || buf_append(&e->stdin_queue, bytes, length); /* what a failed write means is stdin_write()'s to say */
}

int exec_stdin(agent *a, uint32_t channel, const uint8_t *bytes, size_t length) {
    exec *e = find(a, wire_channel_exec(channel));
    if (wire_channel_stream(channel) != WIRE_STREAM_STDIN)
        return -NB_E_PROTOCOL;
    if (!e)
        return 0; /* it has just ended; the host does not know yet */
    if (!e->stdin_open || !wire_inflow_received(&e->stdin_flow, length))
        return -NB_E_PROTOCOL;
    if (length == 0) {
        e->stdin_open = false;
        e->stdin_ended = true;
    } else if (e->stdin_fd < 0 && e->console < 0) {
        stdin_credit(e, length);
    } else if (!stdin_take(e, bytes, length)) {
        fail_for_memory(e); /* the window is the queue's maximum */
        return 0;
    }
    if (e->console < 0)
        stdin_write(e);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------- signalling */

/* Through the zygote: as the parent it alone knows that the pid is still the process's own. False: its socket is full. */
static bool post_signal(const agent *a, uint32_t id, int signal) {
    uint8_t memory[16];
    buf datagram = {.memory = memory, .capacity = sizeof(memory), .max_bytes = sizeof(memory)};
    bool encoded = wire_encode_signal_process(&datagram, &(msg_signal_process){.exec_id = id, .signal = (uint8_t) signal});
    assert(encoded);
    return fd_send_message(a->zygote, memory, buf_length(&datagram), NULL, 0) >= 0;
}

/* Posts what is to be posted, once the zygote has the CREATE. False: its socket is full. */
static bool post_signals(exec *e) {
    for (int signal = 1; signal <= WIRE_SIGNAL_MAX && e->signals_unsent && e->state != EXEC_QUEUED; signal++) {
        uint64_t bit = UINT64_C(1) << (signal - 1);
        if (!(e->signals_unsent & bit))
            continue;
        if (!post_signal(e->agent, e->id, signal))
            return false;
        e->signals_unsent &= ~bit;
    }
    return true;
}

static void signal_leader(exec *e, int signal) {
    e->signals_unsent |= UINT64_C(1) << (signal - 1);
    if (!post_signals(e))
        (void) loop_fd_set_events(&e->agent->zygote_watcher, EPOLLIN | EPOLLOUT);
}

/* To everything that came from the exec, whatever its session and its parent. A group's signal reaches only whom the group already has. */
static void signal_tree(exec *e, int signal) {
    if (!e->cgroup) {
        signal_leader(e, signal);
        return;
    }
    if (e->state < EXEC_RUNNING)
        e->tree_signals_early |= UINT64_C(1) << (signal - 1);
    if (signal == SIGKILL)
        cgroup_leaf_kill(e->cgroup);
    else if (e->state >= EXEC_RUNNING)
        cgroup_signal(cgroup_leaf_fd(e->cgroup), signal);
}

static void repeat_early_tree_signals(exec *e) {
    for (int signal = 1; signal <= WIRE_SIGNAL_MAX && e->tree_signals_early; signal++) {
        uint64_t bit = UINT64_C(1) << (signal - 1);
        if (e->tree_signals_early & bit)
            signal_tree(e, signal);
        e->tree_signals_early &= ~bit;
    }
}

static void tell_spawn_failed(agent *a, uint32_t id, unsigned step, int error) {
    link_send_soon(&a->link, wire_encode_spawn_failed, (&(msg_spawn_failed){.exec_id = id, .step = (uint8_t) step, .error = error}));
}

/* Before CREATED: gives the exec up and frees it. Nobody waits for its process, which may be stuck in the kernel; what the zygote says of it
 * later finds no exec. */
static void fail_spawn(exec *e, unsigned step, int error) {
    agent *a = e->agent;
    uint32_t id = e->id;
    signal_tree(e, SIGKILL);
    exec_free(e);
    tell_spawn_failed(a, id, step, error);
}

/* ----------------------------------------------------------------------------------------------------- the terminal */

/* Takes the terminal from its socket if it is there; the hand-over is over either way. False: it could not be had, and the exec is gone. */
static bool console_take(exec *e) {
    int master = terminal_receive(e->console);
    int error = errno;
    loop_fd_done(&e->console_watcher);
    loop_timer_stop(&e->console_timer);
    e->console = fd_close(e->console);
    if (master < 0 && error != EAGAIN && error != ECONNRESET) {
        fail_spawn(e, WIRE_STEP_TERMINAL, error);
        return false;
    }
    if (master < 0)
        return true; /* the process failed before it had a terminal: CREATE_FAILED or its end will tell */
    e->out[0].fd = e->stdin_fd = master;
    out_resume(&e->out[0]);
    stdin_write(e);
    return true;
}

static void on_console(loop_fd *watcher, uint32_t events) {
    (void) console_take(watcher->user);
}

static void on_console_timeout(loop_timer *timer) {
    exec *e = timer->user;
    if (console_take(e) && e->out[0].fd < 0)
        fail_spawn(e, WIRE_STEP_TERMINAL, ETIMEDOUT);
}

/* -------------------------------------------------------------------------------------------------------- the end */

static void tell_exit(exec *e) {
    agent *a = e->agent;
    for (size_t i = 0; i < e->out_count; i++)
        link_end_of_stream(&a->link, e->out[i].channel);
    bool oom = e->end.signal == SIGKILL && !e->timed_out && (e->out_of_memory || cgroup_take_oom_kill(&a->cgroup));
    msg_exited exited = {
        .exec_id = e->id,
        .code = e->end.code,
        .signal = e->end.signal,
        .exit_flags = (uint8_t) ((e->timed_out ? WIRE_EXIT_TIMED_OUT : 0) | (oom ? WIRE_EXIT_OOM : 0)),
        .user_time_us = e->end.user_time_us,
        .system_time_us = e->end.system_time_us,
        .max_rss_bytes = e->end.max_rss_bytes,
    };
    link_send_soon(&a->link, wire_encode_exited, &exited);
    e->state = EXEC_TOLD;
    loop_timer_stop(&e->drain);
    if (!e->timed_out)
        loop_timer_stop(&e->limit);
    stdin_abandon(e);
    for (size_t i = 0; i < e->out_count; i++)
        out_resume(&e->out[i]);
    free_if_over(e);
}

/* poll(2) moves what is still on its way into the line discipline before it answers. */
static bool terminal_is_empty(int fd) {
    struct pollfd look = {.fd = fd, .events = POLLIN};
    return poll(&look, 1, 0) == 0 || !(look.revents & POLLIN);
}

static bool out_is_drained(const exec *e, const out_stream *out) {
    if (out->fd < 0)
        return true;
    return !loop_timer_is_running(&e->drain) && (out->must_read == 0 || (e->tty && terminal_is_empty(out->fd)));
}

/* May free @e. */
static void maybe_tell_exit(exec *e) {
    if (out_is_drained(e, &e->out[0]) && out_is_drained(e, &e->out[1]))
        tell_exit(e);
}

static void on_drain_over(loop_timer *timer) {
    maybe_tell_exit(timer->user);
}

void exec_ended(agent *a, const msg_ended *message) {
    exec *e = find(a, message->exec_id);
    if (!e || e->state != EXEC_RUNNING)
        return;
    e->state = EXEC_DRAINING;
    e->end = *message;
    for (size_t i = 0; i < e->out_count; i++) {
        int waiting = 0;
        if (e->tty && e->out[i].fd >= 0)
            e->out[i].must_read = TERMINAL_HELD_MAX_BYTES;
        else if (e->out[i].fd >= 0 && ioctl(e->out[i].fd, FIONREAD, &waiting) == 0 && waiting > 0)
            e->out[i].must_read = (size_t) waiting;
        out_resume(&e->out[i]);
    }
    loop_timer_start(&e->drain, EXEC_DRAIN_MS);
    maybe_tell_exit(e);
}

void exec_inherited_ended(agent *a, pid_t pid, int wait_status, const struct rusage *usage) {
    for (exec *e = a->execs; e; e = e->next) {
        if (e->state == EXEC_RUNNING && e->pid == pid) {
            msg_ended message = zygote_ended_message(e->id, wait_status, usage);
            exec_ended(a, &message);
            return;
        }
    }
}

bool exec_any_untold(const agent *a) {
    for (const exec *e = a->execs; e; e = e->next) {
        if (e->state == EXEC_RUNNING || e->state == EXEC_DRAINING)
            return true;
    }
    return false;
}

/* First the timeout, then the grace after it. */
static void on_limit(loop_timer *timer) {
    exec *e = timer->user;
    if (!e->timed_out) {
        e->timed_out = true;
        signal_tree(e, SIGTERM);
        loop_timer_start(timer, e->grace_ms);
        return;
    }
    signal_tree(e, SIGKILL);
    free_if_over(e);
}

/* ----------------------------------------------------------------------------------------------------- the beginning */

/* The child's ends go to create_fds, ours into the exec. 0, or -1 with errno. */
static int make_streams(exec *e, const msg_spawn *spawn) {
    int ends[2];
    if (e->tty) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
            return -1;
        e->console = ends[0];
        e->create_fds[e->create_fd_count++] = ends[1];
        return fd_set_nonblock(e->console, true);
    }
    if (spawn->spawn_flags & WIRE_SPAWN_STDIN) {
        if (pipe2(ends, O_CLOEXEC) < 0)
            return -1;
        e->create_fds[e->create_fd_count++] = ends[0];
        e->stdin_fd = ends[1];
        (void) fcntl(ends[1], F_SETPIPE_SZ, EXEC_PIPE_BYTES);
        if (fd_set_nonblock(e->stdin_fd, true) < 0)
            return -1;
    } else {
        bool mounts = spawn->spawn_flags & WIRE_SPAWN_MOUNT;
        int other = mounts ? volume_take_mount(e->agent, spawn->argv) : open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (other < 0)
            return -1;
        e->create_fds[e->create_fd_count++] = other;
    }
    for (size_t i = 0; i < 2; i++) {
        if (pipe2(ends, O_CLOEXEC) < 0)
            return -1;
        e->out[i].fd = ends[0];
        e->create_fds[e->create_fd_count++] = ends[1];
        (void) fcntl(ends[0], F_SETPIPE_SZ, EXEC_PIPE_BYTES);
        if (fd_set_nonblock(ends[0], true) < 0)
            return -1;
    }
    return 0;
}

/* Everything that CREATE takes along, in its order. 0, or -1 with errno. */
static int make_create(exec *e, const uint8_t *bytes, size_t length, const msg_spawn *spawn) {
    int options = fd_sealed_memory("exec", bytes, length);
    if (options < 0)
        return -1;
    e->create_fds[e->create_fd_count++] = options;
    e->cgroup = cgroup_leaf_take(&e->agent->cgroup);
    if (!e->cgroup && errno)
        return -1;
    if (e->cgroup) {
        int copy = fcntl(cgroup_leaf_fd(e->cgroup), F_DUPFD_CLOEXEC, 0);
        if (copy < 0)
            return -1;
        e->create_fds[e->create_fd_count++] = copy;
    }
    e->create_flags = (uint8_t) ((e->tty ? WIRE_CREATE_TTY : 0) | (e->cgroup ? WIRE_CREATE_CGROUP : 0));
    return make_streams(e, spawn);
}

/* Posts CREATE and the signals that came before it could go. False: the zygote's socket is full; exec_retry_creates() comes back to it.
 * Where it cannot be posted at all, the exec fails and is gone. */
static bool post_create(exec *e) {
    uint8_t memory[16];
    buf datagram = {.memory = memory, .capacity = sizeof(memory), .max_bytes = sizeof(memory)};
    bool encoded = wire_encode_create(&datagram, &(msg_create){.exec_id = e->id, .create_flags = e->create_flags});
    assert(encoded);
    if (fd_send_message(e->agent->zygote, memory, buf_length(&datagram), e->create_fds, e->create_fd_count) < 0) {
        if (errno == EAGAIN)
            return false;
        fail_spawn(e, WIRE_STEP_AGENT, errno);
        return true;
    }
    while (e->create_fd_count > 0)
        (void) fd_close(e->create_fds[--e->create_fd_count]);
    e->state = EXEC_CREATING;
    return post_signals(e);
}

static exec *exec_new(agent *a, const msg_spawn *spawn) {
    exec *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    e->agent = a;
    e->id = spawn->exec_id;
    e->tty = spawn->spawn_flags & WIRE_SPAWN_TTY;
    e->stdin_open = spawn->spawn_flags & WIRE_SPAWN_STDIN;
    e->timeout_ms = spawn->timeout_ms;
    e->grace_ms = spawn->grace_ms;
    e->console_timeout_ms = spawn->console_timeout_ms;
    e->stdin_fd = e->console = -1;
    e->out_count = e->tty ? 1 : 2;
    for (unsigned i = 0; i < 2; i++) {
        e->out[i] = (out_stream){.owner = e, .fd = -1, .channel = wire_channel(e->id, i == 0 ? WIRE_STREAM_STDOUT : WIRE_STREAM_STDERR)};
        wire_outflow_init(&e->out[i].flow);
    }
    wire_inflow_init(&e->stdin_flow);
    buf_init(&e->stdin_queue, WIRE_WINDOW_BYTES);
    loop_timer_init(a->loop, &e->console_timer, on_console_timeout, e);
    loop_timer_init(a->loop, &e->limit, on_limit, e);
    loop_timer_init(a->loop, &e->drain, on_drain_over, e);
    e->next = a->execs;
    a->execs = e;
    a->exec_count++;
    return e;
}

int exec_begin(agent *a, const uint8_t *bytes, size_t length) {
    msg_spawn spawn;
    if (wire_decode_spawn(bytes, length, &spawn) < 0 || spawn.exec_id == 0 || spawn.exec_id > WIRE_EXEC_ID_MAX || find(a, spawn.exec_id))
        return -NB_E_PROTOCOL;
    exec *e = a->exec_count < AGENT_EXECS_MAX && !a->shutting_down ? exec_new(a, &spawn) : NULL;
    if (!e) {
        tell_spawn_failed(a, spawn.exec_id, WIRE_STEP_AGENT, a->exec_count < AGENT_EXECS_MAX ? ENOMEM : EAGAIN);
        return 0;
    }
    if (make_create(e, bytes, length, &spawn) < 0 ||
        (e->console >= 0 && loop_fd_init(a->loop, &e->console_watcher, e->console, EPOLLIN, on_console, e) < 0)) {
        int error = errno;
        exec_free(e);
        tell_spawn_failed(a, spawn.exec_id, WIRE_STEP_AGENT, error);
        return 0;
    }
    if (e->console >= 0)
        loop_timer_start(&e->console_timer, e->console_timeout_ms);
    if (!post_create(e))
        (void) loop_fd_set_events(&a->zygote_watcher, EPOLLIN | EPOLLOUT);
    return 0;
}

void exec_retry_creates(agent *a) {
    bool full = false;
    for (exec *e = a->execs, *next; e && !full; e = next) {
        next = e->next;
        full = e->state == EXEC_QUEUED ? !post_create(e) : !post_signals(e);
    }
    (void) loop_fd_set_events(&a->zygote_watcher, EPOLLIN | (full ? EPOLLOUT : 0));
}

void exec_created(agent *a, const msg_created *message) {
    exec *e = find(a, message->exec_id);
    if (!e)
        (void) post_signal(a, message->exec_id, SIGKILL); /* it was given up, see fail_spawn() */
    if (!e || e->state != EXEC_CREATING)
        return;
    if (e->console >= 0 && !console_take(e)) /* sent before the program could be executed */
        return;
    e->state = EXEC_RUNNING;
    e->pid = (pid_t) message->pid;
    link_send_soon(&a->link, wire_encode_spawned, (&(msg_spawned){.exec_id = e->id, .pid = message->inner_pid}));
    repeat_early_tree_signals(e);
    if (e->timeout_ms > 0)
        loop_timer_start(&e->limit, e->timeout_ms);
    for (size_t i = 0; i < e->out_count; i++)
        out_resume(&e->out[i]);
}

void exec_create_failed(agent *a, const msg_create_failed *message) {
    exec *e = find(a, message->exec_id);
    if (!e || e->state != EXEC_CREATING)
        return;
    exec_free(e);
    tell_spawn_failed(a, message->exec_id, message->step, message->error);
}

void exec_fail_unborn(agent *a, int error) {
    for (exec *e = a->execs, *next; e; e = next) {
        next = e->next;
        if (e->state < EXEC_RUNNING)
            fail_spawn(e, WIRE_STEP_FORK, error);
    }
}

/* ------------------------------------------------------------------------------------------------- what the host asks */

int exec_signal(agent *a, const msg_signal *message) {
    exec *e = find(a, message->exec_id);
    if (!e || e->state == EXEC_TOLD)
        return 0; /* it has just ended */
    if (message->signal < 1 || message->signal > WIRE_SIGNAL_MAX)
        return -NB_E_PROTOCOL;
    if (message->whole_tree)
        signal_tree(e, message->signal);
    else if (e->state != EXEC_DRAINING)
        signal_leader(e, message->signal);
    return 0;
}

int exec_resize(agent *a, const msg_resize *message) {
    exec *e = find(a, message->exec_id);
    if (message->columns > WIRE_COLUMNS_MAX || message->rows > WIRE_ROWS_MAX)
        return -NB_E_PROTOCOL;
    if (e && e->tty && e->out[0].fd >= 0)
        terminal_resize(e->out[0].fd, message->columns, message->rows);
    return 0;
}

int exec_credit(agent *a, uint32_t channel, uint32_t credit) {
    exec *e = find(a, wire_channel_exec(channel));
    unsigned stream = wire_channel_stream(channel);
    if (stream != WIRE_STREAM_STDOUT && stream != WIRE_STREAM_STDERR)
        return -NB_E_PROTOCOL;
    if (!e || e->state == EXEC_TOLD)
        return 0;
    out_stream *out = &e->out[stream == WIRE_STREAM_STDOUT ? 0 : 1];
    if (!wire_outflow_granted(&out->flow, credit))
        return -NB_E_PROTOCOL;
    out_resume(out);
    return 0;
}

void exec_resume_all(agent *a) {
    for (exec *e = a->execs; e; e = e->next) {
        for (size_t i = 0; i < e->out_count; i++)
            out_resume(&e->out[i]);
        if (buf_length(&e->stdin_queue) > 0 && e->stdin_fd >= 0)
            stdin_write(e);
    }
}

void exec_free_all(agent *a) {
    while (a->execs)
        exec_free(a->execs);
}
