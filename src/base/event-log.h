/* SPDX-License-Identifier: Apache-2.0
 *
 * event-log.h - what has happened in a home: a file that every program and every box's supervisor adds to
 *
 * Theory of operation
 *   An event is a line: its time, the kind and the name of what it happened to, what happened, and more in the form KEY=VALUE, with spaces
 *   between. Whoever adds one holds the file's lock for that moment, so that lines stand in the order of their writing and a full file is moved
 *   aside once. A line begins with a newline too: one that a full disk has torn spoils no other.
 *   An event is a record and not a promise: it is written without waiting for the disk, and what it tells of has happened whether it could be
 *   written or not.
 */
#ifndef BASE_EVENT_LOG_H
#define BASE_EVENT_LOG_H

#include "base/strv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENT_LOG_FILE "events"
#define EVENT_LOG_OLD_FILE "events.1" /* the one before it */
/* Some forty thousand events each. */
#define EVENT_LOG_MAX_BYTES (INT64_C(4) << 20)
/* Attributes beyond it are left out, whole: labels are what can be long. */
#define EVENT_LINE_MAX_BYTES ((size_t) 16 << 10)

typedef struct event_record {
    uint64_t at_ms; /* wall clock */
    const char *kind, *action, *subject;
    strv attributes; /* "KEY=VALUE" */
} event_record;

/* Appends "KEY=value". False, and nothing is appended: no room, or no memory. */
bool event_attribute(buf *attributes, const char *key_and_equals, const char *value);

/* Adds an event that happens now to the log of the home open as @home. 0, or -1 with errno. */
int event_log_append(int home, const char *kind, const char *action, const char *subject, strv attributes);

/* Understands a line, decoding it in place. Texts point into it, the attributes into @attributes, which is emptied first.
 *
 * @line  @length bytes, and a newline behind them, which is overwritten
 * False: no event (empty, torn, not ours), or memory is out. */
bool event_line_parse(char *line, size_t length, buf *attributes, event_record *ret_event);

#endif
