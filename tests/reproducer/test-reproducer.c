/* SPDX-License-Identifier: Apache-2.0
 *
 * test-reproducer.c - the faults of concurrent execs, shown in a wrong agent and not to be had from ours
 *
 * Theory of operation
 *   Each fault is one function that drives an agent over its link and reports what it saw; it runs against both. No fault is inferred from
 *   something taking long: a process that hangs is one that the kernel shows waiting for a lock that nobody is left to open; an exec that is
 *   held up is one that has not begun although the one it waits for cannot end before the test lets it; a lost status is another
 *   number. docs/investigations/concurrent-exec.md tells the story of each.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/size.h"
#include "native.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LOOK_MS 5
#define LOOKS_MAX (NATIVE_WAIT_MS / LOOK_MS)

static char our_agent[512], wrong_agent[512]; /* their paths */

static void look_again(unsigned *looks, const char *for_what) {
    if (++*looks > LOOKS_MAX)
        fail_msg("%s never came about", for_what);
    (void) nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
}

static native *start_ours(void) {
    assert_int_equal(setenv("NESTBOX_TEST_GUEST", our_agent, 1), 0);
    return native_start(WIRE_SETUP_INIT);
}

static native *start_wrong(const char *fault) {
    assert_int_equal(setenv("NESTBOX_TEST_GUEST", wrong_agent, 1), 0);
    assert_int_equal(setenv("NESTBOX_WRONG", fault, 1), 0);
    return native_start(WIRE_SETUP_INIT);
}

static char *read_process_file(pid_t pid, const char *name) {
    char path[64], *text;
    size_t length;
    (void) snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, name);
    return file_read(AT_FDCWD, path, 1 << 16, &text, &length) == 0 ? text : NULL;
}

/* The kernel shows the thread waiting for a lock of its memory. */
static bool waits_for_a_lock(pid_t pid) {
    CLEANUP(cleanup_free) char *call = read_process_file(pid, "syscall");
    return call && strtol(call, NULL, 10) == SYS_futex;
}

/* What the pids of a process are, from this host's namespace inwards. How many. */
static size_t read_pids(pid_t pid, pid_t *ret_pids, size_t max) {
    CLEANUP(cleanup_free) char *status = read_process_file(pid, "status");
    char *at = status ? strstr(status, "\nNSpid:") : NULL;
    size_t count = 0;
    for (at = at ? at + strlen("\nNSpid:") : NULL; at && count < max; count++) {
        char *end;
        ret_pids[count] = (pid_t) strtol(at, &end, 10);
        if (end == at)
            break;
        at = *end == '\n' ? NULL : end;
    }
    return count;
}

#define LEVELS_MAX 8

/* This host's pid of a child of @parent that has @inner as its innermost one; 0: there is none. */
static pid_t find_process(pid_t parent, pid_t inner) {
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    pid_t found = 0;
    assert_non_null(processes);
    while (!found && (entry = readdir(processes))) {
        pid_t pids[LEVELS_MAX], pid = (pid_t) strtol(entry->d_name, NULL, 10);
        size_t count = pid > 0 ? read_pids(pid, pids, LEVELS_MAX) : 0;
        if (count > 0 && pids[count - 1] == inner && native_status_number(pid, "PPid") == parent)
            found = pid;
    }
    (void) closedir(processes);
    return found;
}

/* ------------------------------------------------------------------------------------------------------ the allocator */

/* 20 execs, of which every second one is made while another thread allocates, if there is one. */
static void an_allocator_that_was_locked_when_its_process_was_cloned(void **state) {
    native *n = start_ours();
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(native_wait(n, native_shell(n, "echo out; exit 3"))->exit.code, 3);
        assert_int_equal(native_status_number(n->agent, "Threads"), 1); /* nobody else is there to be inside */
        assert_int_equal(native_status_number(n->zygote, "Threads"), 1);
    }
    native_stop(n);

    n = start_wrong("allocator");
    assert_int_equal(native_wait(n, native_shell(n, "echo out; exit 3"))->exit.code, 3); /* it works, most of the time */
    uint32_t id = native_shell(n, "echo out; exit 3");
    pid_t child = find_process(n->agent, (pid_t) native_wait_spawned(n, id)->pid);
    assert_true(child > 0);
    unsigned looks = 0;
    while (!waits_for_a_lock(child))
        look_again(&looks, "the hang in the allocator");
    /* It is alone in its memory: nobody can ever open the lock. */
    assert_int_equal(native_status_number(child, "Threads"), 1);
    native_settle(n);
    assert_false(native_get(n, id)->exited);
    assert_int_equal(native_get(n, id)->received[0], 0);
    native_stop(n);
}

