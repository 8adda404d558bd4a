/* SPDX-License-Identifier: Apache-2.0
 *
 * test-shim.c - a shim whole but for its machine, between clients and a guest that say whatever a test wants
 */
#include "base/clock.h"
#include "base/fd.h"
#include "base/size.h"
#include "shim/client.h"
#include "shim/session.h"
#include "shim/shim.h"
#include "test-folder.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BOUND_MS 30000
#define HEARD_MAX_BYTES ((size_t) 32 << 20)

/* A client or the guest: the other end of one of the shim's connections. */
typedef struct peer {
    int fd;
    buf heard;
} peer;

typedef struct bench {
    loop *l;
    shim s;
    test_folder folder;
    peer launcher, guest;
} bench;

/* --------------------------------------------------------------------------------------------------- instead of a machine */

struct machine {
    machine_events events;
    int link; /* the guest's end */
    unsigned kills, quits, wakes;
};

static machine the_machine;

int machine_start(loop *l, const log_sink *log, const machine_spec *spec, const machine_events *events, machine **ret_machine,
                  int *ret_link, int *ret_listener, nb_error *err) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    the_machine = (machine){.events = *events, .link = ends[1]};
    *ret_machine = &the_machine;
    *ret_link = ends[0];
    *ret_listener = -1;
    return 0;
}

void machine_set_events(machine *m, const machine_events *events) {
    m->events = *events;
}

/* None has waited for the box. */
bool machine_is_running(const machine *m) {
    return false;
}

pid_t machine_pid(const machine *m) {
    return getpid();
}

uint64_t machine_disk_bytes(const machine *m) {
    return 0;
}

void machine_bound_disk(machine *m) {
}

void machine_wake(machine *m) {
    m->wakes++;
}

void machine_quit(machine *m, uint64_t grace_ms) {
    m->quits++;
}

void machine_kill(machine *m) {
    m->kills++;
}

void machine_console_tail(machine *m, char *text, size_t size) {
    text[0] = '\0';
}

void machine_free(machine *m) {
}

/* What a host would hold it to that has no controller for processes. */
void confine_begin(confinement *c, loop *l, const char *box_id) {
    c->way = CONFINE_V2;
    c->applied = HOST_LIMIT_CPU | HOST_LIMIT_MEMORY;
    (void) snprintf(c->own.why, sizeof(c->own.why), "pids: not given");
    (void) snprintf(c->own.groups[c->own.group_count++], PATH_MAX, "/cgroup/nestbox-%s", box_id);
    c->on_placed(c);
}

void confine_done(confinement *c) {
    *c = (confinement){0};
}

static void end_machine(void) {
    the_machine.events.on_ended(the_machine.events.user, &(machine_end){.reason = "the test wanted it"});
}

/* ------------------------------------------------------------------------------------------------------------------ peers */

static peer peer_of(int fd) {
    peer p = {.fd = fd};
    buf_init(&p.heard, HEARD_MAX_BYTES);
    return p;
}

static void peer_done(peer *p) {
    p->fd = fd_close(p->fd);
    buf_done(&p->heard);
}

static peer connect_peer(bench *b) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    assert_non_null(client_new(&b->s, ends[0]));
    return peer_of(ends[1]);
}

/* Frames of a test's own, written while the shim reads. */
static void say_bytes(bench *b, const peer *p, buf *said) {
    deadline until = deadline_in(BOUND_MS);
    while (buf_length(said) > 0) {
        ssize_t n = write(p->fd, buf_bytes(said), buf_length(said));
        if (n > 0)
            buf_consume(said, (size_t) n);
        assert_int_equal(loop_round(b->l, 0), 0);
        assert_false(deadline_passed(until));
    }
    buf_done(said);
    for (int i = 0; i < 3; i++)
        assert_int_equal(loop_round(b->l, 0), 0);
}

