/* SPDX-License-Identifier: Apache-2.0
 *
 * owner.h - a worker's end of the conversation with whoever wants its work
 *
 * HELLO both ways and one request in; PROGRESS out, at most ten times a second; one answer out; end. Everything blocks. When the owner's end of
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
    uint64_t next_progress_ms, told_at_ms;
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
/* Whether it is time for progress again: ten times a second is enough. */
bool owner_progress_is_due(owner *o);
/* Whether the owner has heard nothing for so long that it might think we hang, or want to give up: it is asked with each word of ours. */
bool owner_is_left_waiting(const owner *o);
/* As PROGRESS has it. */
void owner_send_progress(owner *o, const char *what, const char *item, uint64_t done_bytes, uint64_t total_bytes);

/* Waits until @other_fd (-1: none) is readable or the time is over; ends the process when the owner is gone. Whether it is readable. */
bool owner_wait(int timeout_ms, int other_fd);
/* The same for as long as it takes, and tells the owner all the while that it waits: "waiting for ...". */
void owner_wait_telling(owner *o, int other_fd, const char *what);

#endif
