/* SPDX-License-Identifier: Apache-2.0
 *
 * confine.c - holds a machine's process within limits of the host
 *
 * Theory of operation
 *   Where systemd runs, the tree of control groups is its own, and a user may limit nothing but through it: it is asked for a transient scope
 *   around the process (org.freedesktop.systemd1(5), StartTransientUnit), by busctl(1), which waits for nothing but the answer. The process runs
 *   meanwhile: a start costs no round trip more. The scope is there a moment after the answer; only what then stands in the group's
 *   files is believed. It goes by itself with its last process. Where systemd does not run or refuses, the groups are made by hand.
 */
#include "machine/confine.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/size.h"
#include "base/strv.h"
#include "machine/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUSCTL "/usr/bin/busctl"
/* For the answer: a busy bus may take a while, and nobody waits for it. */
#define ANSWER_TIMEOUT_MS 10000
#define LOOK_MS 20
#define LOOKS_MAX 250
#define ARGUMENT_SIZE 128

static void placed(confinement *c) {
    loop_timer_stop(&c->timer);
    if (c->applied)
        log_info(c->log, "limits: the host holds %u of %u, by way %d", c->applied, host_limits_wanted(&c->limits), (int) c->way);
    if (c->own.why[0])
        log_warning(c->log, "limits: %s", c->own.why);
    c->on_placed(c);
}

/* Keeps what systemd had against it: that is the reason that can be mended, should nothing else work either. */
static void place_by_hand(confinement *c, const char *refusal) {
    host_cgroup_place(c->pid, c->name, &c->limits, &c->own);
    c->applied = c->own.applied;
    c->way = !c->applied ? CONFINE_NONE : c->own.is_v1 ? CONFINE_V1 : CONFINE_V2;
    if (c->own.why[0] && refusal) {
        char why[2 * HOST_CGROUP_WHY_SIZE + 32];
        (void) snprintf(why, sizeof(why), "systemd: %s; %s", refusal, c->own.why);
        (void) snprintf(c->own.why, sizeof(c->own.why), "%.*s", (int) sizeof(c->own.why) - 1, why);
    }
    placed(c);
}

/* ---------------------------------------------------------------------------------------------------------------- systemd */

static void on_look(confinement *c) {
    char scope[HOST_CGROUP_NAME_SIZE + sizeof(".scope")];
    (void) snprintf(scope, sizeof(scope), "%s.scope", c->name);
    unsigned wanted = host_limits_wanted(&c->limits);
    c->applied = host_cgroup_look(c->pid, scope, &c->limits);
    if (c->applied == wanted || (c->looks == LOOKS_MAX && c->applied)) {
        c->way = CONFINE_SYSTEMD;
        if (c->applied != wanted)
            (void) snprintf(c->own.why, sizeof(c->own.why),
                            "systemd has made '%s', but without all of its limits: not all controllers are "
                            "delegated to this user",
                            scope);
        placed(c);
    } else if (c->looks++ == LOOKS_MAX)
        place_by_hand(c, "the scope that it was asked for did not appear");
    else
        loop_timer_start(&c->timer, LOOK_MS);
}

