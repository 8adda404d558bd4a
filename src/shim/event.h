/* SPDX-License-Identifier: Apache-2.0
 *
 * event.h - telling what a box does, in the home's log of events (include/nestbox/events.h lists them)
 *
 * A visit leaves no trace there either.
 */
#ifndef SHIM_EVENT_H
#define SHIM_EVENT_H

#include "shim/shim.h"

/* @key  "cause="; NULL: no attribute. @value may be NULL then, or empty: none either */
void event_tell(shim *s, const char *action, const char *key, const char *value);

/* Why it is on its way down: the record says it. */
void event_tell_stopping(shim *s);

void event_tell_begun(shim *s, const char *exec_id, strv argv);

/* @exec_id  NULL: the main command */
void event_tell_exited(shim *s, const char *exec_id, const msg_exited *exited);

/* How the box's run has ended: the record says it. */
void event_tell_over(shim *s);

#endif
