/* SPDX-License-Identifier: Apache-2.0
 *
 * test-link.c - two ends of a connection in one loop, honest and not
 */
#include "base/fd.h"
#include "link/link.h"

#include <nestbox/error.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct side {
    link_end end;
    unsigned greeted, closed, rooms;
    const char *why;
    uint16_t ids[8];
    size_t messages;
    size_t data_bytes, ends;
    uint32_t credit;
    size_t last_length;
    uint8_t sum; /* of all stream bytes */
    int answer;  /* what the handlers return */
    bool close_in_message;
} side;

static int on_message(link_end *end, uint16_t id, const uint8_t *bytes, size_t length) {
    side *s = end->user;
    assert_true(s->messages < 8);
    s->ids[s->messages++] = id;
    s->last_length = length;
    if (s->close_in_message)
        link_done(end);
    return s->answer;
}

static int on_data(link_end *end, uint32_t channel, const uint8_t *bytes, size_t length) {
    side *s = end->user;
    s->data_bytes += length;
    s->ends += length == 0;
    for (size_t i = 0; i < length; i++)
        s->sum = (uint8_t) (s->sum * 31 + bytes[i]);
    return s->answer;
}

static int on_credit(link_end *end, uint32_t channel, uint32_t credit) {
    side *s = end->user;
    s->credit += credit;
    return s->answer;
}

static void on_greeted(link_end *end) {
    side *s = end->user;
    s->greeted++;
}

static void on_room(link_end *end) {
    side *s = end->user;
    s->rooms++;
}

static void on_closed(link_end *end, const char *why) {
    side *s = end->user;
    s->closed++;
    s->why = why;
}

static const link_handlers handlers = {.on_message = on_message,
                                       .on_data = on_data,
                                       .on_credit = on_credit,
                                       .on_greeted = on_greeted,
                                       .on_room = on_room,
                                       .on_closed = on_closed};

typedef struct bench {
    loop *l;
    side host, guest; /* guest: also the raw end in tests of a hostile peer */
    int raw;
} bench;

static bench *make_bench(bool raw_guest) {
    static bench b;
    int ends[2];
    memset(&b, 0, sizeof(b));
    b.l = loop_new();
    assert_non_null(b.l);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(link_init(b.l, &b.host.end, ends[0], TO_HOST, &handlers, &b.host), 0);
    b.raw = -1;
    if (raw_guest)
        b.raw = ends[1];
    else
        assert_int_equal(link_init(b.l, &b.guest.end, ends[1], TO_GUEST, &handlers, &b.guest), 0);
    return &b;
}

static int set_up(void **state) {
    *state = make_bench(false);
    return 0;
}

static int set_up_raw(void **state) {
    *state = make_bench(true);
    return 0;
}

static int tear_down(void **state) {
    bench *b = *state;
    link_done(&b->host.end);
    link_done(&b->guest.end);
    (void) fd_close(b->raw);
    loop_free(b->l);
    return 0;
}

/* Until nothing happens any more. */
static void settle(bench *b) {
    for (unsigned i = 0; i < 2000; i++)
        assert_int_equal(loop_round(b->l, i < 5 ? 1 : 0), 0);
}

static void both_ends_greet_and_then_talk(void **state) {
    bench *b = *state;
    link_send(&b->host.end, wire_encode_shutdown, (&(msg_shutdown){0}));
    link_send(&b->guest.end, wire_encode_goodbye, (&(msg_goodbye){0}));
    link_credit(&b->guest.end, wire_channel(1, WIRE_STREAM_STDIN), 5);
    settle(b);
    assert_int_equal(b->host.greeted, 1);
    assert_int_equal(b->guest.greeted, 1);
    assert_int_equal(b->guest.messages, 1);
    assert_int_equal(b->guest.ids[0], id_of_msg_shutdown);
    assert_int_equal(b->host.ids[0], id_of_msg_goodbye);
    assert_int_equal(b->host.credit, 5);
    assert_int_equal(b->host.closed + b->guest.closed, 0);
}

