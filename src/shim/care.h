/* SPDX-License-Identifier: Apache-2.0
 *
 * care.h - what a shim sees to by itself: that its box is started again, and that its time is over
 */
#ifndef SHIM_CARE_H
#define SHIM_CARE_H

#include "shim/shim.h"

void care_init(shim *s);
void care_done(shim *s);

/* The box runs now, or does not any more. */
void care_running(shim *s);
void care_ended(shim *s);

/* Somebody uses the box: an exec began or ended, somebody came or went. */
void care_used(shim *s);

/* Whether the box, whose machine has just gone, is to be started again.
 *
 * @ret_delay_ms  how long to wait before that */
bool care_wants_restart(shim *s, uint32_t *ret_delay_ms);

#endif
