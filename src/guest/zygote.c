/* SPDX-License-Identifier: Apache-2.0
 *
 * zygote.c - creates every process of the container
 *
 * Theory of operation
 *   Forked from PID 1 before any other set-up; single-threaded and allocation-free for ever, because a child forked while a lock is
 *   held would inherit that lock. It is the parent of every exec and so the only one that can learn how they end, and it learns it
 *   pushed, by SIGCHLD.
 *
 *   Requests come in as datagrams (wire/messages.h, TO_ZYGOTE). BUILD clones the container's first process and, when that reports that
 *   all is mounted, moves the zygote itself into the container's namespaces: from then on one clone3 makes a process that is already
 *   where it belongs, in its cgroup, with the zygote as its parent. CREATE forks such a process and returns to the loop at once; what
 *   becomes of it is told by its report pipe (CREATED, CREATE_FAILED) and later by SIGCHLD (ENDED).
 *
 *   Nothing here waits: descriptors are nonblocking. A process is looked at when it has ended, but reaped only when the socket has taken its
 *   status: until then the kernel keeps it, and its pid is nobody else's. Were the zygote killed in between, the agent would inherit the
 *   process and read the same.
 *
 * Not here: what the new process does with itself (spawn.c), the container's mounts (container.c), streams (exec.c, in the agent).
 */
#include "guest/zygote.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "guest/container.h"
#include "guest/spawn.h"
#include "wire/message.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* FREE      unused
 * STARTING  forked; its report pipe is open. leaves by: the pipe's end -> RUNNING, a failed step -> FAILED, death -> as the pipe says
 * RUNNING   the program runs; CREATED was queued. leaves by: its end -> ENDED
 * FAILED    a step before the program failed; waits for its end -> FREE
 * ENDED     it has ended; the status waits to be sent -> FREE, and only then it is reaped */
typedef enum slot_state { SLOT_FREE = 0, SLOT_STARTING, SLOT_RUNNING, SLOT_FAILED, SLOT_ENDED } slot_state;

typedef struct slot {
    slot_state state;
    uint32_t exec_id;
    pid_t pid;
    int report;        /* STARTING: read end of its report pipe; else -1 */
    int32_t inner_pid; /* as the box sees it, once reported */
    bool news;         /* CREATED or CREATE_FAILED must be sent */
    bool ended;        /* FAILED: nothing is left but the news */
    uint8_t failed_step;
    int32_t failed_errno;
    int wait_status; /* ENDED */
    struct rusage usage;
} slot;

/* All that the zygote is; static, because it allocates nothing. */
static struct zygote {
    int agent;   /* seqpacket */
    int signals; /* signalfd: SIGCHLD */
    int epoll;
    buf message; /* memory reserved once, before the first request */
    slot slots[ZYGOTE_PROCESSES_MAX];
    size_t slots_used; /* all used slots are below this */
    pid_t container;   /* the first process, 0 before BUILD */
    int container_pidfd;
    int container_report;
    int container_orders; /* becomes the main command on a CREATE; -1 once used, or with an init */
    bool building;
    bool prepared;    /* the container is for whichever box gives it a name, by a BUILD without it */
    bool unsent;      /* a slot has something that the socket did not take */
    bool unreaped;    /* a child may have ended that nobody has looked at */
    uint32_t watched; /* the events of the agent's socket that epoll was told of */
} zygote;

/* epoll data: a slot's number, or one of these. */
#define EPOLL_AGENT UINT32_MAX
#define EPOLL_SIGNALS (UINT32_MAX - 1)
#define EPOLL_CONTAINER (UINT32_MAX - 2)

static int watch(int fd, uint32_t events, uint32_t what, int operation) {
    struct epoll_event event = {.events = events, .data.u32 = what};
    return epoll_ctl(zygote.epoll, operation, fd, &event);
}

/* Anything else that sending or receiving says passes, as a lack of memory. */
static bool means_agent_is_gone(int error) {
    return error == EPIPE || error == ECONNRESET || error == ENOTCONN;
}

