/* SPDX-License-Identifier: Apache-2.0
 *
 * owner.h - a worker's end of the conversation with whoever wants its work
 *
 * HELLO both ways and one request in; PROGRESS out, at most ten a second; one answer out; end. Everything blocks. When the owner's end of
 * the socket closes, nobody wants the work any more: the process ends at once, wherever it stands.
 */
#ifndef IMAGE_OWNER_H
#define IMAGE_OWNER_H

#include "base/buf.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <nestbox/error.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct owner {
    buf in, out;
    uint64_t next_progress_ms;
} owner;

/* Takes this process's rights and most of its limits away, before the first foreign byte.
 *
 * @memory_max_bytes  of address space
 * @descriptors_max   open at once
 * False: the process would have more rights than it may. */
bool owner_drop_rights(uint64_t memory_max_bytes, uint64_t descriptors_max);

void owner_init(owner *o);
void owner_done(owner *o);

/* Greets, and waits for the request; its bytes are valid until owner_done(). False: the owner is gone or does not keep to the protocol. */
bool owner_receive_request(owner *o, const uint8_t **ret_message, size_t *ret_length);

/* Sends what was encoded into @o->out. Ends the process when the owner is gone. */
void owner_send(owner *o);
void owner_send_failed(owner *o, const nb_error *err);
/* Drops what comes too soon after the one before. */
void owner_send_progress(owner *o, const char *what, uint64_t done_bytes, uint64_t total_bytes);

/* Waits until @other_fd (-1: none) is readable or the time is over; ends the process when the owner is gone. */
void owner_wait(int timeout_ms, int other_fd);

#endif
