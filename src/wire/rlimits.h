/* SPDX-License-Identifier: Apache-2.0
 *
 * rlimits.h - resource limits in SPAWN's field "limits"
 *
 * Each takes WIRE_RLIMIT_BYTES: u8 resource (Linux's RLIMIT_ number), u64 soft, u64 hard; UINT64_MAX is unlimited.
 */
#ifndef WIRE_RLIMITS_H
#define WIRE_RLIMITS_H

#include "base/bytes.h"
#include "wire/message.h"

#include <string.h>

typedef struct wire_rlimit {
    uint8_t resource;
    uint64_t soft, hard;
} wire_rlimit;

static inline void wire_rlimit_encode(uint8_t ret_bytes[WIRE_RLIMIT_BYTES], const wire_rlimit *limit) {
    ret_bytes[0] = limit->resource;
    store_le64(ret_bytes + 1, limit->soft);
    store_le64(ret_bytes + 9, limit->hard);
}

/* Takes the first limit off @limits. False: there is none, or what is there is not a whole one. */
static inline bool wire_rlimit_next(wire_bytes *limits, wire_rlimit *ret_limit) {
    if (limits->length < WIRE_RLIMIT_BYTES)
        return false;
    *ret_limit = (wire_rlimit){limits->at[0], load_le64(limits->at + 1), load_le64(limits->at + 9)};
    limits->at += WIRE_RLIMIT_BYTES;
    limits->length -= WIRE_RLIMIT_BYTES;
    return true;
}

#endif
