/* SPDX-License-Identifier: Apache-2.0
 *
 * agent.c - PID 1 while the box runs: between the link and the zygote
 *
 * Theory of operation
 *   One thread, one loop, nothing that blocks once the box is set up. SETUP gives the machine its identity, mounts the disk and has the
 *   zygote build the container; execs follow (exec.c). A machine that is to be saved for many boxes does all that for none of them yet, and each
 *   gives it its name, its limits and its randomness by a SETUP of its own. SHUTDOWN, or the end of the link or the zygote, kills what is left,
 *   lets the zygote go, and leaves unmounting to a helper process, because whatever touches the box's file system may hang.
 *
 *   A zygote that dies unasked leaves its children to us, as PID 1. What it had said is read to the end, spawns that it had not answered
 *   fail, and the others' ends are reaped here and told before GOODBYE: nobody has to guess a status.
 */
#include "guest/agent.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "guest/disk.h"
#include "guest/exec.h"
#include "guest/module.h"
#include "guest/volume.h"
#include "guest/zygote.h"
#include "wire/rehearsal.h"

#include <nestbox/error.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The descriptors of AGENT_EXECS_MAX execs, each with three streams, two of its control group and those that still wait for the zygote; PID 1
 * is born with 1,024. */
#define AGENT_FDS_MAX (16 * AGENT_EXECS_MAX)

/* Datagrams of the zygote that are worked off in one turn; what they give rise to goes to the host with one write. */
#define AGENT_DATAGRAMS_A_TURN 64

/* Killed processes are waited for this long, look by look, before the disk is unmounted under them. */
#define SHUTDOWN_LOOK_MS 5
#define SHUTDOWN_LOOKS_MAX 1000
/* After so many a volume that the host does not answer for is given up: whoever waits for it cannot even be killed. */
#define SHUTDOWN_LOOKS_FOR_VOLUMES 500
/* The driver that gives free memory back is loaded when the box has lived so long: a start does not wait for it, and a short life needs none. */
#define BALLOON_DELAY_MS 1000
/* How long the last words may take to leave. */
#define GOODBYE_MS 1000

static void on_shutdown_timer(loop_timer *timer);

/* ------------------------------------------------------------------------------------------------------- shutting down */

static void finish(agent *a, int error) {
    link_send(&a->link, wire_encode_goodbye, (&(msg_goodbye){.error = error}));
    link_drain(&a->link, GOODBYE_MS);
    loop_quit(a->loop);
}

static void start_unmounting(agent *a) {
    if (!a->places.disk) {
        finish(a, 0);
        return;
    }
    a->unmounter = fork();
    if (a->unmounter == 0)
        _exit(disk_unmount(a->places.disk, a->places.rootfs) < 0 ? errno & 0x7f : 0);
    if (a->unmounter < 0)
        finish(a, errno);
}

/* Everything of the box is to end. Safe to call twice. */
static void shut_down(agent *a) {
    if (a->shutting_down)
        return;
    a->shutting_down = true;
    cgroup_kill(a->cgroup.fd);
    /* The zygote lives in the container's namespaces and would keep its mounts: its socket's end ends it. */
    loop_fd_done(&a->zygote_watcher);
    a->zygote = fd_close(a->zygote);
    loop_timer_start(&a->shutdown_timer, 0);
}

static void on_shutdown_timer(loop_timer *timer) {
    agent *a = timer->user;
    bool left = a->zygote_pid != 0 || cgroup_is_populated(a->cgroup.fd) || (a->zygote_lost && exec_any_untold(a));
    if (left && a->shutdown_rounds++ < SHUTDOWN_LOOKS_MAX) {
        if (a->shutdown_rounds == SHUTDOWN_LOOKS_FOR_VOLUMES)
            volume_close_all(a);
        cgroup_kill(a->cgroup.fd);
        loop_timer_start(timer, SHUTDOWN_LOOK_MS);
        return;
    }
    exec_free_all(a);
    start_unmounting(a);
}

/* ------------------------------------------------------------------------------------------------------------- zygote */