/* Sends what @encoded put into the message buffer. False: not now. */
static bool send_message(bool encoded) {
    assert(encoded); /* every message of ours is small and made of checked values */
    ssize_t n = fd_send_message(zygote.agent, buf_bytes(&zygote.message), buf_length(&zygote.message), NULL, 0);
    buf_clear(&zygote.message);
    if (n < 0 && means_agent_is_gone(errno))
        _exit(0); /* and with it the box */
    return n >= 0;
}

static bool send_news(const slot *s) {
    if (s->state == SLOT_FAILED)
        return send_message(wire_encode_create_failed(
            &zygote.message, &(msg_create_failed){.exec_id = s->exec_id, .step = s->failed_step, .error = s->failed_errno}));
    return send_message(wire_encode_created(
        &zygote.message, &(msg_created){.exec_id = s->exec_id, .pid = (uint32_t) s->pid, .inner_pid = (uint32_t) s->inner_pid}));
}

static uint64_t microseconds(struct timeval t) {
    return (uint64_t) t.tv_sec * 1000000u + (uint64_t) t.tv_usec;
}

msg_ended zygote_ended_message(uint32_t exec_id, int wait_status, const struct rusage *usage) {
    return (msg_ended){
        .exec_id = exec_id,
        .code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0,
        .signal = WIFSIGNALED(wait_status) ? (uint8_t) WTERMSIG(wait_status) : 0,
        .user_time_us = microseconds(usage->ru_utime),
        .system_time_us = microseconds(usage->ru_stime),
        .max_rss_bytes = (uint64_t) usage->ru_maxrss * 1024,
    };
}

static bool send_ended(const slot *s) {
    msg_ended message = zygote_ended_message(s->exec_id, s->wait_status, &s->usage);
    return send_message(wire_encode_ended(&zygote.message, &message));
}

static void free_slot(slot *s) {
    s->report = fd_close(s->report);
    s->state = SLOT_FREE;
    while (zygote.slots_used > 0 && zygote.slots[zygote.slots_used - 1].state == SLOT_FREE)
        zygote.slots_used--;
}

/* Sends what a slot has to say, in order: what became of the spawn, then how it ended. */
static void deliver(slot *s) {
    if (s->news) {
        if (!send_news(s)) {
            zygote.unsent = true;
            return;
        }
        s->news = false;
    }
    if (s->state == SLOT_ENDED) {
        if (!send_ended(s)) {
            zygote.unsent = true;
            return;
        }
        free_slot(s);
    } else if (s->state == SLOT_FAILED && s->ended) {
        free_slot(s);
    }
}

static void refuse(uint32_t exec_id, unsigned step, int error) {
    /* A refusal has no slot to wait in; the agent has room for as many answers as it has asked questions. */
    struct pollfd writable = {.fd = zygote.agent, .events = POLLOUT};
    while (!send_message(
        wire_encode_create_failed(&zygote.message, &(msg_create_failed){.exec_id = exec_id, .step = (uint8_t) step, .error = error})))
        (void) poll(&writable, 1, -1);
}

