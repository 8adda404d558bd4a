/* SPDX-License-Identifier: Apache-2.0
 *
 * test-agent-faults.c - every call on an exec's way that can fail, failing: the exec's end is typed, and the next one works
 *
 * Theory of operation
 *   A sweep: for each fault and each kind of exec, the fault's first call fails, then only its second one, and so on until an exec gets through
 *   without the fault. Whatever the fault did, the exec must end as it would have without it, or fail to spawn with a step and
 *   the fault's errno. After each, an exec without a fault must go well; after each sweep nothing may be open that was not open before.
 *   What faults can be had, and how they get into the agent, is in faults.h.
 */
#include "base/clock.h"
#include "base/fd.h"
#include "base/size.h"
#include "faults.h"
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* No exec makes one kind of call so often: a sweep that comes here does not end. */
#define CALLS_MAX 200

static fault_page *page;
static char page_path[64];

typedef enum subject_deed { LEAVE, TYPE, KILL_TREE } subject_deed;

/* A kind of exec, and its end when nothing fails. */
typedef struct subject {
    const char *name;
    msg_spawn request;
    subject_deed deed;
    const char *out;
    int code, signal;
    unsigned flags;
    unsigned failed_step;
    int failed_errno;
    bool needs_cgroup;
} subject;

static const subject subjects[] = {
    {"a command", {.argv = LIST("sh\0-c\0echo out; exit 3\0")}, .out = "out\n", .code = 3},
    {"a terminal", {.argv = LIST("sh\0-c\0echo out; exit 4\0"), .spawn_flags = WIRE_SPAWN_TTY}, .out = "out\r\n", .code = 4},
    {"an input", {.argv = LIST("cat\0"), .spawn_flags = WIRE_SPAWN_STDIN}, .deed = TYPE, .out = "typed"},
    {"a user", {.argv = LIST("sh\0-c\0id -u; id -G; echo $HOME\0"), .user = {(const uint8_t *) "tester", 6}}, .out = "77\n88 99\n/tmp\n"},
    {"a missing program", {.argv = LIST("nothing\0")}, .out = "", .failed_step = WIRE_STEP_EXECUTE, .failed_errno = ENOENT},
    {"a tree that is killed",
     {.argv = LIST("sh\0-c\0sleep 86431 & echo up; wait\0")},
     .deed = KILL_TREE,
     .out = "up\n",
     .signal = SIGKILL,
     .needs_cgroup = true},
    {"a time that is over",
     {.argv = LIST("sleep\00086431\0"), .timeout_ms = 20},
     .out = "",
     .signal = SIGTERM,
     .flags = WIRE_EXIT_TIMED_OUT,
     .needs_cgroup = true},
};

typedef struct fault {
    const char *name;
    fault_role role;
    fault_call call;
    int error;
    bool never; /* nobody makes this call: the sweep proves it */
} fault;

static const fault faults[] = {
    {"the agent's pipe2", FAULT_IN_AGENT, FAULT_PIPE2, EMFILE, false},
    {"the agent's memfd_create", FAULT_IN_AGENT, FAULT_MEMFD_CREATE, EMFILE, false},
    {"the agent's socketpair", FAULT_IN_AGENT, FAULT_SOCKETPAIR, EMFILE, false},
    {"the agent's fcntl", FAULT_IN_AGENT, FAULT_FCNTL, EMFILE, false},
    {"the agent's openat", FAULT_IN_AGENT, FAULT_OPENAT, EMFILE, false},
    {"the agent's sendmsg, for now", FAULT_IN_AGENT, FAULT_SENDMSG, EAGAIN, false},
    {"the agent's sendmsg", FAULT_IN_AGENT, FAULT_SENDMSG, ENOMEM, false},
    {"the agent's recvmsg", FAULT_IN_AGENT, FAULT_RECVMSG, ENOMEM, false},
    {"the agent's recvmsg of descriptors", FAULT_IN_AGENT, FAULT_RECVMSG, FAULT_LOSE_DESCRIPTORS, false},
    {"the agent's malloc", FAULT_IN_AGENT, FAULT_MALLOC, ENOMEM, false},
    {"the agent's calloc", FAULT_IN_AGENT, FAULT_CALLOC, ENOMEM, false},
    {"the agent's epoll_ctl", FAULT_IN_AGENT, FAULT_EPOLL_CTL, ENOMEM, false},
    {"the zygote's clone3, no process", FAULT_IN_ZYGOTE, FAULT_CLONE3, EAGAIN, false},
    {"the zygote's clone3, no memory", FAULT_IN_ZYGOTE, FAULT_CLONE3, ENOMEM, false},
    {"the zygote's pipe2", FAULT_IN_ZYGOTE, FAULT_PIPE2, EMFILE, false},
    {"the zygote's sendmsg, for now", FAULT_IN_ZYGOTE, FAULT_SENDMSG, EAGAIN, false},
    {"the zygote's sendmsg", FAULT_IN_ZYGOTE, FAULT_SENDMSG, ENOMEM, false},
    {"the zygote's recvmsg", FAULT_IN_ZYGOTE, FAULT_RECVMSG, ENOMEM, false},
    {"the zygote's recvmsg of descriptors", FAULT_IN_ZYGOTE, FAULT_RECVMSG, FAULT_LOSE_DESCRIPTORS, false},
    {"the zygote's epoll_ctl", FAULT_IN_ZYGOTE, FAULT_EPOLL_CTL, ENOMEM, false},
    {"the zygote's malloc", FAULT_IN_ZYGOTE, FAULT_MALLOC, ENOMEM, true},
    {"the zygote's calloc", FAULT_IN_ZYGOTE, FAULT_CALLOC, ENOMEM, true},
    {"a new process's malloc", FAULT_IN_CHILD, FAULT_MALLOC, ENOMEM, false},
    {"a new process's calloc", FAULT_IN_CHILD, FAULT_CALLOC, ENOMEM, false},
    {"a new process's sendmsg", FAULT_IN_CHILD, FAULT_SENDMSG, ENOMEM, false},
};