static void the_largest_message_gets_through(void **state) {
    bench *b = *state;
    static char argv[WIRE_ARGV_MAX_BYTES], env[WIRE_ENV_MAX_BYTES], cwd[WIRE_PATH_MAX_BYTES];
    memset(argv, 'a', sizeof(argv) - 1);
    memset(env, 'e', sizeof(env) - 1);
    memset(cwd, 'c', sizeof(cwd));
    msg_spawn spawn = {.argv = {argv, sizeof(argv)}, .env = {env, sizeof(env)}, .cwd = {(uint8_t *) cwd, sizeof(cwd)}};
    link_send(&b->host.end, wire_encode_spawn, &spawn);
    settle(b);
    assert_int_equal(b->guest.messages, 1);
    assert_true(b->guest.last_length > sizeof(argv) + sizeof(env) + sizeof(cwd));
    assert_int_equal(b->guest.closed, 0);
}

static void a_stream_is_cut_into_frames_and_arrives_whole(void **state) {
    bench *b = *state;
    static uint8_t bytes[3 * WIRE_DATA_MAX_BYTES + 17];
    uint8_t sum = 0;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t) (i * 13 + i / 256);
        sum = (uint8_t) (sum * 31 + bytes[i]);
    }
    uint32_t channel = wire_channel(3, WIRE_STREAM_STDIN);
    link_data(&b->host.end, channel, bytes, sizeof(bytes));
    link_end_of_stream(&b->host.end, channel);
    settle(b);
    assert_int_equal(b->guest.data_bytes, sizeof(bytes));
    assert_int_equal(b->guest.sum, sum);
    assert_int_equal(b->guest.ends, 1);
}

static void a_peer_that_closes_in_order_is_no_breach(void **state) {
    bench *b = *state;
    settle(b);
    link_send(&b->guest.end, wire_encode_goodbye, (&(msg_goodbye){0}));
    link_done(&b->guest.end);
    settle(b);
    assert_int_equal(b->host.messages, 1); /* last words are read first */
    assert_int_equal(b->host.closed, 1);
    assert_null(b->host.why);
    assert_false(link_is_open(&b->host.end));
    link_send(&b->host.end, wire_encode_shutdown, (&(msg_shutdown){0})); /* too late, and harmless */
    link_data(&b->host.end, wire_channel(1, 1), "x", 1);
    assert_false(link_has_room(&b->host.end));
}

static void a_message_in_the_wrong_direction_breaks_the_link(void **state) {
    bench *b = *state;
    settle(b);
    link_send(&b->guest.end, wire_encode_shutdown, (&(msg_shutdown){0}));
    settle(b);
    assert_int_equal(b->host.messages, 0);
    assert_int_equal(b->host.closed, 1);
    assert_string_equal(b->host.why, "the other side broke the protocol");
    assert_int_equal(b->guest.closed, 1);
}

static void a_handler_can_call_it_a_breach(void **state) {
    bench *b = *state;
    b->guest.answer = -NB_E_PROTOCOL;
    link_send(&b->host.end, wire_encode_shutdown, (&(msg_shutdown){0}));
    settle(b);
    assert_int_equal(b->guest.closed, 1);
    assert_non_null(b->guest.why);
}

/* Of an end that exchanges messages alone. */
static void a_stream_that_nobody_handles_is_a_breach(void **state) {
    static const link_handlers messages_alone = {.on_message = on_message, .on_closed = on_closed};
    for (int credit = 0; credit < 2; credit++) {
        bench *b = *state;
        settle(b);
        b->guest.end.handlers = &messages_alone;
        if (credit)
            link_credit(&b->host.end, wire_channel(1, 1), 1);
        else
            link_data(&b->host.end, wire_channel(1, 1), "x", 1);
        settle(b);
        assert_int_equal(b->guest.closed, 1);
        assert_string_equal(b->guest.why, "the other side broke the protocol");
        tear_down(state);
        set_up(state);
    }
}