static slot *find_free_slot(void) {
    for (size_t i = 0; i < ZYGOTE_PROCESSES_MAX; i++) {
        if (zygote.slots[i].state == SLOT_FREE) {
            if (i >= zygote.slots_used)
                zygote.slots_used = i + 1;
            return &zygote.slots[i];
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------- the container */

static void build_failed(int error, const char *message) {
    zygote.building = false;
    (void) send_message(wire_encode_build_failed(&zygote.message, &(msg_build_failed){.error = error, .message = wire_str(message)}));
}

static pid_t clone_process(uint64_t flags, int cgroup, int *ret_pidfd) {
    int pidfd = -1;
    struct clone_args arguments = {
        .flags = flags | (ret_pidfd ? CLONE_PIDFD : 0) | (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uint64_t) (uintptr_t) &pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = cgroup >= 0 ? (uint64_t) cgroup : 0,
    };
    pid_t pid = (pid_t) syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid > 0 && ret_pidfd)
        *ret_pidfd = pidfd;
    return pid;
}

static void copy_text(char *to, size_t size, wire_bytes text) {
    size_t length = text.length < size - 1 ? text.length : size - 1;
    memcpy(to, text.at, length);
    to[length] = '\0';
}

static void tell_built(void) {
    (void) send_message(wire_encode_built(&zygote.message, &(msg_built){.pid = (uint32_t) zygote.container}));
}

static void rename_container(const char *hostname, bool prepared) {
    char step[sizeof(((container_report *) NULL)->step)];
    zygote.prepared = prepared;
    if (container_rename(hostname, step, sizeof(step)) < 0)
        build_failed(errno, step);
    else
        tell_built();
}

static void handle_build(const uint8_t *bytes, size_t length, const int *fds, size_t count) {
    msg_build build;
    char rootfs[WIRE_PATH_MAX_BYTES + 1], hostname[WIRE_NAME_MAX_BYTES + 1];
    if (wire_decode_build(bytes, length, &build) < 0 || count != 1u + (build.has_cgroup ? 1 : 0) ||
        (zygote.container && (zygote.building || !zygote.prepared))) {
        build_failed(EBADMSG, "understand the request to build the container");
        return;
    }
    copy_text(rootfs, sizeof(rootfs), build.rootfs);
    copy_text(hostname, sizeof(hostname), build.hostname);
    if (zygote.container) {
        rename_container(hostname, build.setup_flags & WIRE_SETUP_PREPARE);
        return;
    }
    zygote.prepared = build.setup_flags & WIRE_SETUP_PREPARE;
    /* The agent has moved to another root since we were forked; follow it. */
    if (fchdir(fds[0]) < 0 || chroot(".") < 0 || chdir("/") < 0) {
        build_failed(errno, "follow the agent to its root");
        return;
    }
    int report[2], orders[2];
    if (pipe2(report, O_CLOEXEC) < 0) {
        build_failed(errno, "make a pipe");
        return;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, orders) < 0) {
        (void) fd_close(report[0]);
        (void) fd_close(report[1]);
        build_failed(errno, "make a socket pair");
        return;
    }
    pid_t pid = clone_process(CONTAINER_NAMESPACES, build.has_cgroup ? fds[1] : -1, &zygote.container_pidfd);
    if (pid == 0)
        container_become(&(container_spec){
            .rootfs = rootfs,
            .hostname = hostname,
            .init = build.setup_flags & WIRE_SETUP_INIT,
            .warm = zygote.prepared,
            .report = report[1],
            .orders = orders[1],
        });
    int error = errno;
    (void) fd_close(report[1]);
    (void) fd_close(orders[1]);
    if (pid < 0) {
        (void) fd_close(report[0]);
        (void) fd_close(orders[0]);
        build_failed(error, "clone the container's first process");
        return;
    }
    zygote.container = pid;
    zygote.container_report = report[0];
    zygote.container_orders = orders[0];
    zygote.building = true;
    if (build.setup_flags & WIRE_SETUP_INIT)
        zygote.container_orders = fd_close(zygote.container_orders);
    (void) watch(report[0], EPOLLIN, EPOLL_CONTAINER, EPOLL_CTL_ADD);
}

/* The first process has reported, or died before it could. */
static void on_container_report(void) {
    container_report report;
    ssize_t n = fd_read_full(zygote.container_report, &report, sizeof(report));
    (void) watch(zygote.container_report, 0, EPOLL_CONTAINER, EPOLL_CTL_DEL);
    zygote.container_report = fd_close(zygote.container_report);
    if (n != (ssize_t) sizeof(report)) {
        build_failed(ECHILD, "the container's first process died");
        return;
    }
    report.step[sizeof(report.step) - 1] = '\0';
    if (report.error) {
        build_failed(report.error, report.step);
        return;
    }
    /* From here on our children are born where they belong. The pid namespace counts for them only, never for us. */
    if (setns(zygote.container_pidfd, CONTAINER_NAMESPACES | CLONE_NEWCGROUP) < 0) {
        build_failed(errno, "enter the container");
        return;
    }
    zygote.building = false;
    tell_built();
}

/* ------------------------------------------------------------------------------------------------------ processes */

/* The descriptors of a CREATE by their places. False: the wrong number. */
static bool sort_descriptors(const msg_create *create, const int *fds, size_t count, spawn_descriptors *ret) {
    spawn_descriptors d = {.cgroup = -1, .console = -1, .report = -1};
    size_t cgroups = create->create_flags & WIRE_CREATE_CGROUP ? 1 : 0;
    bool tty = create->create_flags & WIRE_CREATE_TTY;
    if (count != 1 + cgroups + (tty ? 1 : 3))
        return false;
    d.options = *fds++;
    if (cgroups)
        d.cgroup = *fds++;
    if (tty)
        d.console = *fds;
    else
        memcpy(d.streams, fds, sizeof(d.streams));
    *ret = d;
    return true;
}

/* Hands a CREATE on to the waiting first process, with its report pipe. The pid, or -1 with errno. */
static pid_t order_main(const uint8_t *bytes, size_t length, const int *fds, size_t count, int report) {
    int all[FD_PASS_MAX];
    memcpy(all, fds, count * sizeof(int));
    all[count] = report;
    ssize_t n = fd_send_message(zygote.container_orders, bytes, length, all, count + 1);
    int error = errno;
    zygote.container_orders = fd_close(zygote.container_orders);
    errno = error;
    return n < 0 ? -1 : zygote.container;
}

static void handle_create(const uint8_t *bytes, size_t length, const int *fds, size_t count) {
    msg_create create;
    spawn_descriptors descriptors;
    if (wire_decode_create(bytes, length, &create) < 0)
        return; /* our own agent does not do that; without an id there is nobody to answer */
    if (!sort_descriptors(&create, fds, count, &descriptors)) {
        refuse(create.exec_id, WIRE_STEP_FORK, count == 0 ? EMFILE : EBADMSG); /* none: our table is full */
        return;
    }
    bool main_command = create.exec_id == WIRE_MAIN_EXEC_ID && zygote.container_orders >= 0;
    if (!zygote.container || zygote.building) {
        refuse(create.exec_id, WIRE_STEP_CONTAINER, ESRCH);
        return;
    }
    slot *s = find_free_slot();
    int report[2];
    if (!s || pipe2(report, O_CLOEXEC) < 0) {
        refuse(create.exec_id, WIRE_STEP_FORK, s ? errno : EAGAIN);
        return;
    }
    /* All that can fail comes before there is a process: once born it may have children of its own before it could be killed. */
    if (fd_set_nonblock(report[0], true) < 0 || watch(report[0], EPOLLIN, (uint32_t) (s - zygote.slots), EPOLL_CTL_ADD) < 0) {
        int error = errno;
        (void) fd_close(report[0]);
        (void) fd_close(report[1]);
        refuse(create.exec_id, WIRE_STEP_FORK, error);
        return;
    }
    descriptors.report = report[1];
    pid_t pid;
    if (main_command) {
        pid = order_main(bytes, length, fds, count, report[1]);
    } else {
        int cgroup = descriptors.cgroup;
        descriptors.cgroup = -1; /* born in it */
        pid = clone_process(0, cgroup, NULL);
        if (pid == 0)
            spawn_become(&descriptors);
    }
    int error = errno;
    (void) fd_close(report[1]);
    if (pid < 0) {
        (void) fd_close(report[0]);
        refuse(create.exec_id, WIRE_STEP_FORK, error);
        return;
    }
    *s = (slot){.state = SLOT_STARTING, .exec_id = create.exec_id, .pid = pid, .report = report[0]};
}

/* Reads a starting process's report as far as it goes. */
static void on_spawn_report(slot *s) {
    for (;;) {
        spawn_report report;
        ssize_t n = read(s->report, &report, sizeof(report)); /* written whole: it is far below PIPE_BUF */
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n == (ssize_t) sizeof(report) && report.step == WIRE_STEP_NONE) {
            s->inner_pid = report.value;
            continue;
        }
        /* Taken out by hand: a child that has not executed yet holds a copy, and would keep it reporting. */
        (void) watch(s->report, 0, 0, EPOLL_CTL_DEL);
        s->report = fd_close(s->report);
        s->news = true;
        if (n == (ssize_t) sizeof(report)) {
            s->state = SLOT_FAILED;
            s->failed_step = (uint8_t) report.step;
            s->failed_errno = report.value;
        } else if (s->inner_pid == 0) {
            s->state = SLOT_FAILED; /* died before its first word */
            s->failed_step = WIRE_STEP_FORK;
            s->failed_errno = ECHILD;
        } else {
            s->state = SLOT_RUNNING;
        }
        return;
    }
}

