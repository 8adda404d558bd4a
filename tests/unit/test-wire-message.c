/* SPDX-License-Identifier: Apache-2.0
 *
 * test-wire-message.c - every message of the table, there and back, and everything that is no message
 *
 * The tests bring an encoder of their own, as plain as the protocol's text: an id, then the fields in order. It can also say what the real
 * one refuses to say. Every test runs for every message, because both are made from the same table.
 */
#include "base/arena.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/size.h"
#include "fail.h"
#include "guest/zygote.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <nestbox/error.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What is done to the one field that a test is about, or to all of them; others get some value that is right. */
typedef enum twist { KEEP, EMPTY, BELOW_MAX, AT_MAX, BEYOND_MAX, NUL_WITHIN, NUL_LAST, UNTERMINATED, HUGE_LENGTH } twist;

#define EVERY_FIELD UINT_MAX

/* docs/protocol.md: what a reader of the record takes. */
#define RECORD_FILE_MAX_BYTES ((size_t) 24 << 10)

typedef struct maker {
    unsigned target, field; /* which field is twisted, and how many there were */
    twist twist;
    bool twisted; /* the field was of a kind that can be twisted so */
    uint32_t random;
    arena memory;
    buf bytes;
} maker;

static void maker_done(maker *m) {
    arena_done(&m->memory);
    buf_done(&m->bytes);
}

static void maker_init(maker *m, uint16_t id, unsigned target, twist wanted) {
    *m = (maker){.target = target, .twist = wanted, .random = id * 2654435761u + target};
    uint8_t bytes[2];
    buf_init(&m->bytes, 16 << 20);
    store_le16(bytes, id);
    assert_true(buf_append(&m->bytes, bytes, sizeof(bytes)));
}

static uint64_t next_number(maker *m, unsigned size) {
    uint64_t number = 0;
    for (unsigned i = 0; i < size; i++) {
        m->random = m->random * 1103515245u + 12345u;
        uint8_t byte = (uint8_t) (m->random >> 16);
        number |= (uint64_t) byte << 8 * i;
        assert_true(buf_append(&m->bytes, &byte, 1));
    }
    m->field++;
    return number;
}

static void make_u8(maker *m, uint8_t *ret, size_t max) {
    *ret = (uint8_t) next_number(m, 1);
}
static void make_u16(maker *m, uint16_t *ret, size_t max) {
    *ret = (uint16_t) next_number(m, 2);
}
static void make_u32(maker *m, uint32_t *ret, size_t max) {
    *ret = (uint32_t) next_number(m, 4);
}
static void make_u64(maker *m, uint64_t *ret, size_t max) {
    *ret = next_number(m, 8);
}
static void make_i32(maker *m, int32_t *ret, size_t max) {
    *ret = (int32_t) next_number(m, 4);
}

typedef enum text_kind { STR, BYTES, STRV } text_kind;

static bool can_be_twisted(text_kind kind, twist wanted) {
    return wanted != KEEP && ((wanted != NUL_WITHIN && wanted != NUL_LAST) || kind == STR) && (wanted != UNTERMINATED || kind == STRV);
}

static wire_bytes make_text(maker *m, text_kind kind, size_t max) {
    bool is_target = m->field == m->target || m->target == EVERY_FIELD;
    twist here = is_target && can_be_twisted(kind, m->twist) ? m->twist : KEEP;
    m->field++;
    m->twisted |= here != KEEP;
    size_t length = here == EMPTY ? 0 : here == BELOW_MAX ? max - 1 : here == AT_MAX ? max : here == BEYOND_MAX ? max + 1 : 5;
    uint8_t *text = arena_alloc(&m->memory, length + 1);
    assert_non_null(text);
    memset(text, 'a' + (int) (m->field % 26), length);
    if (kind == STRV && length > 0 && here != UNTERMINATED)
        text[length - 1] = '\0';
    if (kind == BYTES || here == NUL_WITHIN)
        text[length / 2] = '\0';
    if (here == NUL_LAST)
        text[length - 1] = '\0';
    uint8_t prefix[4];
    store_le32(prefix, here == HUGE_LENGTH ? UINT32_MAX : (uint32_t) length);
    assert_true(buf_append(&m->bytes, prefix, sizeof(prefix)) && buf_append(&m->bytes, text, length));
    return (wire_bytes){text, length};
}