#define say(b, p, encoder, message)                                           \
    do {                                                                      \
        buf said_now;                                                         \
        buf_init(&said_now, WIRE_READ_BUFFER_BYTES);                          \
        assert_true(wire_control(&said_now, wire_encode_##encoder, message)); \
        say_bytes((b), (p), &said_now);                                       \
    } while (0)

static void greet(bench *b, const peer *p) {
    say(b, p, hello, (&(msg_hello){.version = WIRE_VERSION}));
}

/* The next frame that the shim sends to @p; false: none comes any more, the connection is closed. */
static bool hear_frame(bench *b, peer *p, wire_frame *ret_frame, size_t *ret_used) {
    for (deadline until = deadline_in(BOUND_MS); !deadline_passed(until);) {
        int found = wire_frame_parse(buf_bytes(&p->heard), buf_length(&p->heard), ret_frame, ret_used);
        assert_true(found >= 0);
        if (found > 0)
            return true;
        assert_int_equal(loop_round(b->l, 1), 0);
        uint8_t *to = buf_reserve(&p->heard, 65536);
        assert_non_null(to);
        ssize_t n = read(p->fd, to, 65536);
        if (n > 0)
            buf_added(&p->heard, (size_t) n);
        if (n == 0)
            return false;
    }
    fail_msg("nothing more was said");
    return false;
}

/* Skips to the next control message of this id. Its bytes, valid until the next call; what is behind it stays. */
static wire_bytes hear(bench *b, peer *p, uint16_t id) {
    static uint8_t message[WIRE_CONTROL_MAX_BYTES];
    wire_frame frame;
    size_t used;
    while (hear_frame(b, p, &frame, &used)) {
        bool is_it = frame.kind == WIRE_FRAME_CONTROL && wire_message_id(frame.payload, frame.length) == id;
        size_t length = frame.length;
        if (is_it)
            memcpy(message, frame.payload, length);
        buf_consume(&p->heard, used);
        if (is_it)
            return (wire_bytes){message, length};
    }
    fail_msg("the connection was closed before message %u", id);
    return (wire_bytes){0};
}

static int hear_failed(bench *b, peer *p) {
    wire_bytes bytes = hear(b, p, id_of_msg_failed);
    msg_failed failed;
    assert_int_equal(wire_decode_failed(bytes.at, bytes.length, &failed), 0);
    return failed.code;
}

/* --------------------------------------------------------------------------------------------------------------- the bench */

static const char argv_bytes[] = "true";

static void launch(bench *b, uint8_t flags) {
    msg_launch order = {
        .box_id = wire_str("box"),
        .qemu = wire_str("/qemu"),
        .accelerator = wire_str("tcg"),
        .argv = {argv_bytes, sizeof(argv_bytes)},
        .launch_flags = flags,
        .stop_signal = SIGTERM,
        .stop_timeout_ms = 1000000,
        .boot_timeout_ms = 1000000,
        .requested_at_ns = clock_monotonic_ns(),
    };
    greet(b, &b->launcher);
    say(b, &b->launcher, launch, &order);
    b->guest = peer_of(the_machine.link);
    the_machine.events.on_running(the_machine.events.user);
    greet(b, &b->guest);
    (void) hear(b, &b->guest, id_of_msg_setup);
    assert_int_equal(the_machine.wakes, 1); /* or SETUP may stay unread, see machine_wake() */
    say(b, &b->guest, setup_done, (&(msg_setup_done){.container_pid = 2}));
}

static int set_up(void **state) {
    static bench b;
    nb_error why;
    int ends[2];
    memset(&b, 0, sizeof(b));
    b.l = loop_new();
    b.folder = test_folder_make();
    test_folder_write(&b.folder, DISK_FILE, "", 0);
    test_folder_write(&b.folder, LOCK_FILE, "", 0);
    shim_init(&b.s, b.l);
    assert_int_equal(shim_enter(&b.s, b.folder.fd, &why), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    assert_non_null(client_new(&b.s, ends[0]));
    b.launcher = peer_of(ends[1]);
    b.guest = peer_of(-1);
    *state = &b;
    return 0;
}

static int set_up_running(void **state) {
    (void) set_up(state);
    bench *b = *state;
    launch(b, WIRE_LAUNCH_KEEP);
    (void) hear(b, &b->launcher, id_of_msg_launched);
    assert_true(shim_takes_execs(&b->s));
    return 0;
}

static int tear_down(void **state) {
    bench *b = *state;
    if (b->s.state != SHIM_OVER)
        end_machine();
    peer_done(&b->launcher);
    peer_done(&b->guest);
    for (deadline until = deadline_in(BOUND_MS); b->s.clients;) {
        assert_int_equal(loop_round(b->l, 1), 0);
        assert_false(deadline_passed(until));
    }
    assert_null(b->s.sessions);
    assert_int_equal(b->s.kept_output_bytes, 0);
    (void) fd_close((int) (intptr_t) b->s.log.user);
    shim_done(&b->s);
    loop_free(b->l);
    test_folder_remove(&b->folder);
    return 0;
}

/* A client that has asked for an exec, of which the guest knows. */
static peer ask_for_exec(bench *b, uint8_t flags, uint32_t *ret_exec_id) {
    peer p = connect_peer(b);
    msg_spawn spawn;
    greet(b, &p);
    say(b, &p, spawn, (&(msg_spawn){.argv = {argv_bytes, sizeof(argv_bytes)}, .spawn_flags = flags}));
    wire_bytes bytes = hear(b, &b->guest, id_of_msg_spawn);
    assert_int_equal(wire_decode_spawn(bytes.at, bytes.length, &spawn), 0);
    *ret_exec_id = spawn.exec_id;
    return p;
}

static void say_output(bench *b, uint32_t channel, size_t length) {
    static const uint8_t bytes[WIRE_DATA_MAX_BYTES];
    buf said;
    buf_init(&said, WIRE_READ_BUFFER_BYTES);
    assert_true(length > 0 ? wire_frame_data(&said, channel, bytes, length) : wire_frame_end(&said, channel));
    say_bytes(b, &b->guest, &said);
}

static void say_end(bench *b, uint32_t exec_id) {
    say_output(b, wire_channel(exec_id, WIRE_STREAM_STDOUT), 0);
    say_output(b, wire_channel(exec_id, WIRE_STREAM_STDERR), 0);
    say(b, &b->guest, exited, (&(msg_exited){.exec_id = exec_id}));
}

static void expect_breach(bench *b, const char *what) {
    if (the_machine.kills != 1 || b->s.failure != NB_E_PROTOCOL)
        fail_msg("%s was accepted", what);
}

/* -------------------------------------------------------------------------------------------------------------------- tests */

/* An exec without a reader that writes, and goes on or ends. */
static void leave_output(bench *b, bool ends) {
    uint32_t exec_id;
    peer p = ask_for_exec(b, WIRE_SPAWN_DETACHED, &exec_id);
    say(b, &b->guest, spawned, (&(msg_spawned){.exec_id = exec_id, .pid = 3}));
    (void) hear(b, &p, id_of_msg_begun);
    say_output(b, wire_channel(exec_id, WIRE_STREAM_STDOUT), 10);
    if (ends)
        say_end(b, exec_id);
    peer_done(&p);
}

static void the_box_may_end_while_as_much_is_kept_as_is_ever_kept(void **state) {
    bench *b = *state;
    leave_output(b, true); /* the oldest, which the end of the next makes one too many */
    leave_output(b, false);
    for (unsigned i = 0; i < 63; i++)
        leave_output(b, true);
    end_machine();
    assert_null(b->s.sessions);
}

static void a_stop_is_over_when_the_last_exec_could_not_begin(void **state) {
    bench *b = *state;
    uint32_t exec_id;
    peer p = ask_for_exec(b, 0, &exec_id);
    shim_stop(&b->s, NB_END_STOP, 1000000);
    (void) hear(b, &b->guest, id_of_msg_signal);
    say(b, &b->guest, spawn_failed, (&(msg_spawn_failed){.exec_id = exec_id, .step = WIRE_STEP_FORK}));
    (void) hear(b, &p, id_of_msg_spawn_failed);
    (void) hear(b, &b->guest, id_of_msg_shutdown);
    peer_done(&p);
}

static void a_client_that_leaves_before_its_terminal_exists_hangs_up(void **state) {
    bench *b = *state;
    uint32_t exec_id;
    msg_signal signal;
    peer p = ask_for_exec(b, WIRE_SPAWN_TTY, &exec_id);
    peer_done(&p);
    assert_int_equal(loop_round(b->l, 10), 0);
    say(b, &b->guest, spawned, (&(msg_spawned){.exec_id = exec_id, .pid = 3}));
    wire_bytes bytes = hear(b, &b->guest, id_of_msg_signal);
    assert_int_equal(wire_decode_signal(bytes.at, bytes.length, &signal), 0);
    assert_int_equal(signal.exec_id, exec_id);
    assert_int_equal(signal.signal, SIGHUP);
}

static void a_detached_terminal_is_not_hung_up(void **state) {
    bench *b = *state;
    uint32_t exec_id;
    wire_frame frame;
    size_t used;
    peer p = ask_for_exec(b, WIRE_SPAWN_TTY | WIRE_SPAWN_DETACHED, &exec_id);
    peer_done(&p);
    assert_int_equal(loop_round(b->l, 10), 0);
    say(b, &b->guest, spawned, (&(msg_spawned){.exec_id = exec_id, .pid = 3}));
    shim_stop(&b->s, NB_END_STOP, 0);
    assert_true(hear_frame(b, &b->guest, &frame, &used));
    assert_int_equal(wire_message_id(frame.payload, frame.length), id_of_msg_shutdown);
}

static void an_end_before_the_ends_of_its_streams_is_a_breach(void **state) {
    bench *b = *state;
    uint32_t exec_id;
    peer p = ask_for_exec(b, 0, &exec_id);
    say(b, &b->guest, spawned, (&(msg_spawned){.exec_id = exec_id, .pid = 3}));
    say_output(b, wire_channel(exec_id, WIRE_STREAM_STDOUT), 0);
    say(b, &b->guest, exited, (&(msg_exited){.exec_id = exec_id}));
    expect_breach(b, "EXITED before END");
    peer_done(&p);
}

static void a_terminal_has_no_second_stream(void **state) {
    bench *b = *state;
    uint32_t exec_id;
    peer p = ask_for_exec(b, WIRE_SPAWN_TTY, &exec_id);
    say(b, &b->guest, spawned, (&(msg_spawned){.exec_id = exec_id, .pid = 3}));
    say_output(b, wire_channel(exec_id, WIRE_STREAM_STDERR), 10);
    expect_breach(b, "the stderr of a terminal");
    peer_done(&p);
}

static void a_terminal_ends_with_one_stream(void **state) {
    bench *b = *state;
    uint32_t exec_id;
    peer p = ask_for_exec(b, WIRE_SPAWN_TTY, &exec_id);
    say(b, &b->guest, spawned, (&(msg_spawned){.exec_id = exec_id, .pid = 3}));
    say_output(b, wire_channel(exec_id, WIRE_STREAM_STDOUT), 0);
    say(b, &b->guest, exited, (&(msg_exited){.exec_id = exec_id}));
    (void) hear(b, &p, id_of_msg_exited);
    peer_done(&p);
}

static void a_guest_that_takes_no_orders_is_not_given_more_than_fit(void **state) {
    bench *b = *state;
    static char argv[WIRE_ARGV_MAX_BYTES], env[WIRE_ENV_MAX_BYTES];
    peer peers[8];
    memset(argv, 'a', sizeof(argv) - 1);
    memset(env, 'e', sizeof(env) - 1);
    for (unsigned i = 0; i < 8; i++) {
        peers[i] = connect_peer(b);
        greet(b, &peers[i]);
        say(b, &peers[i], spawn, (&(msg_spawn){.argv = {argv, sizeof(argv)}, .env = {env, sizeof(env)}}));
    }
    assert_int_equal(hear_failed(b, &peers[7]), NB_E_EXHAUSTED);
    assert_int_equal(b->s.failure, 0);
    assert_true(shim_takes_execs(&b->s));
    (void) hear(b, &b->guest, id_of_msg_spawn); /* and what fitted arrives */
    for (unsigned i = 0; i < 8; i++)
        peer_done(&peers[i]);
}

static void a_main_command_that_fails_while_the_box_is_killed_changes_nothing(void **state) {
    bench *b = *state;
    launch(b, 0);
    (void) hear(b, &b->guest, id_of_msg_spawn);
    assert_int_equal(b->s.state, SHIM_BEGINNING);
    shim_stop(&b->s, NB_END_STOP, 0);
    assert_int_equal(the_machine.kills, 1);
    say(b, &b->guest, spawn_failed, (&(msg_spawn_failed){.exec_id = WIRE_MAIN_EXEC_ID, .step = WIRE_STEP_EXECUTE, .error = 2}));
    end_machine();
    assert_int_equal(hear_failed(b, &b->launcher), NB_E_STOPPED);
}

static void a_connection_waits_while_descriptors_are_out(void **state) {
    bench *b = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct rlimit before, none;
    unsigned rounds = 0;
    (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/" SOCKET_FILE, b->folder.path);
    peer p = peer_of(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    assert_int_equal(connect(p.fd, (struct sockaddr *) &address, sizeof(address)), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){3, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    /* Each round that finds something to do ends at once; a loop that looks again and again makes thousands of them. */
    for (deadline until = deadline_in(1000); !deadline_passed(until); rounds++)
        (void) loop_round(b->l, 1000);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(rounds < 500);
    greet(b, &p);
    say(b, &p, list, (&(msg_list){0}));
    (void) hear(b, &p, id_of_msg_listed);
    peer_done(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_running, tear_down)

static void a_guest_that_gives_up_is_a_crash_of_the_box(void **state) {
    bench *b = *state;
    uint32_t exec_id;
    peer p = ask_for_exec(b, 0, &exec_id);
    say(b, &b->guest, spawned, (&(msg_spawned){.exec_id = exec_id, .pid = 3}));
    say_end(b, exec_id);
    say(b, &b->guest, goodbye, (&(msg_goodbye){0}));
    (void) hear(b, &p, id_of_msg_exited); /* nothing that it told before is lost */
    assert_int_equal(the_machine.kills, 1);
    end_machine();
    assert_int_equal(b->s.record.is.failure, NB_E_BOX_GONE);
    assert_int_equal(b->s.record.is.cause, NB_END_CRASH);
    assert_non_null(strstr(b->s.record.message, "zygote"));
    peer_done(&p);
}

static peer ask_for_stats(bench *b) {
    peer p = connect_peer(b);
    greet(b, &p);
    say(b, &p, count, (&(msg_count){0}));
    return p;
}

static void one_question_to_the_guest_serves_all_who_ask_for_stats(void **state) {
    bench *b = *state;
    peer peers[2] = {ask_for_stats(b), ask_for_stats(b)};
    (void) hear(b, &b->guest, id_of_msg_measure);
    say(b, &b->guest, measured, (&(msg_measured){.cpu_time_us = 5, .memory_bytes = 6, .pids = 7}));
    for (size_t i = 0; i < ARRAY_LENGTH(peers); i++) {
        msg_counted counted;
        wire_bytes bytes = hear(b, &peers[i], id_of_msg_counted);
        assert_int_equal(wire_decode_counted(bytes.at, bytes.length, &counted), 0);
        assert_true(counted.cpu_time_us == 5 && counted.memory_bytes == 6 && counted.pids == 7);
        assert_true(counted.machine_memory_bytes > 0 && counted.at_us > 0);
    }
    say(b, &peers[0], count, (&(msg_count){0})); /* a connection may ask again */
    (void) hear(b, &b->guest, id_of_msg_measure);
    say(b, &b->guest, measured, (&(msg_measured){0}));
    (void) hear(b, &peers[0], id_of_msg_counted);
    say(b, &b->guest, measured, (&(msg_measured){0}));
    expect_breach(b, "an answer that nobody had asked for");
    for (size_t i = 0; i < ARRAY_LENGTH(peers); i++)
        peer_done(&peers[i]);
}

static void who_waits_for_stats_is_told_that_the_box_has_ended(void **state) {
    bench *b = *state;
    peer p = ask_for_stats(b);
    (void) hear(b, &b->guest, id_of_msg_measure);
    end_machine();
    assert_int_equal(hear_failed(b, &p), NB_E_STOPPED);
    peer_done(&p);
}

static void what_the_host_holds_the_machine_to_is_recorded_until_its_end(void **state) {
    bench *b = *state;
    launch(b, WIRE_LAUNCH_KEEP);
    const msg_record *is = &b->s.record.is;
    assert_int_equal(is->limits_by, WIRE_LIMITS_BY_CGROUP_V2);
    assert_int_equal(is->limits_held, WIRE_LIMIT_CPU | WIRE_LIMIT_MEMORY);
    assert_memory_equal(is->limits_missing.at, "pids: not given", is->limits_missing.length);
    assert_int_equal(strv_count(is->limits_groups), 1);
    assert_true(b->s.limits.confinement.limits.cpu_us > 0 && b->s.limits.confinement.limits.tasks > 0);
    assert_true(b->s.limits.confinement.limits.memory_bytes > MIB(256));
    end_machine();
    assert_int_equal(is->limits_groups.bytes, 0);
    assert_int_equal(is->limits_held, WIRE_LIMIT_CPU | WIRE_LIMIT_MEMORY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_box_may_end_while_as_much_is_kept_as_is_ever_kept),
        TEST(a_stop_is_over_when_the_last_exec_could_not_begin),
        TEST(a_client_that_leaves_before_its_terminal_exists_hangs_up),
        TEST(a_detached_terminal_is_not_hung_up),
        TEST(an_end_before_the_ends_of_its_streams_is_a_breach),
        TEST(a_terminal_has_no_second_stream),
        TEST(a_terminal_ends_with_one_stream),
        TEST(a_guest_that_takes_no_orders_is_not_given_more_than_fit),
        TEST(a_connection_waits_while_descriptors_are_out),
        TEST(a_guest_that_gives_up_is_a_crash_of_the_box),
        TEST(one_question_to_the_guest_serves_all_who_ask_for_stats),
        TEST(who_waits_for_stats_is_told_that_the_box_has_ended),
        cmocka_unit_test_setup_teardown(a_main_command_that_fails_while_the_box_is_killed_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_host_holds_the_machine_to_is_recorded_until_its_end, set_up, tear_down),
    };
    (void) sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