static void a_handler_may_close_its_own_end(void **state) {
    bench *b = *state;
    b->guest.close_in_message = true;
    for (unsigned i = 0; i < 3; i++)
        link_send(&b->host.end, wire_encode_shutdown, (&(msg_shutdown){0}));
    settle(b);
    assert_int_equal(b->guest.messages, 1);
    assert_int_equal(b->guest.closed, 0);
    assert_int_equal(b->host.closed, 1);
}

/* Writes bytes as a peer that may say anything. */
static void say(bench *b, buf *bytes) {
    assert_int_equal(fd_write_all(b->raw, buf_bytes(bytes), buf_length(bytes)), 0);
    buf_done(bytes);
    settle(b);
}

static void expect_breach(bench *b, const char *what) {
    if (b->host.closed != 1 || !b->host.why)
        fail_msg("%s was accepted", what);
}

static void nothing_is_heard_before_the_greeting(void **state) {
    bench *b = *state;
    buf bytes;
    buf_init(&bytes, 1000);
    assert_true(wire_frame_credit(&bytes, wire_channel(1, 1), 1));
    say(b, &bytes);
    expect_breach(b, "a credit before HELLO");
    assert_int_equal(b->host.credit, 0);
}

static void another_version_is_not_greeted(void **state) {
    bench *b = *state;
    buf bytes;
    buf_init(&bytes, 1000);
    assert_true(wire_control(&bytes, wire_encode_hello, (&(msg_hello){.version = WIRE_VERSION + 1})));
    say(b, &bytes);
    expect_breach(b, "another version");
    assert_int_equal(b->host.greeted, 0);
}

static void nobody_greets_twice(void **state) {
    bench *b = *state;
    buf bytes;
    buf_init(&bytes, 1000);
    assert_true(wire_control(&bytes, wire_encode_hello, (&(msg_hello){.version = WIRE_VERSION, .capabilities = UINT64_MAX})));
    assert_true(wire_control(&bytes, wire_encode_hello, (&(msg_hello){.version = WIRE_VERSION})));
    say(b, &bytes);
    assert_int_equal(b->host.greeted, 1);
    expect_breach(b, "a second HELLO");
}

static void noise_breaks_the_link(void **state) {
    bench *b = *state;
    buf bytes;
    buf_init(&bytes, 1000);
    assert_true(buf_append(&bytes, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27));
    say(b, &bytes);
    expect_breach(b, "another protocol");
}

static void frames_that_come_byte_by_byte_are_understood(void **state) {
    bench *b = *state;
    buf bytes;
    buf_init(&bytes, 1000);
    assert_true(wire_control(&bytes, wire_encode_hello, (&(msg_hello){.version = WIRE_VERSION})));
    assert_true(wire_frame_data(&bytes, wire_channel(1, WIRE_STREAM_STDOUT), "abc", 3));
    assert_true(wire_control(&bytes, wire_encode_goodbye, (&(msg_goodbye){0})));
    while (buf_length(&bytes) > 0) {
        assert_int_equal(write(b->raw, buf_bytes(&bytes), 1), 1);
        buf_consume(&bytes, 1);
        assert_int_equal(loop_round(b->l, 0), 0);
    }
    buf_done(&bytes);
    assert_int_equal(b->host.data_bytes, 3);
    assert_int_equal(b->host.ids[0], id_of_msg_goodbye);
    assert_int_equal(b->host.closed, 0);
}

