/* SPDX-License-Identifier: Apache-2.0
 *
 * test-base-buf.c - a queue of bytes holds what it may and not a byte more, and keeps their order
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "fail.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MAX_BYTES 1000u

static void it_holds_its_maximum_and_no_more(void **state) {
    static const uint8_t bytes[MAX_BYTES + 1];
    for (size_t length = MAX_BYTES - 1; length <= MAX_BYTES + 1; length++) {
        CLEANUP(buf_done) buf b;
        buf_init(&b, MAX_BYTES);
        assert_int_equal(buf_append(&b, bytes, length), length <= MAX_BYTES);
        assert_int_equal(buf_length(&b), length <= MAX_BYTES ? length : 0);
        assert_int_equal(buf_room(&b), MAX_BYTES - buf_length(&b));
        assert_int_equal(buf_reserve(&b, buf_room(&b) + 1) == NULL, 1);
        assert_int_equal(buf_reserve(&b, SIZE_MAX) == NULL, 1);
    }
}

/* Against a model that cannot be wrong: consecutive numbers. */
static void bytes_keep_their_order_however_they_come_and_go(void **state) {
    CLEANUP(buf_done) buf b;
    buf_init(&b, MAX_BYTES);
    uint8_t in = 0, out = 0;
    uint32_t random = 1;
    for (unsigned round = 0; round < 20000; round++) {
        random = random * 1103515245u + 12345u;
        size_t length = random >> 16 & 0xff;
        if (random & 0x80000000u) {
            uint8_t *to = buf_reserve(&b, length);
            assert_int_equal(to == NULL, length > MAX_BYTES - buf_length(&b));
            if (!to)
                continue;
            for (size_t i = 0; i < length; i++)
                to[i] = in++;
            buf_added(&b, length);
        } else {
            if (length > buf_length(&b))
                length = buf_length(&b);
            for (size_t i = 0; i < length; i++)
                assert_int_equal(buf_bytes(&b)[i], out++);
            buf_consume(&b, length);
        }
        assert_int_equal((uint8_t) (out + buf_length(&b)), in);
    }
}

static void room_at_the_front_is_used_before_memory_grows(void **state) {
    CLEANUP(buf_done) buf b;
    static const uint8_t bytes[MAX_BYTES];
    buf_init(&b, MAX_BYTES);
    assert_true(buf_append(&b, bytes, 200));
    size_t capacity = b.capacity;
    for (unsigned i = 0; i < 1000; i++) {
        buf_consume(&b, 100);
        assert_true(buf_append(&b, bytes, 100));
    }
    assert_int_equal(b.capacity, capacity);
}

static void an_emptied_large_buffer_keeps_what_it_was_told_to(void **state) {
    CLEANUP(buf_done) buf b;
    buf_init(&b, 1 << 20);
    b.kept_bytes = 1000;
    assert_non_null(buf_reserve(&b, 1 << 20));
    buf_added(&b, 1 << 20);
    buf_consume(&b, 1 << 20);
    assert_int_equal(b.capacity, 1000);
    fail_alloc_at(0);
    assert_non_null(buf_reserve(&b, 1000));
    assert_false(fail_alloc_fired());
    assert_non_null(buf_reserve(&b, 1 << 20));
    buf_added(&b, 1 << 20);
    fail_alloc_at(0);
    buf_clear(&b); /* shrinking may fail: then it keeps more */
    assert_true(fail_alloc_fired());
    assert_true(b.capacity >= 1 << 20);
    assert_true(buf_append(&b, "x", 1));
}

static void an_emptied_large_buffer_gives_its_memory_back(void **state) {
    CLEANUP(buf_done) buf b;
    buf_init(&b, 1 << 20);
    assert_non_null(buf_reserve(&b, 1 << 20));
    buf_added(&b, 1 << 20);
    buf_consume(&b, (1 << 20) - 1);
    assert_true(b.capacity >= 1 << 20);
    buf_consume(&b, 1);
    assert_int_equal(b.capacity, 0);
    assert_null(buf_bytes(&b));
    assert_true(buf_append(&b, "x", 1));
    assert_memory_equal(buf_bytes(&b), "x", 1);
}

static void refused_memory_leaves_what_it_holds(void **state) {
    CLEANUP(buf_done) buf b;
    static const uint8_t more[900];
    buf_init(&b, MAX_BYTES);
    fail_alloc_at(0);
    assert_false(buf_append(&b, "a", 1));
    assert_true(fail_alloc_fired());
    assert_true(buf_append(&b, "abc", 3));
    fail_alloc_at(0);
    assert_false(buf_append(&b, more, sizeof(more)));
    assert_true(fail_alloc_fired());
    assert_int_equal(buf_length(&b), 3);
    assert_memory_equal(buf_bytes(&b), "abc", 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_its_maximum_and_no_more),
        cmocka_unit_test(bytes_keep_their_order_however_they_come_and_go),
        cmocka_unit_test(room_at_the_front_is_used_before_memory_grows),
        cmocka_unit_test(an_emptied_large_buffer_gives_its_memory_back),
        cmocka_unit_test(an_emptied_large_buffer_keeps_what_it_was_told_to),
        cmocka_unit_test(refused_memory_leaves_what_it_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
