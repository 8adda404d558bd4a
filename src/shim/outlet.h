/* SPDX-License-Identifier: Apache-2.0
 *
 * outlet.h - one output stream of an exec: from the agent to whoever is attached, or kept for who comes later
 *
 * Both sides have a window. What the attached client's does not take yet waits here and is granted to the agent only as it leaves, so at most
 * a window of it waits. Without a client the shim is the reader: it grants at once and keeps the last OUTLET_KEPT_BYTES.
 */
#ifndef SHIM_OUTLET_H
#define SHIM_OUTLET_H

#include "link/link.h"
#include "wire/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is kept of a stream that nobody reads, unless the box's other streams have used up OUTLET_KEPT_TOTAL_BYTES. */
#define OUTLET_KEPT_BYTES ((size_t) 256 << 10)
#define OUTLET_KEPT_TOTAL_BYTES ((size_t) 64 << 20)

typedef struct outlet {
    wire_inflow inflow;   /* from the agent */
    wire_outflow outflow; /* to the attached client */
    buf queue;
    size_t ungranted; /* bytes at the queue's end that the agent has not been granted again */
    uint64_t lost;    /* bytes that nobody will see, not told yet */
    bool ended;       /* the agent said so */
    bool end_told;    /* and the client knows */
} outlet;

void outlet_init(outlet *o);
void outlet_done(outlet *o);

/* Bytes from the agent that the inflow has let in, for the attached @client. False: memory is out, and the bytes are lost to it.
 *
 * @ret_credit  what the agent should be given now */
bool outlet_pass(outlet *o, link_end *client, uint32_t channel, const uint8_t *bytes, size_t length, uint32_t *ret_credit);

/* The same while nobody is attached.
 *
 * @kept_total  bytes kept by all streams of the box; updated */
uint32_t outlet_keep(outlet *o, const uint8_t *bytes, size_t length, size_t *kept_total);

/* Sends what waits, as far as the client's window allows, and then the end. The credit that the agent should be given now. */
uint32_t outlet_flush(outlet *o, link_end *client, uint32_t channel);

/* A client begins: its window is whole, what was kept is its. */
void outlet_attach(outlet *o, size_t *kept_total);
/* It is gone: what waits is kept. The credit that the agent should be given now. */
uint32_t outlet_abandon(outlet *o, size_t *kept_total);

/* Drops what waits for the attached client. */
static inline void outlet_cut_off(outlet *o) {
    buf_clear(&o->queue);
    o->ungranted = 0;
}

/* Everything has been passed on, the end too. */
static inline bool outlet_is_over(const outlet *o) {
    return o->end_told;
}

#endif