/* Takes what there is out of the raw end. */
static size_t drain(bench *b) {
    static uint8_t bytes[1 << 20];
    size_t total = 0;
    ssize_t n;
    while ((n = recv(b->raw, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        total += (size_t) n;
    return total;
}

static void room_is_told_when_the_peer_reads_again(void **state) {
    bench *b = *state;
    static const uint8_t bytes[WIRE_DATA_MAX_BYTES];
    size_t queued = 0;
    while (link_has_room(&b->host.end)) {
        link_data(&b->host.end, wire_channel(1, WIRE_STREAM_STDIN), bytes, sizeof(bytes));
        queued += sizeof(bytes);
    }
    settle(b);
    assert_int_equal(b->host.rooms, 0);
    assert_true(buf_length(link_queue(&b->host.end)) < LINK_QUEUE_HIGH_BYTES + 2 * sizeof(bytes));
    size_t got = 0;
    for (unsigned i = 0; i < 100 && got < queued; i++) {
        got += drain(b);
        assert_int_equal(loop_round(b->l, 1), 0);
    }
    assert_true(got > queued);
    assert_int_equal(b->host.rooms, 1);
    assert_true(link_has_room(&b->host.end));
    assert_int_equal(b->host.closed, 0);
}

/* Room that a later message makes, by writing the whole queue, was never told: whoever waited for it waited for ever. */
static void room_is_told_when_a_message_finds_it(void **state) {
    bench *b = *state;
    static const uint8_t bytes[WIRE_DATA_MAX_BYTES];
    while (link_has_room(&b->host.end))
        link_data(&b->host.end, wire_channel(9, WIRE_STREAM_STDOUT), bytes, sizeof(bytes));
    for (unsigned i = 0; i < 100 && buf_length(link_queue(&b->host.end)) > 0; i++) {
        (void) drain(b);
        link_send(&b->host.end, wire_encode_signal, (&(msg_signal){.exec_id = 9, .signal = 1}));
    }
    assert_int_equal(buf_length(link_queue(&b->host.end)), 0);
    assert_int_equal(b->host.rooms, 0); /* not from within */
    (void) drain(b);
    settle(b);
    assert_int_equal(b->host.rooms, 1);
    assert_true(link_has_room(&b->host.end));
}

static void a_peer_that_never_reads_is_given_up_from_the_loop(void **state) {
    bench *b = *state;
    static const uint8_t bytes[WIRE_DATA_MAX_BYTES];
    for (size_t queued = 0; queued < 2 * LINK_QUEUE_MAX_BYTES; queued += sizeof(bytes)) {
        link_data(&b->host.end, wire_channel(1, WIRE_STREAM_STDIN), bytes, sizeof(bytes));
        assert_int_equal(b->host.closed, 0); /* never from within the call */
        assert_true(buf_length(link_queue(&b->host.end)) <= LINK_QUEUE_MAX_BYTES);
    }
    settle(b);
    assert_int_equal(b->host.closed, 1);
    assert_string_equal(b->host.why, "the other side does not read, or memory is out");
}

static void last_words_are_written_before_the_end(void **state) {
    bench *b = *state;
    settle(b);
    (void) drain(b);
    link_send(&b->host.end, wire_encode_shutdown, (&(msg_shutdown){0}));
    link_drain(&b->host.end, 1000);
    assert_int_equal(buf_length(link_queue(&b->host.end)), 0);
    assert_int_equal(drain(b), WIRE_HEADER_BYTES + 3);
}

/* HELLO, a message, and the end of the connection. */
static void say_last_words(bench *b) {
    buf said;
    buf_init(&said, 1000);
    assert_true(wire_control(&said, wire_encode_hello, (&(msg_hello){.version = WIRE_VERSION})));
    assert_true(wire_control(&said, wire_encode_goodbye, (&(msg_goodbye){0})));
    assert_int_equal(fd_write_all(b->raw, buf_bytes(&said), buf_length(&said)), 0);
    buf_done(&said);
    b->raw = fd_close(b->raw);
}

/* As another watcher's callback, whose batch of events does not have the connection's yet. */
static void on_something_else(loop_fd *watcher, uint32_t events) {
    bench *b = watcher->user;
    loop_fd_done(watcher);
    say_last_words(b);
    link_data(&b->host.end, wire_channel(1, WIRE_STREAM_STDIN), "x", 1); /* EPIPE */
    assert_non_null(b->host.end.fault_reason);
}

static void what_was_said_before_closing_is_heard_though_a_write_fails_first(void **state) {
    bench *b = *state;
    int pipes[2];
    loop_fd other;
    settle(b);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(write(pipes[1], "x", 1), 1);
    assert_int_equal(loop_fd_init(b->l, &other, pipes[0], EPOLLIN, on_something_else, b), 0);
    settle(b);
    (void) fd_close(pipes[0]);
    (void) fd_close(pipes[1]);
    assert_int_equal(b->host.messages, 1);
    assert_int_equal(b->host.closed, 1);
    assert_null(b->host.why);
}

/* The write fails in the loop's hands and before the reading of its round. */
static void a_writer_that_is_woken_by_the_end_hears_it_too(void **state) {
    bench *b = *state;
    static const uint8_t bytes[WIRE_DATA_MAX_BYTES];
    while (link_has_room(&b->host.end))
        link_data(&b->host.end, wire_channel(1, WIRE_STREAM_STDIN), bytes, sizeof(bytes));
    settle(b);
    say_last_words(b);
    settle(b);
    assert_int_equal(b->host.messages, 1);
    assert_int_equal(b->host.closed, 1);
    assert_null(b->host.why);
}

static void a_stream_is_read_from_a_descriptor_into_a_frame(void **state) {
    bench *b = *state;
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(write(pipes[1], "abcdef", 6), 6);
    assert_int_equal(link_data_from_fd(&b->guest.end, wire_channel(1, WIRE_STREAM_STDOUT), pipes[0], 4), 4);
    assert_int_equal(link_data_from_fd(&b->guest.end, wire_channel(1, WIRE_STREAM_STDOUT), pipes[0], 400000), 2);
    assert_int_equal(link_data_from_fd(&b->guest.end, wire_channel(1, WIRE_STREAM_STDOUT), pipes[0], 4), -1);
    (void) fd_close(pipes[1]);
    assert_int_equal(link_data_from_fd(&b->guest.end, wire_channel(1, WIRE_STREAM_STDOUT), pipes[0], 4), 0);
    (void) fd_close(pipes[0]);
    settle(b);
    assert_int_equal(b->host.data_bytes, 6);
    assert_int_equal(b->host.ends, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_RAW(name) cmocka_unit_test_setup_teardown(name, set_up_raw, tear_down)

int main(void) {
    (void) sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    const struct CMUnitTest tests[] = {
        TEST(both_ends_greet_and_then_talk),
        TEST(the_largest_message_gets_through),
        TEST(a_stream_is_cut_into_frames_and_arrives_whole),
        TEST(a_peer_that_closes_in_order_is_no_breach),
        TEST(a_message_in_the_wrong_direction_breaks_the_link),
        TEST(a_handler_can_call_it_a_breach),
        TEST(a_stream_that_nobody_handles_is_a_breach),
        TEST(a_handler_may_close_its_own_end),
        TEST(a_stream_is_read_from_a_descriptor_into_a_frame),
        TEST_RAW(nothing_is_heard_before_the_greeting),
        TEST_RAW(another_version_is_not_greeted),
        TEST_RAW(nobody_greets_twice),
        TEST_RAW(noise_breaks_the_link),
        TEST_RAW(frames_that_come_byte_by_byte_are_understood),
        TEST_RAW(room_is_told_when_the_peer_reads_again),
        TEST_RAW(room_is_told_when_a_message_finds_it),
        TEST_RAW(a_peer_that_never_reads_is_given_up_from_the_loop),
        TEST_RAW(last_words_are_written_before_the_end),
        TEST_RAW(what_was_said_before_closing_is_heard_though_a_write_fails_first),
        TEST_RAW(a_writer_that_is_woken_by_the_end_hears_it_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
