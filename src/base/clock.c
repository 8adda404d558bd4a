/* SPDX-License-Identifier: Apache-2.0
 *
 * clock.c - time: monotonic for waits, wall clock for records
 */
#include "base/clock.h"

#include <limits.h>
#include <time.h>

static uint64_t now_ns(clockid_t id) {
    struct timespec now;
    (void) clock_gettime(id, &now); /* cannot fail for these clocks and a valid pointer */
    return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

uint64_t clock_monotonic_ns(void) {
    return now_ns(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void) {
    return now_ns(CLOCK_REALTIME);
}

deadline deadline_in(int64_t timeout_ms) {
    if (timeout_ms < 0)
        return (deadline){UINT64_MAX};
    return (deadline){clock_monotonic_ms() + (uint64_t) timeout_ms};
}

int deadline_left_ms(deadline d) {
    if (d.at_ms == UINT64_MAX)
        return -1;
    uint64_t now = clock_monotonic_ms();
    if (now >= d.at_ms)
        return 0;
    uint64_t left = d.at_ms - now;
    return left > INT_MAX ? INT_MAX : (int) left;
}
