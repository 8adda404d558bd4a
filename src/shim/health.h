/* SPDX-License-Identifier: Apache-2.0
 *
 * health.h - looking at the box's health: a command that is run in it now and then
 */
#ifndef SHIM_HEALTH_H
#define SHIM_HEALTH_H

#include "shim/shim.h"

void health_init(shim *s);
void health_done(shim *s);

/* The box runs now, or is on its way down. */
void health_begin(shim *s);
void health_end(shim *s);

/* The command that looks has ended, or could not begin.
 *
 * @exited  NULL: it could not begin
 * @output  what it wrote, or why it could not begin */
void health_looked(shim *s, const msg_exited *exited, const char *output);

#endif
