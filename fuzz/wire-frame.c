/* SPDX-License-Identifier: Apache-2.0
 *
 * wire-frame.c - frames: the same however they are cut, and the same bytes when written again
 */
#include "base/buf.h"
#include "wire/frame.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(condition)  \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

/* Frames written again are the bytes they were read from. */
static void check_again(const wire_frame *frame, const uint8_t *bytes, size_t length) {
    buf again;
    buf_init(&again, WIRE_READ_BUFFER_BYTES);
    bool good = false;
    size_t begin;
    switch (frame->kind) {
    case WIRE_FRAME_CONTROL:
        begin = wire_control_begin(&again);
        good = wire_control_end(&again, begin, buf_append(&again, frame->payload, frame->length));
        break;
    case WIRE_FRAME_DATA:
        good = wire_frame_data(&again, frame->channel, frame->payload, frame->length);
        break;
    case WIRE_FRAME_END:
        good = wire_frame_end(&again, frame->channel);
        break;
    case WIRE_FRAME_CREDIT:
        good = wire_frame_credit(&again, frame->channel, frame->credit);
        break;
    }
    CHECK(good && buf_length(&again) == length && memcmp(buf_bytes(&again), bytes, length) == 0);
    buf_done(&again);
}

/* A frame is found with its last byte and not before; what is none is known at the same byte as in one piece. */
static void check_cut(const uint8_t *bytes, size_t length, int found, size_t used) {
    size_t judged_at = found > 0 ? used : WIRE_HEADER_BYTES;
    for (size_t shorter = 0; shorter < length && shorter <= judged_at; shorter++) {
        wire_frame frame;
        size_t ignored;
        int early = wire_frame_parse(bytes, shorter, &frame, &ignored);
        CHECK(early == (found != 0 && shorter >= judged_at ? found : 0));
        if (shorter > 2 * WIRE_HEADER_BYTES && judged_at > shorter + 2)
            shorter = judged_at - 2; /* the middle of a payload is all the same */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    for (;;) {
        wire_frame frame;
        size_t used = 0;
        int found = wire_frame_parse(bytes, length, &frame, &used);
        CHECK(found <= 1);
        check_cut(bytes, length, found, used);
        if (found <= 0)
            return 0;
        CHECK(used >= WIRE_HEADER_BYTES && used <= length && frame.length == used - WIRE_HEADER_BYTES);
        check_again(&frame, bytes, used);
        bytes += used;
        length -= used;
    }
}
