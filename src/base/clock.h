/* SPDX-License-Identifier: Apache-2.0
 *
 * clock.h - time: monotonic for waits, wall clock for records
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

uint64_t clock_monotonic_ns(void); /* CLOCK_MONOTONIC */
uint64_t clock_wall_ns(void);      /* nanoseconds since 1970 */

static inline uint64_t clock_monotonic_ms(void) {
    return clock_monotonic_ns() / 1000000u;
}
static inline uint64_t clock_wall_ms(void) {
    return clock_wall_ns() / 1000000u;
}

/* A point in time after which a wait ends. */
typedef struct deadline {
    uint64_t at_ms; /* monotonic; UINT64_MAX: never */
} deadline;

/* @timeout_ms  negative: never */
deadline deadline_in(int64_t timeout_ms);
/* Milliseconds left as poll(2) wants them: -1 for never, 0 when it has passed. */
int deadline_left_ms(deadline d);
static inline bool deadline_passed(deadline d) {
    return deadline_left_ms(d) == 0;
}

#endif
