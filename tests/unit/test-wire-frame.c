/* SPDX-License-Identifier: Apache-2.0
 *
 * test-wire-frame.c - frames however they are cut, what is none, and the windows of flow control
 */
#include "base/bytes.h"
#include "base/cleanup.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <nestbox/error.h>

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Six frames of all kinds, the longest data frame among them. */
static void make_stream(buf *to) {
    static uint8_t bytes[WIRE_DATA_MAX_BYTES];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t) (i * 7);
    uint32_t channel = wire_channel(WIRE_EXEC_ID_MAX, WIRE_STREAM_STDERR);
    buf_init(to, 1 << 20);
    assert_true(wire_control(to, wire_encode_hello, (&(msg_hello){.version = 1, .capabilities = 2})));
    assert_true(wire_frame_data(to, channel, bytes, 1));
    assert_true(wire_frame_data(to, wire_channel(1, WIRE_STREAM_STDIN), bytes, sizeof(bytes)));
    assert_true(wire_frame_credit(to, channel, UINT32_MAX));
    assert_true(wire_frame_end(to, channel));
    assert_true(wire_control(to, wire_encode_goodbye, (&(msg_goodbye){.error = -1})));
}

/* Writes a parsed frame anew. */
static void append_again(buf *to, const wire_frame *frame) {
    size_t at;
    switch (frame->kind) {
    case WIRE_FRAME_CONTROL:
        at = wire_control_begin(to);
        assert_true(wire_control_end(to, at, buf_append(to, frame->payload, frame->length)));
        break;
    case WIRE_FRAME_DATA:
        assert_true(wire_frame_data(to, frame->channel, frame->payload, frame->length));
        break;
    case WIRE_FRAME_END:
        assert_true(wire_frame_end(to, frame->channel));
        break;
    case WIRE_FRAME_CREDIT:
        assert_true(wire_frame_credit(to, frame->channel, frame->credit));
        break;
    }
}

static void frames_are_the_same_however_they_are_cut(void **state) {
    static const size_t pieces[] = {1, 2, 11, 12, 13, 65536, 1 << 20};
    CLEANUP(buf_done) buf stream;
    make_stream(&stream);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        CLEANUP(buf_done) buf in;
        CLEANUP(buf_done) buf again;
        unsigned frames = 0;
        buf_init(&in, 1 << 20);
        buf_init(&again, 1 << 20);
        for (size_t at = 0; at < buf_length(&stream);) {
            size_t piece = pieces[i] < buf_length(&stream) - at ? pieces[i] : buf_length(&stream) - at;
            assert_true(buf_append(&in, buf_bytes(&stream) + at, piece));
            at += piece;
            wire_frame frame;
            size_t used;
            int found;
            while ((found = wire_frame_parse(buf_bytes(&in), buf_length(&in), &frame, &used)) == 1) {
                append_again(&again, &frame);
                buf_consume(&in, used);
                frames++;
            }
            assert_int_equal(found, 0);
        }
        assert_int_equal(frames, 6);
        assert_int_equal(buf_length(&in), 0);
        assert_int_equal(buf_length(&again), buf_length(&stream));
        assert_memory_equal(buf_bytes(&again), buf_bytes(&stream), buf_length(&stream));
    }
}

/* A header alone, and what is made of it. */
static int parse_header(uint32_t length, uint8_t kind, uint32_t channel, uint8_t zero, uint16_t zeros) {
    uint8_t header[WIRE_HEADER_BYTES];
    wire_frame frame;
    size_t used;
    store_le32(header, length);
    header[4] = kind;
    header[5] = zero;
    store_le16(header + 6, zeros);
    store_le32(header + 8, channel);
    return wire_frame_parse(header, sizeof(header), &frame, &used);
}