static void make_str(maker *m, wire_bytes *ret, size_t max) {
    *ret = make_text(m, STR, max);
}
static void make_bytes(maker *m, wire_bytes *ret, size_t max) {
    *ret = make_text(m, BYTES, max);
}
static void make_strv(maker *m, strv *ret, size_t max) {
    wire_bytes text = make_text(m, STRV, max);
    *ret = (strv){(const char *) text.at, text.length};
}

static bool same_number(uint64_t a, uint64_t b) {
    return a == b;
}
static bool same_text(wire_bytes a, wire_bytes b) {
    return a.length == b.length && (a.length == 0 || memcmp(a.at, b.at, a.length) == 0);
}
static bool same_strv(strv a, strv b) {
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.at, b.at, a.bytes) == 0);
}
#define SAME_u8 same_number
#define SAME_u16 same_number
#define SAME_u32 same_number
#define SAME_u64 same_number
#define SAME_i32(a, b) same_number((uint32_t) (a), (uint32_t) (b))
#define SAME_str same_text
#define SAME_bytes same_text
#define SAME_strv same_strv

/* Three functions for each message: make one in both forms, encode what was made, decode bytes and compare with what was made. */
#define MAKE_FIELD(kind, name, max) make_##kind(m, &made->name, max);
#define SAME_FIELD(kind, name, max) same = same && SAME_##kind(read.name, made->name);
#define MESSAGE_FUNCTIONS(struct_name, encoder, decoder, id, text, directions, fields)                         \
    static void make_##struct_name(maker *m, void *memory) {                                                   \
        struct_name *made = memory;                                                                            \
        fields(MAKE_FIELD)                                                                                     \
    }                                                                                                          \
    static bool encode_##struct_name(buf *to, const void *memory) {                                            \
        return encoder(to, memory);                                                                            \
    }                                                                                                          \
    static int decode_##struct_name(const uint8_t *bytes, size_t length, const void *memory, bool *ret_same) { \
        const struct_name *made = memory;                                                                      \
        struct_name read;                                                                                      \
        int result = decoder(bytes, length, &read);                                                            \
        bool same = result == 0;                                                                               \
        if (same) {                                                                                            \
            fields(SAME_FIELD)                                                                                 \
        }                                                                                                      \
        *ret_same = same;                                                                                      \
        return result;                                                                                         \
    }
WIRE_MESSAGES(MESSAGE_FUNCTIONS)

#define LARGEST_FIELD(struct_name, encoder, decoder, id, text, directions, fields) struct_name struct_name##_;
typedef union any_message {
    WIRE_MESSAGES(LARGEST_FIELD)
} any_message;

static const struct {
    const char *name;
    uint16_t id;
    void (*make)(maker *m, void *memory);
    bool (*encode)(buf *to, const void *memory);
    int (*decode)(const uint8_t *bytes, size_t length, const void *memory, bool *ret_same);
} messages[] = {
#define MESSAGE_ROW(struct_name, encoder, decoder, id, text, directions, fields) \
    {text, id, make_##struct_name, encode_##struct_name, decode_##struct_name},
    WIRE_MESSAGES(MESSAGE_ROW)
#undef MESSAGE_ROW
};

/* In an exact block, so that the sanitizer sees a read beyond the end. */
static int decode_exactly(size_t message, const uint8_t *bytes, size_t length, const any_message *made, bool *ret_same) {
    uint8_t *block = malloc(length ? length : 1);
    assert_non_null(block);
    memcpy(block, bytes, length);
    int result = messages[message].decode(block, length, made, ret_same);
    free(block);
    return result;
}

/* Makes a message with one field twisted and looks at it from both sides. Returns whether there was such a field. */
static bool expect(size_t i, unsigned field, twist wanted, bool good, unsigned *ret_fields) {
    CLEANUP(maker_done) maker m;
    CLEANUP(buf_done) buf encoded;
    any_message made;
    bool same;
    memset(&made, 0, sizeof(made));
    buf_init(&encoded, 16 << 20);
    maker_init(&m, messages[i].id, field, wanted);
    messages[i].make(&m, &made);
    *ret_fields = m.field;
    if (wanted != KEEP && !m.twisted)
        return false;
    assert_true(buf_append(&encoded, "before", 6));
    assert_int_equal(messages[i].encode(&encoded, &made), good || wanted == HUGE_LENGTH);
    if (good) {
        assert_int_equal(buf_length(&encoded), 6 + buf_length(&m.bytes));
        assert_memory_equal(buf_bytes(&encoded) + 6, buf_bytes(&m.bytes), buf_length(&m.bytes));
    } else if (wanted != HUGE_LENGTH) {
        assert_int_equal(buf_length(&encoded), 6); /* what failed half way left nothing */
    }
    assert_int_equal(decode_exactly(i, buf_bytes(&m.bytes), buf_length(&m.bytes), &made, &same), good ? 0 : -NB_E_PROTOCOL);
    assert_int_equal(same, good);
    return true;
}

static void expect_for_every_field(twist wanted, bool good) {
    unsigned seen = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(messages); i++) {
        unsigned fields = 1;
        for (unsigned field = 0; field < fields; field++)
            seen += expect(i, field, wanted, good, &fields);
    }
    assert_true(seen > 0);
}