static void arm(const fault *f, int calls_before) {
    page->role = f->role;
    page->error = f->error;
    atomic_store(&page->left, calls_before);
    atomic_store(&page->fired, 0);
    atomic_store(&page->call, f->call);
}

/* True: it has happened. */
static bool disarm(void) {
    atomic_store(&page->call, FAULT_NONE);
    return atomic_load(&page->fired) != 0;
}

static void fail_sweep(native *n, const fault *f, const subject *s, int call, const native_exec *e, const char *what) {
    print_error("%s fails (call %d), and %s %s\n", f->name, call + 1, s->name, what);
    print_error("  spawned %d, failed %d (%s: %s), exited %d (code %d, signal %u, flags %u), stdout '%.*s'\n", e->spawned, e->failed,
                wire_step_text(e->failure.step), strerror(e->failure.error), e->exited, e->exit.code, e->exit.signal, e->exit.exit_flags,
                (int) buf_length(&e->out[0]), buf_length(&e->out[0]) ? (const char *) buf_bytes(&e->out[0]) : "");
    native_print_state(n);
    fail_msg("%s fails (call %d), and %s %s", f->name, call + 1, s->name, what);
}

static bool ended_as_without_a_fault(const subject *s, const native_exec *e) {
    if (s->failed_step)
        return e->failed && e->failure.step == s->failed_step && e->failure.error == s->failed_errno;
    return e->exited && e->exit.code == s->code && e->exit.signal == s->signal && e->exit.exit_flags == s->flags &&
           buf_length(&e->out[0]) == strlen(s->out) && (!*s->out || memcmp(buf_bytes(&e->out[0]), s->out, strlen(s->out)) == 0);
}

/* What also is true: SIGTERM came to nobody, and so SIGKILL had to end it; input that could not be kept ended it. */
static bool ended_harder(const fault *f, const subject *s, const native_exec *e) {
    unsigned flags = s->deed == TYPE && f->error == ENOMEM ? WIRE_EXIT_OOM : s->flags & WIRE_EXIT_TIMED_OUT;
    return flags && e->exited && e->exit.code == 0 && e->exit.signal == SIGKILL && e->exit.exit_flags == flags;
}

static bool failed_by_the_fault(const fault *f, const native_exec *e) {
    int error = f->error == FAULT_LOSE_DESCRIPTORS ? EMFILE : f->error;
    return e->failed && !e->spawned && e->failure.step != WIRE_STEP_NONE && e->failure.error == error;
}

/* One exec with one fault. True: the fault has happened. */
static bool run_with(native *n, const fault *f, const subject *s, int call) {
    arm(f, call);
    uint32_t id = native_spawn(n, s->request);
    native_exec *e = native_get(n, id);
    bool to_kill = s->deed == KILL_TREE;
    if (s->deed == TYPE) {
        (void) native_write_some(n, id, "typed", 5);
        native_close_stdin(n, id);
    }
    deadline until = deadline_in(NATIVE_WAIT_MS);
    while (!e->exited && !e->failed) {
        if (n->fd < 0)
            fail_sweep(n, f, s, call, e, "ends the box");
        if (deadline_passed(until))
            fail_sweep(n, f, s, call, e, "hangs");
        (void) native_pump_for(n, 100);
        if (to_kill && e->received[0] > 0) {
            to_kill = false;
            native_tell(n, wire_encode_signal, (&(msg_signal){.exec_id = id, .signal = SIGKILL, .whole_tree = 1}));
        }
    }
    bool fired = disarm();
    if (!ended_as_without_a_fault(s, e) && !(fired && (failed_by_the_fault(f, e) || ended_harder(f, s, e))))
        fail_sweep(n, f, s, call, e, "ends in a way that is not true");
    native_forget(n, id);
    return fired;
}

