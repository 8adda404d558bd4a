/* SPDX-License-Identifier: Apache-2.0
 *
 * frame.h - the framing of every link: bytes in, frames out
 *
 * A frame is a header of 12 bytes and a payload (docs/protocol.md):
 *
 *     u32 length of the payload   u8 kind   u8 zero   u16 zero   u32 channel
 *
 * Channel 0 carries control messages. Channel (exec id << 2 | stream) carries one stream of one exec. A sender may have as many bytes
 * on the way per channel as the receiver has granted: WIRE_WINDOW_BYTES at first, then what CREDIT frames add.
 */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include "base/buf.h"
#include "wire/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_HEADER_BYTES 12u

enum wire_frame_kind {
    WIRE_FRAME_CONTROL = 1, /* a control message; channel 0 only */
    WIRE_FRAME_DATA = 2,    /* 1 .. WIRE_DATA_MAX_BYTES of a stream */
    WIRE_FRAME_END = 3,     /* no more data will follow on this channel; no payload */
    WIRE_FRAME_CREDIT = 4,  /* u32: how many more bytes may be sent on this channel */
};

typedef struct wire_frame {
    enum wire_frame_kind kind;
    uint32_t channel;
    const uint8_t *payload; /* into the reader's buffer */
    size_t length;
    uint32_t credit; /* of a CREDIT frame */
} wire_frame;

static inline uint32_t wire_channel(uint32_t exec_id, unsigned stream) {
    return exec_id << 2 | stream;
}
static inline uint32_t wire_channel_exec(uint32_t channel) {
    return channel >> 2;
}
static inline unsigned wire_channel_stream(uint32_t channel) {
    return channel & 3;
}

/* Looks for a frame at the head of @bytes. Pure: the same bytes give the same answer however they arrived.
 *
 * @ret_used  how many bytes the frame takes; the caller drops them when it is done with the payload
 * 1: a frame. 0: more bytes are needed. -NB_E_PROTOCOL: no frame begins so. */
int wire_frame_parse(const uint8_t *bytes, size_t length, wire_frame *ret_frame, size_t *ret_used);

/* How many bytes a reader must be able to hold to be sure to get the next frame whole. */
#define WIRE_READ_BUFFER_BYTES (WIRE_HEADER_BYTES + WIRE_CONTROL_MAX_BYTES)

/* Append a frame. False, with nothing appended: beyond the buffer's maximum, or memory is out. */
bool wire_frame_data(buf *to, uint32_t channel, const void *bytes, size_t length);
bool wire_frame_end(buf *to, uint32_t channel);
bool wire_frame_credit(buf *to, uint32_t channel, uint32_t credit);

/* A data frame read straight into the buffer: reserve, fill up to @max bytes after the header, commit how many there are (at least one).
 * NULL: beyond the buffer's maximum, or memory is out. */
uint8_t *wire_data_reserve(buf *to, size_t max);
void wire_data_commit(buf *to, uint32_t channel, size_t length);

/* A control frame in two halves: begin, encode the message into @to, end. wire_control_end() is false, with everything since the beginning
 * taken back, when @encoded is false or the message is beyond its maximum. */
size_t wire_control_begin(buf *to);
bool wire_control_end(buf *to, size_t begin, bool encoded);

/* encoder(to, message) as a control frame, true on success. */
#define wire_control(to, encoder, message)                                 \
    ({                                                                     \
        buf *wire_to = (to);                                               \
        size_t wire_at = wire_control_begin(wire_to);                      \
        bool wire_ok = wire_at != SIZE_MAX && encoder(wire_to, (message)); \
        wire_at != SIZE_MAX &&wire_control_end(wire_to, wire_at, wire_ok); \
    })

/* The receiving half of one channel's flow control: when to grant, and whether the sender kept to it. */
typedef struct wire_inflow {
    uint32_t granted;  /* bytes the sender may still send */
    uint32_t consumed; /* bytes taken from us, not yet granted again */
} wire_inflow;

void wire_inflow_init(wire_inflow *f);
/* False: the sender went beyond what it was granted. */
bool wire_inflow_received(wire_inflow *f, size_t length);
/* Counts bytes that went on; the credit that should be sent now, or 0 (credits go out by half windows). */
uint32_t wire_inflow_consumed(wire_inflow *f, size_t length);

/* The sending half. */
typedef struct wire_outflow {
    uint32_t credit; /* bytes we may still send */
} wire_outflow;

void wire_outflow_init(wire_outflow *f);
/* False: a grant beyond the window, which no honest receiver gives. */
bool wire_outflow_granted(wire_outflow *f, uint32_t credit);

#endif
