/* SPDX-License-Identifier: Apache-2.0
 *
 * raw-link.h - what the two ends of the bare virtio-serial port say to each other
 */
#ifndef BENCH_RAW_LINK_H
#define BENCH_RAW_LINK_H

#include <stdint.h>

enum { RAW_READY = 'r', RAW_DONE = 'd' }; /* bytes that the guest sends: once, and after each RAW_READ */

/* What the host asks for, in the machine's own byte order. */
typedef struct raw_order {
    uint64_t bytes;
    enum { RAW_WRITE = 1, RAW_READ = 2 } what; /* the guest writes so many, or reads so many and then says RAW_DONE */
} raw_order;

#endif
