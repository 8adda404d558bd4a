/* SPDX-License-Identifier: Apache-2.0
 *
 * limits.h - what the host holds the machine to, besides what its guest enforces
 */
#ifndef SHIM_LIMITS_H
#define SHIM_LIMITS_H

#include "shim/shim.h"

/* For the machine's process, which has just begun. What could be had, and what could not, goes into the record, now or in a moment. */
void limits_begin(shim *s);

/* Its process has ended. */
void limits_end(shim *s);

/* Of the processor time in each 100,000 us, what the box may use; 0: all of its processors'. */
uint32_t limits_guest_cpu_us(const msg_launch *launch);

#endif