static void handle_zygote(agent *a, const uint8_t *bytes, size_t length) {
    union {
        msg_built built;
        msg_build_failed build_failed;
        msg_created created;
        msg_create_failed create_failed;
        msg_ended ended;
    } m;
    switch (wire_message_id(bytes, length)) {
    case id_of_msg_built:
        if (a->prepared) /* no box that goes on from here is to write for it */
            sync();
        else if (a->places.is_machine)
            loop_timer_start(&a->balloon_timer, BALLOON_DELAY_MS);
        if (wire_decode_built(bytes, length, &m.built) == 0)
            link_send(&a->link, wire_encode_setup_done, (&(msg_setup_done){.container_pid = m.built.pid}));
        break;
    case id_of_msg_build_failed:
        if (wire_decode_build_failed(bytes, length, &m.build_failed) == 0)
            link_send(&a->link, wire_encode_setup_failed,
                      (&(msg_setup_failed){.error = m.build_failed.error, .message = m.build_failed.message}));
        break;
    case id_of_msg_created:
        if (wire_decode_created(bytes, length, &m.created) == 0)
            exec_created(a, &m.created);
        break;
    case id_of_msg_create_failed:
        if (wire_decode_create_failed(bytes, length, &m.create_failed) == 0)
            exec_create_failed(a, &m.create_failed);
        break;
    case id_of_msg_ended:
        if (wire_decode_ended(bytes, length, &m.ended) == 0)
            exec_ended(a, &m.ended);
        break;
    default:
        break;
    }
}

/* Takes one datagram. False with errno: there is none; EPIPE: there never will be one again; ECONNRESET: the zygote died with our requests
 * unread, which is said once, before what it had sent itself. */
static bool take_from_zygote(agent *a) {
    uint8_t bytes[ZYGOTE_DATAGRAM_MAX_BYTES];
    int fds[FD_PASS_MAX];
    size_t count = 0;
    ssize_t n = fd_receive_message(a->zygote, bytes, sizeof(bytes), fds, &count);
    while (count > 0)
        (void) fd_close(fds[--count]);
    if (n == 0)
        errno = EPIPE;
    if (n <= 0)
        return false;
    handle_zygote(a, bytes, (size_t) n);
    return true;
}

/* The zygote has died; unless we are shutting down, nobody wanted that. */
static void lose_zygote(agent *a) {
    if (a->shutting_down)
        return;
    while (take_from_zygote(a) || errno == ECONNRESET)
        ;
    a->zygote_lost = true;
    exec_fail_unborn(a, ECHILD);
    shut_down(a);
}

static bool zygote_is_dead(const agent *a) {
    siginfo_t found = {0};
    return a->zygote_pid > 0 && waitid(P_PID, (id_t) a->zygote_pid, &found, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           found.si_pid == a->zygote_pid;
}

static void on_zygote(loop_fd *watcher, uint32_t events) {
    agent *a = watcher->user;
    if (events & EPOLLOUT)
        exec_retry_creates(a);
    if (!(events & (EPOLLIN | EPOLLHUP)))
        return;
    for (unsigned i = 0; i < AGENT_DATAGRAMS_A_TURN; i++) {
        if (take_from_zygote(a))
            continue;
        if (errno == EPIPE || errno == ECONNRESET)
            lose_zygote(a);
        return;
    }
}

static void on_signal(loop_fd *watcher, uint32_t events) {
    agent *a = watcher->user;
    struct signalfd_siginfo drop;
    while (read(watcher->fd, &drop, sizeof(drop)) > 0)
        ;
    /* As PID 1 of the machine we inherit whatever lost its parent; all of it is ours to reap. */
    int status;
    struct rusage usage;
    pid_t pid;
    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
        if (pid == a->zygote_pid) {
            a->zygote_pid = 0;
            lose_zygote(a);
        } else if (pid == a->unmounter) {
            finish(a, WIFEXITED(status) ? WEXITSTATUS(status) : EIO);
        } else {
            if (zygote_is_dead(a)) /* and this child was its; of its own end we may hear later */
                lose_zygote(a);
            if (a->zygote_lost)
                exec_inherited_ended(a, pid, status, &usage);
        }
    }
}

/* --------------------------------------------------------------------------------------------------------------- setup */

static void tell_setup_failed(agent *a, int error, const char *message) {
    link_send(&a->link, wire_encode_setup_failed, (&(msg_setup_failed){.error = error, .message = wire_str(message)}));
}

/* random(4): adds the host's entropy, says that it counts, and has it used: another box that went on from the same saved machine does not draw the same
 * numbers. 0, or -1 with errno. */