static slot *find_slot_by_pid(pid_t pid) {
    for (size_t i = 0; i < zygote.slots_used; i++) {
        if (zygote.slots[i].state != SLOT_FREE && zygote.slots[i].pid == pid)
            return &zygote.slots[i];
    }
    return NULL;
}

/* A slot's process has ended. True: all is said, and the slot is free. */
static bool end_slot(slot *s, const siginfo_t *end, const struct rusage *usage) {
    if (s->state == SLOT_STARTING)
        on_spawn_report(s); /* all it had to say is in the pipe */
    if (s->state == SLOT_FAILED) {
        s->ended = true;
    } else {
        s->state = SLOT_ENDED;
        s->wait_status = end->si_code == CLD_EXITED ? (end->si_status & 0xff) << 8 : end->si_status;
        s->usage = *usage;
    }
    deliver(s);
    return s->state == SLOT_FREE;
}

/* Tells of those that have ended, and reaps who was told of. */
static void reap(void) {
    siginfo_t end = {0};
    struct rusage usage;
    zygote.unreaped = false;
    /* libc's waitid() has no place for the usage */
    while (syscall(SYS_waitid, P_ALL, 0, &end, WEXITED | WNOHANG | WNOWAIT, &usage) == 0 && end.si_pid > 0) {
        pid_t pid = end.si_pid;
        slot *s = find_slot_by_pid(pid);
        if (s && !end_slot(s, &end, &usage)) {
            zygote.unreaped = true; /* there is no room for more anyway */
            return;
        }
        if (pid == zygote.container && zygote.container_orders >= 0)
            zygote.container_orders = fd_close(zygote.container_orders);
        (void) waitpid(pid, NULL, 0);
        end.si_pid = 0;
    }
}