/* ------------------------------------------------------------------------------------------------- not the parent */

static unsigned count_lost_codes(native *n) {
    unsigned lost = 0;
    for (int code = 1; code <= 20; code++) {
        char script[32];
        (void) snprintf(script, sizeof(script), "exit %d", code);
        lost += native_wait(n, native_shell(n, script))->exit.code != code;
    }
    return lost;
}

static void a_status_that_somebody_else_than_the_parent_waits_for(void **state) {
    native *n = start_ours();
    assert_int_equal(count_lost_codes(n), 0);
    native_stop(n);
    n = start_wrong("parent");
    assert_int_equal(count_lost_codes(n), 20);
    native_stop(n);
}

/* ------------------------------------------------------------------------------------------------ a wait under a lock */

static void let_go(bool go) {
    char path[256];
    (void) snprintf(path, sizeof(path), "%s/tmp/go", native_rootfs());
    if (!go) {
        (void) unlink(path);
        return;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    (void) close(fd);
}

/* Ends with 7 when the test lets it go. */
static uint32_t spawn_one_that_waits(native *n) {
    let_go(false);
    uint32_t id = native_shell(n, "while [ ! -e /tmp/go ]; do sleep 0.02; done; exit 7");
    assert_true(native_wait_spawned(n, id)->spawned);
    return id;
}

static void a_wait_that_holds_what_others_need(void **state) {
    native *n = start_ours();
    uint32_t slow = spawn_one_that_waits(n);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(native_wait(n, native_shell(n, "exit 5"))->exit.code, 5);
        assert_false(native_get(n, slow)->exited);
    }
    let_go(true);
    assert_int_equal(native_wait(n, slow)->exit.code, 7);
    native_stop(n);

    n = start_wrong("lock");
    slow = spawn_one_that_waits(n);
    uint32_t other = native_shell(n, "exit 5");
    unsigned looks = 0;
    while (!waits_for_a_lock(n->agent))
        look_again(&looks, "the wait for the table's lock");
    native_settle(n);
    /* The slow one cannot end before it is let go, and the other one has not even begun. */
    assert_false(native_get(n, slow)->exited);
    assert_false(native_get(n, other)->spawned);
    let_go(true);
    assert_int_equal(native_wait(n, slow)->exit.code, 7);
    assert_int_equal(native_wait(n, other)->exit.code, 5);
    native_stop(n);
}

/* ------------------------------------------------------------------------------------------------------ a pid used again */

/* Has the next process of a pid namespace get this pid. False: this kernel does not let us. */
static bool set_next_pid(pid_t member, const char *namespace, pid_t pid) {
    char path[64], text[16];
    (void) snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int) member, namespace);
    int length = snprintf(text, sizeof(text), "%d", (int) pid - 1);
    pid_t helper = fork();
    if (helper == 0) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || setns(fd, CLONE_NEWPID) < 0)
            _exit(1);
        pid_t inside = fork(); /* the file is about the namespace of who writes it */
        if (inside == 0) {
            int last = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
            _exit(last >= 0 && write(last, text, (size_t) length) == length ? 0 : 1);
        }
        int status;
        _exit(waitpid(inside, &status, 0) == inside && status == 0 ? 0 : 1);
    }
    int status;
    return waitpid(helper, &status, 0) == helper && status == 0;
}

typedef struct reuse {
    msg_exited first, second;
} reuse;

/* An exec ends, but its end is not told yet, because nobody reads its output. Its pid becomes the next exec's. Then SIGTERM is sent to the
 * first one, the second one is asked to exit with 4, and the first one's output is read. */
