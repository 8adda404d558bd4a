/* SPDX-License-Identifier: Apache-2.0
 *
 * outlet.c - one output stream of an exec: from the agent to whoever is attached, or kept for who comes later
 */
#include "shim/outlet.h"

void outlet_init(outlet *o) {
    *o = (outlet){0};
    wire_inflow_init(&o->inflow);
    wire_outflow_init(&o->outflow);
    /* A kept backlog may still wait for a client while the agent uses its whole window. */
    buf_init(&o->queue, OUTLET_KEPT_BYTES + WIRE_WINDOW_BYTES);
}

void outlet_done(outlet *o) {
    buf_done(&o->queue);
}

/* Takes bytes off the queue's head. The credit that the agent should be given now. */
static uint32_t take_off(outlet *o, size_t length) {
    size_t granted_before = buf_length(&o->queue) - o->ungranted;
    size_t left = length > granted_before ? length - granted_before : 0;
    buf_consume(&o->queue, length);
    o->ungranted -= left;
    return wire_inflow_consumed(&o->inflow, left);
}

uint32_t outlet_flush(outlet *o, link_end *client, uint32_t channel) {
    uint32_t credit = 0;
    while (buf_length(&o->queue) > 0 && o->outflow.credit > 0) {
        size_t piece = buf_length(&o->queue) < o->outflow.credit ? buf_length(&o->queue) : o->outflow.credit;
        if (piece > WIRE_DATA_MAX_BYTES)
            piece = WIRE_DATA_MAX_BYTES;
        link_data(client, channel, buf_bytes(&o->queue), piece);
        o->outflow.credit -= (uint32_t) piece;
        credit += take_off(o, piece);
    }
    if (o->ended && !o->end_told && buf_length(&o->queue) == 0) {
        o->end_told = true;
        link_end_of_stream(client, channel);
    }
    return credit;
}

bool outlet_pass(outlet *o, link_end *client, uint32_t channel, const uint8_t *bytes, size_t length, uint32_t *ret_credit) {
    if (buf_length(&o->queue) == 0 && o->outflow.credit >= length) {
        link_data(client, channel, bytes, length);
        o->outflow.credit -= (uint32_t) length;
        *ret_credit = wire_inflow_consumed(&o->inflow, length);
        return true;
    }
    if (!buf_append(&o->queue, bytes, length)) { /* the windows bound it: only memory can be out */
        *ret_credit = wire_inflow_consumed(&o->inflow, length);
        return false;
    }
    o->ungranted += length;
    *ret_credit = outlet_flush(o, client, channel);
    return true;
}

/* Drops the oldest of what is kept until the stream and the box are within their bounds. */
static void bound_kept(outlet *o, size_t *kept_total) {
    size_t length = buf_length(&o->queue);
    size_t too_much = length > OUTLET_KEPT_BYTES ? length - OUTLET_KEPT_BYTES : 0;
    if (*kept_total - too_much > OUTLET_KEPT_TOTAL_BYTES) {
        size_t beyond = *kept_total - OUTLET_KEPT_TOTAL_BYTES;
        too_much = beyond < length ? beyond : length;
    }
    buf_consume(&o->queue, too_much);
    o->lost += too_much;
    *kept_total -= too_much;
}

uint32_t outlet_keep(outlet *o, const uint8_t *bytes, size_t length, size_t *kept_total) {
    if (buf_append(&o->queue, bytes, length))
        *kept_total += length;
    else
        o->lost += length;
    bound_kept(o, kept_total);
    return wire_inflow_consumed(&o->inflow, length);
}

void outlet_attach(outlet *o, size_t *kept_total) {
    *kept_total -= buf_length(&o->queue);
    o->lost = 0; /* the answer to the client has told it */
    wire_outflow_init(&o->outflow);
}

uint32_t outlet_abandon(outlet *o, size_t *kept_total) {
    size_t ungranted = o->ungranted;
    o->ungranted = 0;
    *kept_total += buf_length(&o->queue);
    bound_kept(o, kept_total);
    return wire_inflow_consumed(&o->inflow, ungranted);
}