static void every_message_comes_back_as_it_went(void **state) {
    expect_for_every_field(KEEP, true);
    expect_for_every_field(EMPTY, true);
}

static void every_length_may_be_its_maximum_and_no_more(void **state) {
    expect_for_every_field(BELOW_MAX, true);
    expect_for_every_field(AT_MAX, true);
    expect_for_every_field(BEYOND_MAX, false);
}

/* So nothing that an encoder takes is refused by a link, or cut by a socket: all lengths were checked before. */
static void every_message_fits_its_link_with_all_fields_at_their_maximum(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(messages); i++) {
        CLEANUP(maker_done) maker m;
        CLEANUP(buf_done) buf frame;
        any_message made;
        uint16_t id = messages[i].id;
        maker_init(&m, id, EVERY_FIELD, AT_MAX);
        messages[i].make(&m, &made);
        bool to_zygote = wire_message_allowed(id, TO_ZYGOTE) || wire_message_allowed(id, TO_AGENT);
        size_t max = to_zygote                           ? ZYGOTE_DATAGRAM_MAX_BYTES
                     : wire_message_allowed(id, ON_DISK) ? RECORD_FILE_MAX_BYTES
                     : wire_message_allowed(id, WITHIN)  ? WIRE_IMAGE_CONFIG_MAX_BYTES
                                                         : WIRE_CONTROL_MAX_BYTES;
        if (buf_length(&m.bytes) > max)
            fail_msg("%s can take %zu bytes, its link %zu", messages[i].name, buf_length(&m.bytes), max);
        buf_init(&frame, WIRE_READ_BUFFER_BYTES);
        size_t begin = wire_control_begin(&frame);
        assert_true(wire_control_end(&frame, begin, messages[i].encode(&frame, &made)));
        assert_int_equal(buf_length(&frame), WIRE_HEADER_BYTES + buf_length(&m.bytes));
    }
}

static void a_string_has_no_nul_and_a_list_ends_in_one(void **state) {
    expect_for_every_field(NUL_WITHIN, false);
    expect_for_every_field(NUL_LAST, false);
    expect_for_every_field(UNTERMINATED, false);
}

static void a_length_beyond_the_message_is_refused(void **state) {
    expect_for_every_field(HUGE_LENGTH, false);
}

static void every_message_has_one_length_and_one_id(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(messages); i++) {
        CLEANUP(maker_done) maker m;
        any_message made;
        bool same;
        maker_init(&m, messages[i].id, 0, KEEP);
        messages[i].make(&m, &made);
        size_t length = buf_length(&m.bytes);
        for (size_t shorter = 0; shorter < length; shorter++)
            assert_int_equal(decode_exactly(i, buf_bytes(&m.bytes), shorter, &made, &same), -NB_E_PROTOCOL);
        assert_true(buf_append(&m.bytes, "", 1));
        assert_int_equal(decode_exactly(i, buf_bytes(&m.bytes), length + 1, &made, &same), -NB_E_PROTOCOL);
        for (unsigned bit = 0; bit < 16; bit++) {
            buf_bytes(&m.bytes)[bit / 8] ^= (uint8_t) (1u << bit % 8);
            assert_int_equal(decode_exactly(i, buf_bytes(&m.bytes), length, &made, &same), -NB_E_PROTOCOL);
            buf_bytes(&m.bytes)[bit / 8] ^= (uint8_t) (1u << bit % 8);
        }
        assert_int_equal(decode_exactly(i, buf_bytes(&m.bytes), length, &made, &same), 0);
        assert_true(same);
    }
}

