/* SPDX-License-Identifier: Apache-2.0
 *
 * rehearsal.h - what a box's start will ask of its guest, asked before there is a box
 */
#ifndef SHIM_REHEARSAL_H
#define SHIM_REHEARSAL_H

#include "link/link.h"
#include "machine/machine.h"

typedef struct rehearsal {
    machine *machine;
    link_end *agent;
    uint64_t memory_bytes;
    unsigned rounds_left;
    bool asked_for_name, done;
    void (*on_done)(void *user);
    void *user;
} rehearsal;

/* The container is given no name, and runs the agent's own program, which says a word and ends; some rounds of it. Of an image's machine that goes on
 * from its template and was asked nothing yet. The first two are set by the caller, and so are memory_bytes, the container's, and on_done. */
void rehearsal_begin(rehearsal *r);

/* For the handlers of the agent's link. 0, or a negative error as they return it: the guest says what it should not. */
int rehearsal_message(rehearsal *r, uint16_t id, const uint8_t *bytes, size_t length);
int rehearsal_data(const rehearsal *r);

#endif
