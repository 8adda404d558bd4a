/* SPDX-License-Identifier: Apache-2.0
 *
 * event.h - telling of what the library does, in the home's log of events
 */
#ifndef RUNTIME_EVENT_H
#define RUNTIME_EVENT_H

#include "runtime/runtime.h"

/* What include/nestbox/events.h calls them. */
#define EVENT_BOX "box"
#define EVENT_IMAGE "image"
#define EVENT_VOLUME "volume"

/* Attributes of a box's "create" that are the box's own, and so of all its events. */
#define EVENT_NAME "name="
#define EVENT_IMAGE_NAME "image="
#define EVENT_LABEL "label:"

/* Adds an event. That it could not be is a line in the log of the runtime's user: what it tells of has happened. */
void event_tell(const nb_runtime *rt, const char *kind, const char *action, const char *subject, strv attributes);

/* The same with one attribute; NULL, or of no value: none. */
void event_tell_one(const nb_runtime *rt, const char *kind, const char *action, const char *subject, const char *key, const char *value);

/* The end of a box that its supervisor could not tell any more, or its start that never had one.
 *
 * @folder  the box's */
void event_tell_end(int folder, const log_sink *log, bool failed, const char *message);

/* What its "create" says of a box. What there is no room for is left out. */
void event_describe_box(const box_record *box, buf *attributes);
/* A box was made. */
void event_tell_created(const nb_runtime *rt, const box_record *box);

#endif