static void a_header_is_judged_before_its_payload_comes(void **state) {
    uint32_t stream = wire_channel(1, WIRE_STREAM_STDOUT);
    assert_int_equal(parse_header(WIRE_CONTROL_MAX_BYTES, WIRE_FRAME_CONTROL, 0, 0, 0), 0);
    assert_int_equal(parse_header(WIRE_CONTROL_MAX_BYTES + 1, WIRE_FRAME_CONTROL, 0, 0, 0), -NB_E_PROTOCOL);
    assert_int_equal(parse_header(UINT32_MAX, WIRE_FRAME_CONTROL, 0, 0, 0), -NB_E_PROTOCOL);
    assert_int_equal(parse_header(2, WIRE_FRAME_CONTROL, stream, 0, 0), -NB_E_PROTOCOL);
    assert_int_equal(parse_header(1, WIRE_FRAME_DATA, stream, 0, 0), 0);
    assert_int_equal(parse_header(WIRE_DATA_MAX_BYTES, WIRE_FRAME_DATA, stream, 0, 0), 0);
    assert_int_equal(parse_header(WIRE_DATA_MAX_BYTES + 1, WIRE_FRAME_DATA, stream, 0, 0), -NB_E_PROTOCOL);
    assert_int_equal(parse_header(0, WIRE_FRAME_DATA, stream, 0, 0), -NB_E_PROTOCOL);
    assert_int_equal(parse_header(1, WIRE_FRAME_DATA, 0, 0, 0), -NB_E_PROTOCOL);
    assert_int_equal(parse_header(1, WIRE_FRAME_DATA, 1, 0, 0), -NB_E_PROTOCOL); /* no exec */
    assert_int_equal(parse_header(1, WIRE_FRAME_DATA, 4, 0, 0), -NB_E_PROTOCOL); /* no stream */
    assert_int_equal(parse_header(0, WIRE_FRAME_END, stream, 0, 0), 1);
    assert_int_equal(parse_header(1, WIRE_FRAME_END, stream, 0, 0), -NB_E_PROTOCOL);
    assert_int_equal(parse_header(4, WIRE_FRAME_CREDIT, stream, 0, 0), 0);
    assert_int_equal(parse_header(3, WIRE_FRAME_CREDIT, stream, 0, 0), -NB_E_PROTOCOL);
    assert_int_equal(parse_header(8, WIRE_FRAME_CREDIT, stream, 0, 0), -NB_E_PROTOCOL);
    for (unsigned kind = 0; kind < 256; kind++) {
        if (kind < WIRE_FRAME_CONTROL || kind > WIRE_FRAME_CREDIT)
            assert_int_equal(parse_header(0, (uint8_t) kind, stream, 0, 0), -NB_E_PROTOCOL);
    }
    assert_int_equal(parse_header(0, WIRE_FRAME_END, stream, 1, 0), -NB_E_PROTOCOL);
    assert_int_equal(parse_header(0, WIRE_FRAME_END, stream, 0, 0x100), -NB_E_PROTOCOL);
}

static void a_frame_that_does_not_fit_leaves_nothing(void **state) {
    static const uint8_t bytes[100];
    uint32_t channel = wire_channel(1, WIRE_STREAM_STDOUT);
    for (size_t room = 0; room <= WIRE_HEADER_BYTES + sizeof(bytes); room++) {
        CLEANUP(buf_done) buf to;
        buf_init(&to, room);
        bool fits = room == WIRE_HEADER_BYTES + sizeof(bytes);
        assert_int_equal(wire_frame_data(&to, channel, bytes, sizeof(bytes)), fits);
        assert_int_equal(buf_length(&to), fits ? room : 0);
        buf_clear(&to);
        msg_goodbye goodbye = {.error = 1};
        assert_int_equal(wire_control(&to, wire_encode_goodbye, &goodbye), room >= WIRE_HEADER_BYTES + 6);
        assert_int_equal(buf_length(&to), room >= WIRE_HEADER_BYTES + 6 ? WIRE_HEADER_BYTES + 6 : 0);
    }
}

static void a_control_frame_may_be_its_maximum_and_no_more(void **state) {
    CLEANUP(cleanup_free) uint8_t *bytes = calloc(1, WIRE_CONTROL_MAX_BYTES + 1);
    assert_non_null(bytes);
    for (size_t extra = 0; extra < 2; extra++) {
        CLEANUP(buf_done) buf to;
        buf_init(&to, (size_t) 2 * WIRE_CONTROL_MAX_BYTES);
        assert_true(wire_frame_end(&to, wire_channel(1, 1)));
        size_t before = buf_length(&to), begin = wire_control_begin(&to);
        bool appended = buf_append(&to, bytes, WIRE_CONTROL_MAX_BYTES + extra);
        assert_int_equal(wire_control_end(&to, begin, appended), extra == 0);
        assert_int_equal(buf_length(&to), before + (extra ? 0 : WIRE_HEADER_BYTES + WIRE_CONTROL_MAX_BYTES));
    }
}