static int add_entropy(wire_bytes entropy) {
    struct {
        int entropy_count, buf_size;
        uint8_t bytes[WIRE_ENTROPY_BYTES];
    } pool = {.entropy_count = (int) entropy.length * 8, .buf_size = (int) entropy.length};
    if (entropy.length == 0)
        return 0;
    memcpy(pool.bytes, entropy.at, entropy.length);
    CLEANUP(cleanup_fd) int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    return fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0 ? -1 : 0;
}

static int post_build(agent *a, const msg_setup *setup) {
    int fds[2] = {open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), a->cgroup.fd};
    if (fds[0] < 0)
        return -1;
    buf datagram;
    buf_init(&datagram, ZYGOTE_DATAGRAM_MAX_BYTES);
    msg_build build = {
        .hostname = setup->hostname,
        .rootfs = wire_str(a->places.rootfs),
        .setup_flags = setup->setup_flags,
        .has_cgroup = a->cgroup.fd >= 0,
    };
    ssize_t n = -1;
    if (wire_encode_build(&datagram, &build))
        n = fd_send_message(a->zygote, buf_bytes(&datagram), buf_length(&datagram), fds, a->cgroup.fd >= 0 ? 2 : 1);
    int error = errno;
    buf_done(&datagram);
    (void) fd_close(fds[0]);
    errno = error;
    return n < 0 ? -1 : 0;
}

static int handle_setup(agent *a, const uint8_t *bytes, size_t length) {
    msg_setup setup;
    if (a->set_up || wire_decode_setup(bytes, length, &setup) < 0)
        return -NB_E_PROTOCOL;
    bool was_prepared = a->prepared;
    a->prepared = setup.setup_flags & WIRE_SETUP_PREPARE;
    a->set_up = !a->prepared;
    if (a->places.is_machine) {
        if (add_entropy(setup.entropy) < 0) {
            tell_setup_failed(a, errno, "seed the random numbers anew");
            return 0;
        }
        struct timespec now = {.tv_sec = (time_t) (setup.wall_clock_ns / 1000000000u),
                               .tv_nsec = (long) (setup.wall_clock_ns % 1000000000u)};
        (void) clock_settime(CLOCK_REALTIME, &now);
    }
    char message[256];
    if (!was_prepared && a->places.disk && disk_mount(a->places.disk, a->places.rootfs, setup.disk_bytes, message, sizeof(message)) < 0)
        tell_setup_failed(a, errno, message);
    else if (a->places.cgroup && cgroup_box_make(&a->cgroup, a->places.cgroup, setup.memory_bytes, setup.pids_max, setup.cpu_quota_us) < 0)
        tell_setup_failed(a, errno, "make the box's control group");
    else if (post_build(a, &setup) < 0)
        tell_setup_failed(a, errno, "ask the zygote for the container");
    return 0;
}

/* ---------------------------------------------------------------------------------------------------------------- link */

/* Of all that could be run in a container that is no box's yet, what is not the image's. */
static bool is_rehearsal(const uint8_t *bytes, size_t length) {
    static const char argv[] = WIRE_REHEARSAL_ARGV;
    msg_spawn spawn;
    return wire_decode_spawn(bytes, length, &spawn) == 0 && spawn.exec_id != WIRE_MAIN_EXEC_ID && spawn.argv.bytes == sizeof(argv) &&
           memcmp(spawn.argv.at, argv, sizeof(argv)) == 0;
}

static int on_message(link_end *end, uint16_t id, const uint8_t *bytes, size_t length) {
    agent *a = end->user;
    msg_signal signal;
    msg_resize resize;
    msg_measured measured;
    if (id == id_of_msg_setup)
        return handle_setup(a, bytes, length);
    if (id == id_of_msg_shutdown) {
        shut_down(a);
        return 0;
    }
    if (!a->set_up && !(a->prepared && id == id_of_msg_spawn && is_rehearsal(bytes, length)))
        return -NB_E_PROTOCOL;
    switch (id) {
    case id_of_msg_spawn:
        return exec_begin(a, bytes, length);
    case id_of_msg_signal:
        return wire_decode_signal(bytes, length, &signal) < 0 ? -NB_E_PROTOCOL : exec_signal(a, &signal);
    case id_of_msg_resize:
        return wire_decode_resize(bytes, length, &resize) < 0 ? -NB_E_PROTOCOL : exec_resize(a, &resize);
    case id_of_msg_volume:
        return volume_open(a, bytes, length);
    case id_of_msg_measure:
        measured = cgroup_measure(&a->cgroup);
        link_send_soon(&a->link, wire_encode_measured, &measured);
        return 0;
    default:
        return -NB_E_PROTOCOL;
    }
}