static void run_well(native *n, const subject *s) {
    static const fault none = {.name = "nothing", .call = FAULT_NONE};
    (void) run_with(n, &none, s, 0);
}

static unsigned sweep(native *n, const fault *f, const subject *s) {
    unsigned fired = 0;
    for (int call = 0; run_with(n, f, s, call); call++) {
        assert_true(call < CALLS_MAX);
        fired++;
        run_well(n, &subjects[0]);
    }
    return fired;
}

static unsigned agents_fds(const native *n) {
    unsigned groups;
    return native_count_fds_outside(n->agent, n->cgroup, &groups);
}

static void a_call_that_fails_is_that_execs_own_trouble(void **state) {
    native *n = native_start(WIRE_SETUP_INIT);
    static const char prepare[] = "echo tester:x:77:88::/tmp:/bin/sh >/etc/passwd; echo more:x:99:tester >/etc/group";
    assert_int_equal(native_wait(n, native_shell(n, prepare))->exit.code, 0);
    native_settle(n);
    unsigned agent_fds = agents_fds(n), zygote_fds = native_count_fds(n->zygote);
    for (size_t i = 0; i < ARRAY_LENGTH(faults); i++) {
        unsigned fired = 0;
        for (size_t j = 0; j < ARRAY_LENGTH(subjects); j++) {
            if (!subjects[j].needs_cgroup || native_has_cgroup())
                fired += sweep(n, &faults[i], &subjects[j]);
        }
        native_wait_empty_box(n);
        native_settle(n);
        print_message("%s: failed %u times\n", faults[i].name, fired);
        assert_int_equal(agents_fds(n), agent_fds);
        assert_int_equal(native_count_fds(n->zygote), zygote_fds);
        assert_int_equal(native_count_zombies(n->agent) + native_count_zombies(n->zygote), 0);
        if (faults[i].never == (fired > 0))
            fail_msg("%s: %s", faults[i].name, fired ? "the zygote allocates" : "no exec has come upon it");
    }
    native_stop(n);
}

/* The process opens its terminal, never hands it over, and stays alive. */
static void s22_a_terminal_that_is_never_handed_over_fails_its_exec_alone(void **state) {
    static const fault hang = {.role = FAULT_IN_CHILD, .call = FAULT_SENDMSG, .error = FAULT_HANG};
    native *n = native_start(WIRE_SETUP_INIT);
    msg_spawn request = {.argv = LIST("sh\0-c\0echo out; exit 4\0"), .spawn_flags = WIRE_SPAWN_TTY, .console_timeout_ms = 1500};
    for (unsigned round = 0; round < 3; round++) {
        arm(&hang, 0);
        uint32_t stuck = native_spawn(n, request);
        while (!atomic_load(&page->fired))
            assert_false(native_pump_for(n, 1) && native_get(n, stuck)->failed);
        for (unsigned i = 0; i < 20; i++)
            run_well(n, &subjects[i % 2]);
        native_exec *e = native_wait(n, stuck);
        assert_true(e->failed && !e->spawned);
        assert_int_equal(e->failure.step, WIRE_STEP_TERMINAL);
        assert_int_equal(e->failure.error, ETIMEDOUT);
        if (native_has_cgroup())
            native_wait_empty_box(n);
        run_well(n, &subjects[1]);
    }
    native_stop(n);
}

static void make_page(void) {
    (void) snprintf(page_path, sizeof(page_path), "/tmp/nestbox-faults-XXXXXX");
    int fd = mkostemp(page_path, O_CLOEXEC);
    if (fd < 0 || ftruncate(fd, sizeof(*page)) < 0 || setenv(FAULTS_VARIABLE, page_path, 1) < 0)
        abort();
    page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        abort();
    (void) fd_close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_fails_is_that_execs_own_trouble),
        cmocka_unit_test(s22_a_terminal_that_is_never_handed_over_fails_its_exec_alone),
    };
    const char *why = native_prepare();
    make_page();
    if (why)
        (void) printf("skipped: %s\n", why);
    int result = why ? 77 : cmocka_run_group_tests(tests, NULL, NULL);
    native_clean_up();
    (void) unlink(page_path);
    return result;
}