/* Everything that there is to say, as far as the socket takes it. */
static void deliver_all(void) {
    zygote.unsent = false;
    for (size_t i = 0; i < zygote.slots_used && !zygote.unsent; i++)
        deliver(&zygote.slots[i]);
    if (!zygote.unsent && zygote.unreaped)
        reap();
    uint32_t wanted = EPOLLIN | (zygote.unsent ? EPOLLOUT : 0);
    if (wanted != zygote.watched && watch(zygote.agent, wanted, EPOLL_AGENT, EPOLL_CTL_MOD) == 0)
        zygote.watched = wanted;
}

static void handle_signal(const uint8_t *bytes, size_t length) {
    msg_signal_process request;
    if (wire_decode_signal_process(bytes, length, &request) < 0)
        return;
    for (size_t i = 0; i < zygote.slots_used; i++) {
        slot *s = &zygote.slots[i];
        /* Not yet reaped, so the pid is still this process's own. */
        if (s->exec_id == request.exec_id && (s->state == SLOT_STARTING || s->state == SLOT_RUNNING))
            (void) kill(s->pid, request.signal);
    }
}

/* ------------------------------------------------------------------------------------------------------- the loop */

static void on_agent(void) {
    uint8_t bytes[ZYGOTE_DATAGRAM_MAX_BYTES];
    int fds[FD_PASS_MAX];
    size_t count = 0;
    ssize_t n = fd_receive_message(zygote.agent, bytes, sizeof(bytes), fds, &count);
    if (n == 0 || (n < 0 && means_agent_is_gone(errno)))
        _exit(0);
    if (n < 0)
        return;
    switch (wire_message_id(bytes, (size_t) n)) {
    case id_of_msg_build:
        handle_build(bytes, (size_t) n, fds, count);
        break;
    case id_of_msg_create:
        handle_create(bytes, (size_t) n, fds, count);
        break;
    case id_of_msg_signal_process:
        handle_signal(bytes, (size_t) n);
        break;
    default:
        break;
    }
    while (count > 0)
        (void) fd_close(fds[--count]);
}