static reuse use_a_pid_twice(native *n, pid_t parent) {
    pid_t pids[LEVELS_MAX];
    uint32_t first =
        native_spawn(n, (msg_spawn){.argv = LIST("sh\0-c\0read go; yes | head -c 300000; exit 3\0"), .spawn_flags = WIRE_SPAWN_STDIN});
    native_exec *a = native_wait_spawned(n, first);
    a->hold = a->count_only = true;
    pid_t outer = find_process(parent, (pid_t) a->pid);
    size_t levels = read_pids(outer, pids, LEVELS_MAX);
    assert_true(levels >= 2);
    native_write(n, first, "go\n", 3);
    native_wait_output(n, first, WIRE_WINDOW_BYTES);
    for (unsigned looks = 0; kill(outer, 0) == 0;)
        look_again(&looks, "the first one's end");

    /* From the box outwards, because who sets it inside takes a pid outside. */
    if (levels > 2)
        assert_true(set_next_pid(n->zygote, "pid_for_children", pids[levels - 1]));
    assert_true(set_next_pid(n->agent, "pid", pids[1]));
    if (levels > 2)
        assert_int_equal(pids[levels - 1], a->pid);
    uint32_t second = native_spawn(n, (msg_spawn){.argv = LIST("sh\0-c\0read go; exit 4\0"), .spawn_flags = WIRE_SPAWN_STDIN});
    native_exec *b = native_wait_spawned(n, second);
    pid_t again[LEVELS_MAX];
    assert_int_equal(read_pids(find_process(parent, (pid_t) b->pid), again, LEVELS_MAX), levels);
    assert_memory_equal(again + 1, pids + 1, (levels - 1) * sizeof(pid_t));

    native_tell(n, wire_encode_signal, (&(msg_signal){.exec_id = first, .signal = SIGTERM}));
    native_write(n, second, "go\n", 3);
    msg_exited end_of_second = native_wait(n, second)->exit;
    assert_false(a->exited);
    native_release(n, first);
    return (reuse){.first = native_wait(n, first)->exit, .second = end_of_second};
}

static void a_pid_that_has_become_another_ones(void **state) {
    native *n = start_ours();
    for (unsigned i = 0; i < 5; i++) {
        reuse seen = use_a_pid_twice(n, n->zygote);
        assert_int_equal(seen.first.code, 3);
        assert_int_equal(seen.first.signal, 0);
        assert_int_equal(seen.second.code, 4);
        assert_int_equal(seen.second.signal, 0);
    }
    native_stop(n);
    n = start_wrong("pid");
    reuse seen = use_a_pid_twice(n, n->agent);
    assert_int_equal(seen.second.signal, SIGTERM); /* which was meant for the first one */
    assert_int_equal(seen.first.signal, SIGTERM);  /* which is the second one's status, not 3 */
    native_stop(n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allocator_that_was_locked_when_its_process_was_cloned),
        cmocka_unit_test(a_status_that_somebody_else_than_the_parent_waits_for),
        cmocka_unit_test(a_wait_that_holds_what_others_need),
        cmocka_unit_test(a_pid_that_has_become_another_ones),
    };
    const char *why = native_prepare();
    const char *ours = getenv("NESTBOX_TEST_GUEST"), *wrong = getenv("NESTBOX_TEST_WRONG");
    (void) snprintf(our_agent, sizeof(our_agent), "%s", ours ? ours : "");
    (void) snprintf(wrong_agent, sizeof(wrong_agent), "%s", wrong ? wrong : "");
    if (!why && (!ours || !wrong))
        why = "there are no two agents to compare ($NESTBOX_TEST_GUEST, $NESTBOX_TEST_WRONG)";
    if (!why && access("/proc/sys/kernel/ns_last_pid", W_OK) < 0)
        why = "this kernel does not let a test choose a pid";
    if (why)
        (void) printf("skipped: %s\n", why);
    int result = why ? 77 : cmocka_run_group_tests(tests, NULL, NULL);
    native_clean_up();
    return result;
}