static int on_data(link_end *end, uint32_t channel, const uint8_t *bytes, size_t length) {
    return volume_has_channel(channel) ? volume_answer(end->user, channel, bytes, length) : exec_stdin(end->user, channel, bytes, length);
}

static int on_credit(link_end *end, uint32_t channel, uint32_t credit) {
    return volume_has_channel(channel) ? volume_credit(end->user, channel, credit) : exec_credit(end->user, channel, credit);
}

static void on_room(link_end *end) {
    exec_resume_all(end->user);
    volume_resume_all(end->user);
}

static void on_retry(loop_timer *timer) {
    exec_resume_all(timer->user);
    volume_resume_all(timer->user);
}

/* Without the driver, or the device, memory stays with the machine until its end: no more than that. */
static void on_balloon(loop_timer *timer) {
    agent *a = timer->user;
    if (!a->shutting_down && module_load("virtio_balloon") < 0)
        (void) dprintf(STDERR_FILENO, "nestbox-guest: load virtio_balloon: %s: free memory is not given back\n", strerror(errno));
}

static void on_closed(link_end *end, const char *why) {
    if (why)
        (void) dprintf(STDERR_FILENO, "nestbox-guest: link: %s, shutting down\n", why);
    shut_down(end->user);
}

static const link_handlers handlers = {
    .on_message = on_message,
    .on_data = on_data,
    .on_credit = on_credit,
    .on_room = on_room,
    .on_closed = on_closed,
};

/* As far as it may: with fewer, fewer execs find place, and those that do not are told so. What the zygote makes keeps what it was born with. */
static void raise_descriptor_limit(void) {
    struct rlimit limit = {AGENT_FDS_MAX, AGENT_FDS_MAX};
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void) setrlimit(RLIMIT_NOFILE, &limit);
}

void agent_run(const agent_places *places, int link_fd, int zygote_fd, pid_t zygote_pid) {
    agent a = {.places = *places, .zygote = zygote_fd, .zygote_pid = zygote_pid, .cgroup = {.fd = -1}};
    sigset_t mask;
    (void) sigemptyset(&mask);
    (void) sigaddset(&mask, SIGCHLD);
    (void) sigprocmask(SIG_BLOCK, &mask, NULL);
    raise_descriptor_limit();
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void) sigaction(SIGPIPE, &ignore, NULL); /* a process that closed its stdin is told by EPIPE */
    int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    a.loop = loop_new();
    if (signals < 0 || !a.loop || loop_fd_init(a.loop, &a.signal_watcher, signals, EPOLLIN, on_signal, &a) < 0 ||
        loop_fd_init(a.loop, &a.zygote_watcher, a.zygote, EPOLLIN, on_zygote, &a) < 0) {
        (void) dprintf(STDERR_FILENO, "nestbox-guest: start the event loop: %s\n", strerror(errno));
        return;
    }
    loop_timer_init(a.loop, &a.shutdown_timer, on_shutdown_timer, &a);
    loop_timer_init(a.loop, &a.retry_timer, on_retry, &a);
    loop_timer_init(a.loop, &a.balloon_timer, on_balloon, &a);
    if (link_init(a.loop, &a.link, link_fd, TO_GUEST, &handlers, &a) < 0)
        (void) dprintf(STDERR_FILENO, "nestbox-guest: open the link: %s\n", strerror(errno));
    else if (loop_run(a.loop) < 0)
        (void) dprintf(STDERR_FILENO, "nestbox-guest: run the event loop: %s\n", strerror(errno));

    exec_free_all(&a);
    volume_free_all(&a);
    link_done(&a.link);
    cgroup_box_done(&a.cgroup);
    loop_fd_done(&a.signal_watcher);
    loop_fd_done(&a.zygote_watcher);
    loop_timer_done(&a.shutdown_timer);
    loop_timer_done(&a.retry_timer);
    loop_timer_done(&a.balloon_timer);
    (void) fd_close(a.zygote);
    (void) fd_close(signals);
    loop_free(a.loop);
}