/* What they are about is done at the end of every turn. */
static void on_signals(void) {
    struct signalfd_siginfo drop;
    while (read(zygote.signals, &drop, sizeof(drop)) > 0)
        ;
    zygote.unreaped = true;
}

static _Noreturn void run(void) {
    struct epoll_event batch[64];
    for (;;) {
        int count = epoll_wait(zygote.epoll, batch, 64, -1);
        for (int i = 0; i < count; i++) {
            uint32_t what = batch[i].data.u32;
            if (what == EPOLL_SIGNALS)
                on_signals();
            else if (what == EPOLL_CONTAINER)
                on_container_report();
            else if (what == EPOLL_AGENT && batch[i].events & (EPOLLIN | EPOLLHUP))
                on_agent();
            else if (what < ZYGOTE_PROCESSES_MAX && zygote.slots[what].state == SLOT_STARTING)
                on_spawn_report(&zygote.slots[what]);
        }
        deliver_all();
    }
}

static _Noreturn void become_zygote(int socket) {
    (void) prctl(PR_SET_NAME, "zygote");
    fd_close_others(socket, socket); /* run natively, there is the agent's link */
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* Our memory and descriptors are in every child until it executes; the container's root must not get at them by ptrace. */
    (void) prctl(PR_SET_DUMPABLE, 0);
    /* Once here, and not in each child. */
    for (int number = 1; number < NSIG; number++)
        (void) sigaction(number, &(struct sigaction){.sa_handler = SIG_DFL}, NULL); /* KILL and STOP refuse, and need none */
    sigset_t mask;
    (void) sigemptyset(&mask);
    (void) sigaddset(&mask, SIGCHLD);
    (void) sigprocmask(SIG_BLOCK, &mask, NULL);
    zygote.agent = socket;
    zygote.container_report = zygote.container_orders = zygote.container_pidfd = -1;
    zygote.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    zygote.epoll = epoll_create1(EPOLL_CLOEXEC);
    buf_init(&zygote.message, ZYGOTE_DATAGRAM_MAX_BYTES);
    /* The one allocation, before the first request. */
    if (zygote.signals < 0 || zygote.epoll < 0 || !buf_reserve(&zygote.message, ZYGOTE_DATAGRAM_MAX_BYTES) ||
        watch(zygote.agent, zygote.watched = EPOLLIN, EPOLL_AGENT, EPOLL_CTL_ADD) < 0 ||
        watch(zygote.signals, EPOLLIN, EPOLL_SIGNALS, EPOLL_CTL_ADD) < 0)
        _exit(1);
    run();
}

pid_t zygote_fork(int *ret_socket) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        (void) fd_close(ends[0]);
        become_zygote(ends[1]);
    }
    (void) fd_close(ends[1]);
    if (pid < 0)
        (void) fd_close(ends[0]);
    else
        *ret_socket = ends[0];
    return pid;
}