static void data_can_be_read_straight_into_a_frame(void **state) {
    CLEANUP(buf_done) buf a;
    CLEANUP(buf_done) buf b;
    buf_init(&a, 1000);
    buf_init(&b, 1000);
    uint32_t channel = wire_channel(9, WIRE_STREAM_STDOUT);
    uint8_t *frame = wire_data_reserve(&a, 100);
    assert_non_null(frame);
    memcpy(frame + WIRE_HEADER_BYTES, "abc", 3);
    wire_data_commit(&a, channel, 3);
    assert_true(wire_frame_data(&b, channel, "abc", 3));
    assert_int_equal(buf_length(&a), buf_length(&b));
    assert_memory_equal(buf_bytes(&a), buf_bytes(&b), buf_length(&a));
    assert_null(wire_data_reserve(&a, 1000));
}

static void a_sender_may_fill_the_window_and_no_more(void **state) {
    wire_inflow in;
    wire_inflow_init(&in);
    assert_false(wire_inflow_received(&in, WIRE_WINDOW_BYTES + 1));
    assert_true(wire_inflow_received(&in, WIRE_WINDOW_BYTES));
    assert_false(wire_inflow_received(&in, 1));
    assert_int_equal(wire_inflow_consumed(&in, WIRE_WINDOW_BYTES / 2 - 1), 0);
    assert_int_equal(wire_inflow_consumed(&in, 1), WIRE_WINDOW_BYTES / 2);
    assert_true(wire_inflow_received(&in, WIRE_WINDOW_BYTES / 2));
    assert_false(wire_inflow_received(&in, 1));
    assert_false(wire_inflow_received(&in, SIZE_MAX));
}

static void no_grant_goes_beyond_the_window(void **state) {
    wire_outflow out;
    wire_outflow_init(&out);
    assert_false(wire_outflow_granted(&out, 1));
    out.credit -= 100;
    assert_false(wire_outflow_granted(&out, 101));
    assert_false(wire_outflow_granted(&out, UINT32_MAX));
    assert_true(wire_outflow_granted(&out, 100));
    assert_int_equal(out.credit, WIRE_WINDOW_BYTES);
}

/* Any pieces, any pauses: nothing is lost, and the sender never waits while nothing is on the way. */
static void the_two_halves_never_deadlock(void **state) {
    wire_inflow in;
    wire_outflow out;
    wire_inflow_init(&in);
    wire_outflow_init(&out);
    size_t waiting = 0, sent = 0;
    uint32_t random = 7;
    while (sent < (size_t) 64 << 20) {
        random = random * 1103515245u + 12345u;
        size_t piece = 1 + (random >> 8) % WIRE_DATA_MAX_BYTES;
        size_t can = piece < out.credit ? piece : out.credit;
        if (can > 0) {
            out.credit -= (uint32_t) can;
            assert_true(wire_inflow_received(&in, can));
            waiting += can;
            sent += can;
        }
        assert_true(can > 0 || waiting > 0);
        if (random & 1 || can == 0) {
            size_t taken = can == 0 ? waiting : waiting / 2;
            uint32_t credit = wire_inflow_consumed(&in, taken);
            waiting -= taken;
            assert_true(credit == 0 || wire_outflow_granted(&out, credit));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_the_same_however_they_are_cut), cmocka_unit_test(a_header_is_judged_before_its_payload_comes),
        cmocka_unit_test(a_frame_that_does_not_fit_leaves_nothing), cmocka_unit_test(a_control_frame_may_be_its_maximum_and_no_more),
        cmocka_unit_test(data_can_be_read_straight_into_a_frame),   cmocka_unit_test(a_sender_may_fill_the_window_and_no_more),
        cmocka_unit_test(no_grant_goes_beyond_the_window),          cmocka_unit_test(the_two_halves_never_deadlock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
