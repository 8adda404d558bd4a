/* SPDX-License-Identifier: Apache-2.0
 *
 * privileges.c - what a process may do and use
 */
#include "runtime/privileges.h"

#include "runtime/capability.h"
#include "runtime/ulimit.h"
#include "wire/limits.h"

int privileges_add(privileges *p, strv cap_add, strv cap_drop, strv ulimits, bool no_new_privileges, nb_error *err) {
    uint64_t add = 0, drop = 0;
    if (p->limits.max_bytes == 0)
        buf_init(&p->limits, WIRE_RLIMITS_MAX_BYTES);
    int result = capability_mask(cap_add, &add, err);
    if (result == 0)
        result = capability_mask(cap_drop, &drop, err);
    if (result == 0)
        result = ulimit_pack(ulimits, &p->limits, err);
    if (result < 0)
        return result;
    p->cap_add = (p->cap_add & ~drop) | add;
    p->cap_drop |= drop;
    p->no_new_privileges |= no_new_privileges;
    return 0;
}

void privileges_done(privileges *p) {
    buf_done(&p->limits);
}