static void an_encoder_without_room_or_memory_takes_back_what_it_wrote(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(messages); i++) {
        CLEANUP(maker_done) maker m;
        any_message made;
        maker_init(&m, messages[i].id, 0, KEEP);
        messages[i].make(&m, &made);
        for (size_t room = 0; room <= buf_length(&m.bytes); room++) {
            CLEANUP(buf_done) buf encoded;
            buf_init(&encoded, room);
            bool fits = room == buf_length(&m.bytes);
            assert_int_equal(messages[i].encode(&encoded, &made), fits);
            assert_int_equal(buf_length(&encoded), fits ? room : 0);
        }
        for (unsigned n = 0;; n++) {
            CLEANUP(buf_done) buf encoded;
            buf_init(&encoded, 1 << 20);
            fail_alloc_at(n);
            bool good = messages[i].encode(&encoded, &made);
            if (!fail_alloc_fired()) {
                assert_true(good);
                break;
            }
            assert_false(good);
            assert_int_equal(buf_length(&encoded), 0);
        }
    }
}

static void ids_and_names_are_one_to_one(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(messages); i++) {
        assert_string_equal(wire_message_name(messages[i].id), messages[i].name);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(messages[i].id, messages[j].id);
            assert_string_not_equal(messages[i].name, messages[j].name);
        }
    }
    assert_null(wire_message_name(0));
    assert_null(wire_message_name(UINT16_MAX));
    assert_int_equal(wire_message_id((const uint8_t *) "\x05", 1), 0);
    assert_int_equal(wire_message_id((const uint8_t *) "\x05\x01", 2), 0x105);
}

static void a_message_goes_only_where_the_table_sends_it(void **state) {
    assert_true(wire_message_allowed(id_of_msg_setup, TO_GUEST));
    assert_false(wire_message_allowed(id_of_msg_setup, TO_HOST));
    assert_false(wire_message_allowed(id_of_msg_setup, TO_SHIM));
    assert_true(wire_message_allowed(id_of_msg_spawn, TO_SHIM));
    assert_true(wire_message_allowed(id_of_msg_exited, TO_CLIENT));
    assert_false(wire_message_allowed(id_of_msg_record, TO_SHIM));
    for (unsigned bit = 0; bit < 16; bit++)
        assert_false(wire_message_allowed(9999, 1u << bit));
}

static void a_failed_step_is_a_shells_exit_code(void **state) {
    assert_int_equal(wire_spawn_exit_code(WIRE_STEP_EXECUTE, ENOENT), 127);
    assert_int_equal(wire_spawn_exit_code(WIRE_STEP_EXECUTE, EACCES), 126);
    assert_int_equal(wire_spawn_exit_code(WIRE_STEP_DIRECTORY, ENOENT), 126);
    assert_int_equal(wire_spawn_exit_code(WIRE_STEP_USER, ENOENT), 126);
    assert_int_equal(wire_spawn_exit_code(WIRE_STEP_FORK, EAGAIN), 125);
    for (unsigned step = 0; step < WIRE_STEP_COUNT; step++)
        assert_string_not_equal(wire_step_text(step), "unknown step");
    assert_string_equal(wire_step_text(WIRE_STEP_COUNT), "unknown step");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back_as_it_went),
        cmocka_unit_test(every_length_may_be_its_maximum_and_no_more),
        cmocka_unit_test(every_message_fits_its_link_with_all_fields_at_their_maximum),
        cmocka_unit_test(a_string_has_no_nul_and_a_list_ends_in_one),
        cmocka_unit_test(a_length_beyond_the_message_is_refused),
        cmocka_unit_test(every_message_has_one_length_and_one_id),
        cmocka_unit_test(an_encoder_without_room_or_memory_takes_back_what_it_wrote),
        cmocka_unit_test(ids_and_names_are_one_to_one),
        cmocka_unit_test(a_message_goes_only_where_the_table_sends_it),
        cmocka_unit_test(a_failed_step_is_a_shells_exit_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