static void asker_done(confinement *c) {
    loop_fd_done(&c->asker_watch);
    if (c->asker_pidfd >= 0) {
        (void) process_signal(c->asker_pidfd, SIGKILL);
        while (waitpid(c->asker, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    c->asker_pidfd = fd_close(c->asker_pidfd);
    c->asker_output = fd_close(c->asker_output);
}

static void on_answer(loop_fd *watcher, uint32_t events) {
    confinement *c = watcher->user;
    char answer[HOST_CGROUP_WHY_SIZE / 2] = "";
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(c->asker, &status, WNOHANG)) < 0 && errno == EINTR)
        ;
    if (ended == 0)
        return;
    ssize_t n = read(c->asker_output, answer, sizeof(answer) - 1);
    answer[n > 0 ? n : 0] = '\0';
    answer[strcspn(answer, "\n")] = '\0';
    loop_fd_done(&c->asker_watch);
    c->asker_pidfd = fd_close(c->asker_pidfd); /* reaped: not to be signalled */
    asker_done(c);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        on_look(c);
    else
        place_by_hand(c, answer[0] ? answer : "busctl failed without a word");
}

static void on_timer(loop_timer *timer) {
    confinement *c = timer->user;
    if (c->asker_pidfd < 0) {
        on_look(c);
        return;
    }
    asker_done(c);
    place_by_hand(c, "no answer");
}

static void add_property(buf *argv, const char *name, const char *type, uint64_t value) {
    char number[ARGUMENT_SIZE];
    (void) snprintf(number, sizeof(number), "%" PRIu64, value);
    (void) (strv_add(argv, name) && strv_add(argv, type) && strv_add(argv, number));
}

/* The call as busctl(1) takes it: name, mode, an array of properties, an empty array of further units. */
static bool write_call(const confinement *c, buf *argv) {
    static const char *const method[] = {"call",
                                         "org.freedesktop.systemd1",
                                         "/org/freedesktop/systemd1",
                                         "org.freedesktop.systemd1.Manager",
                                         "StartTransientUnit",
                                         "ssa(sv)a(sa(sv))"};
    static const char *const description[] = {"Description", "s", "a Nestbox machine", "CollectMode", "s", "inactive-or-failed"};
    char text[ARGUMENT_SIZE];
    unsigned wanted = host_limits_wanted(&c->limits), count = 3;
    for (unsigned bit = HOST_LIMIT_CPU; bit <= HOST_LIMIT_TASKS; bit <<= 1)
        count += (wanted & bit) != 0;
    bool ok = strv_add(argv, BUSCTL);
    if (geteuid() == 0)
        ok = ok && strv_add(argv, "--system");
    else {
        /* Said as an address: a shim has none of its user's environment. */
        (void) snprintf(text, sizeof(text), "--address=unix:path=/run/user/%u/bus", (unsigned) geteuid());
        ok = ok && strv_add(argv, text);
    }
    ok = ok && strv_add_array(argv, method, ARRAY_LENGTH(method));
    (void) snprintf(text, sizeof(text), "%s.scope", c->name);
    ok = ok && strv_add(argv, text) && strv_add(argv, "fail");
    (void) snprintf(text, sizeof(text), "%u", count);
    ok = ok && strv_add(argv, text) && strv_add_array(argv, description, ARRAY_LENGTH(description));
    (void) snprintf(text, sizeof(text), "%d", (int) c->pid);
    ok = ok && strv_add(argv, "PIDs") && strv_add(argv, "au") && strv_add(argv, "1") && strv_add(argv, text);
    if (c->limits.cpu_us)
        add_property(argv, "CPUQuotaPerSecUSec", "t", c->limits.cpu_us * (1000000 / HOST_CGROUP_PERIOD_US));
    if (c->limits.memory_bytes)
        add_property(argv, "MemoryMax", "t", c->limits.memory_bytes);
    if (c->limits.tasks)
        add_property(argv, "TasksMax", "t", c->limits.tasks);
    return ok && strv_add(argv, "0");
}

/* 0: the answer is waited for. */
static int ask_systemd(confinement *c, nb_error *err) {
    CLEANUP(buf_done) buf argv;
    buf_init(&argv, 64 * ARGUMENT_SIZE);
    CLEANUP(cleanup_fd) int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    int ends[2];
    if (!write_call(c, &argv))
        return nb_fail_oom(err);
    if (nothing < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return nb_fail(err, NB_E_MACHINE, errno, "make a pipe");
    c->asker_output = ends[0];
    CLEANUP(cleanup_fd) int output = ends[1];
    const int fds[] = {nothing, nothing, output};
    int result = launch_program(strv_of(&argv), fds, ARRAY_LENGTH(fds), &c->asker, &c->asker_pidfd, err);
    if (result == 0 &&
        (fd_set_nonblock(c->asker_output, true) < 0 || loop_fd_init(c->loop, &c->asker_watch, c->asker_pidfd, EPOLLIN, on_answer, c) < 0))
        result = nb_fail(err, NB_E_MACHINE, errno, "watch '%s'", BUSCTL);
    if (result < 0)
        asker_done(c);
    else
        loop_timer_start(&c->timer, ANSWER_TIMEOUT_MS);
    return result;
}

/* ------------------------------------------------------------------------------------------------------------------- both */

void confine_begin(confinement *c, loop *l, const char *box_id) {
    nb_error why;
    c->loop = l;
    c->asker_pidfd = c->asker_output = -1;
    host_cgroup_name(box_id, c->name);
    loop_timer_init(l, &c->timer, on_timer, c);
    if (host_limits_wanted(&c->limits) == 0)
        placed(c);
    else if (access(HOST_SYSTEMD_RUNS, F_OK) < 0)
        place_by_hand(c, NULL);
    else if (ask_systemd(c, &why) < 0)
        place_by_hand(c, why.message);
}

void confine_done(confinement *c) {
    if (!c->loop)
        return;
    asker_done(c);
    loop_timer_done(&c->timer);
    for (size_t i = 0; i < c->own.group_count; i++)
        host_cgroup_remove(c->own.groups[i]);
    *c = (confinement){0};
}
