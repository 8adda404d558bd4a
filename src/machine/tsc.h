/* SPDX-License-Identifier: Apache-2.0
 *
 * tsc.h - the frequency of the processor's time stamp counter
 */
#ifndef MACHINE_TSC_H
#define MACHINE_TSC_H

#include <stdint.h>

/* The frequency of this host's time stamp counter in kHz; 0 where the architecture has none or no plausible value was found. Takes a few
 * milliseconds where it must be measured.
 *
 * A guest that is told it (tsc_early_khz=) need not calibrate against a timer, which hangs now and then on a loaded host; it keeps its
 * time by this number, so it is exact to some parts in a hundred thousand. */
uint64_t tsc_host_khz(void);

#endif
