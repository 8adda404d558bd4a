/* SPDX-License-Identifier: Apache-2.0
 *
 * frame.c - the framing of every link: bytes in, frames out
 */
#include "wire/frame.h"

#include "base/bytes.h"

#include <nestbox/error.h>

#include <assert.h>
#include <string.h>

#define CREDIT_PAYLOAD_BYTES 4u

int wire_frame_parse(const uint8_t *bytes, size_t length, wire_frame *ret_frame, size_t *ret_used) {
    if (length < WIRE_HEADER_BYTES)
        return 0;
    uint32_t payload = load_le32(bytes);
    uint8_t kind = bytes[4];
    uint32_t channel = load_le32(bytes + 8);
    if (bytes[5] != 0 || load_le16(bytes + 6) != 0)
        return -NB_E_PROTOCOL;
    bool stream = wire_channel_exec(channel) != 0 && wire_channel_stream(channel) != 0;
    switch (kind) {
    case WIRE_FRAME_CONTROL:
        if (channel != 0 || payload > WIRE_CONTROL_MAX_BYTES)
            return -NB_E_PROTOCOL;
        break;
    case WIRE_FRAME_DATA:
        if (!stream || payload == 0 || payload > WIRE_DATA_MAX_BYTES)
            return -NB_E_PROTOCOL;
        break;
    case WIRE_FRAME_END:
        if (!stream || payload != 0)
            return -NB_E_PROTOCOL;
        break;
    case WIRE_FRAME_CREDIT:
        if (!stream || payload != CREDIT_PAYLOAD_BYTES)
            return -NB_E_PROTOCOL;
        break;
    default:
        return -NB_E_PROTOCOL;
    }
    if (payload > length - WIRE_HEADER_BYTES)
        return 0;
    *ret_frame = (wire_frame){.kind = kind, .channel = channel, .payload = bytes + WIRE_HEADER_BYTES, .length = payload};
    if (kind == WIRE_FRAME_CREDIT)
        ret_frame->credit = load_le32(ret_frame->payload);
    *ret_used = WIRE_HEADER_BYTES + payload;
    return 1;
}

static void fill_header(uint8_t *header, uint32_t length, enum wire_frame_kind kind, uint32_t channel) {
    memset(header, 0, WIRE_HEADER_BYTES);
    store_le32(header, length);
    header[4] = (uint8_t) kind;
    store_le32(header + 8, channel);
}

static bool append_frame(buf *to, enum wire_frame_kind kind, uint32_t channel, const void *payload, size_t length) {
    uint8_t *at = buf_reserve(to, WIRE_HEADER_BYTES + length);
    if (!at)
        return false;
    fill_header(at, (uint32_t) length, kind, channel);
    if (length > 0)
        memcpy(at + WIRE_HEADER_BYTES, payload, length);
    buf_added(to, WIRE_HEADER_BYTES + length);
    return true;
}

bool wire_frame_data(buf *to, uint32_t channel, const void *bytes, size_t length) {
    assert(length > 0 && length <= WIRE_DATA_MAX_BYTES);
    return append_frame(to, WIRE_FRAME_DATA, channel, bytes, length);
}

uint8_t *wire_data_reserve(buf *to, size_t max) {
    return buf_reserve(to, WIRE_HEADER_BYTES + max);
}

void wire_data_commit(buf *to, uint32_t channel, size_t length) {
    assert(length > 0 && length <= WIRE_DATA_MAX_BYTES);
    fill_header(to->memory + to->end, (uint32_t) length, WIRE_FRAME_DATA, channel);
    buf_added(to, WIRE_HEADER_BYTES + length);
}

bool wire_frame_end(buf *to, uint32_t channel) {
    return append_frame(to, WIRE_FRAME_END, channel, NULL, 0);
}

bool wire_frame_credit(buf *to, uint32_t channel, uint32_t credit) {
    uint8_t payload[CREDIT_PAYLOAD_BYTES];
    store_le32(payload, credit);
    return append_frame(to, WIRE_FRAME_CREDIT, channel, payload, sizeof(payload));
}

size_t wire_control_begin(buf *to) {
    uint8_t header[WIRE_HEADER_BYTES];
    fill_header(header, 0, WIRE_FRAME_CONTROL, 0);
    size_t begin = buf_length(to);
    return buf_append(to, header, sizeof(header)) ? begin : SIZE_MAX;
}

bool wire_control_end(buf *to, size_t begin, bool encoded) {
    size_t payload = buf_length(to) - begin - WIRE_HEADER_BYTES;
    if (!encoded || payload > WIRE_CONTROL_MAX_BYTES) {
        to->end = to->start + begin;
        return false;
    }
    store_le32(buf_bytes(to) + begin, (uint32_t) payload);
    return true;
}

void wire_inflow_init(wire_inflow *f) {
    *f = (wire_inflow){.granted = WIRE_WINDOW_BYTES};
}

bool wire_inflow_received(wire_inflow *f, size_t length) {
    if (length > f->granted)
        return false;
    f->granted -= (uint32_t) length;
    return true;
}

uint32_t wire_inflow_consumed(wire_inflow *f, size_t length) {
    f->consumed += (uint32_t) length;
    assert(f->consumed <= WIRE_WINDOW_BYTES - f->granted);
    if (f->consumed < WIRE_WINDOW_BYTES / 2)
        return 0;
    uint32_t credit = f->consumed;
    f->granted += credit;
    f->consumed = 0;
    return credit;
}

void wire_outflow_init(wire_outflow *f) {
    *f = (wire_outflow){.credit = WIRE_WINDOW_BYTES};
}

bool wire_outflow_granted(wire_outflow *f, uint32_t credit) {
    if (credit > WIRE_WINDOW_BYTES - f->credit)
        return false;
    f->credit += credit;
    return true;
}
