/* SPDX-License-Identifier: Apache-2.0
 *
 * event.c - telling of what the library does, in the home's log of events
 */
#include "runtime/event.h"

#include "base/cleanup.h"
#include "base/event-log.h"
#include "base/fd.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void tell(int home, const log_sink *log, const char *kind, const char *action, const char *subject, strv attributes) {
    if (event_log_append(home, kind, action, subject, attributes) < 0)
        log_warning(log, "event: that '%s' was '%s' cannot be logged: %m", subject, action);
}

void event_tell(const nb_runtime *rt, const char *kind, const char *action, const char *subject, strv attributes) {
    tell(rt->folder, &rt->log, kind, action, subject, attributes);
}

void event_tell_one(const nb_runtime *rt, const char *kind, const char *action, const char *subject, const char *key, const char *value) {
    CLEANUP(buf_done) buf attributes;
    buf_init(&attributes, EVENT_LINE_MAX_BYTES);
    if (value && *value && !event_attribute(&attributes, key, value))
        buf_clear(&attributes);
    event_tell(rt, kind, action, subject, strv_of(&attributes));
}

void event_tell_end(int folder, const log_sink *log, bool failed, const char *message) {
    char link[64], path[PATH_MAX];
    CLEANUP(buf_done) buf attributes;
    buf_init(&attributes, EVENT_LINE_MAX_BYTES);
    (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, path, sizeof(path) - 1);
    CLEANUP(cleanup_fd) int home = openat(folder, "../..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (length < 0 || home < 0)
        return;
    path[length] = '\0';
    const char *id = strrchr(path, '/');
    if (!id || !id_is_valid(id + 1))
        return;
    if ((!failed && !event_attribute(&attributes, "cause=", nb_end_cause_name(NB_END_CRASH))) ||
        !event_attribute(&attributes, "message=", message))
        buf_clear(&attributes);
    tell(home, log, EVENT_BOX, failed ? "fail" : "stop", id + 1, strv_of(&attributes));
}

void event_describe_box(const box_record *box, buf *attributes) {
    if (box->name[0])
        (void) event_attribute(attributes, EVENT_NAME, box->name);
    (void) event_attribute(attributes, EVENT_IMAGE_NAME, box->image);
    for (const char *label = NULL; (label = strv_next(box->labels, label));)
        (void) event_attribute(attributes, EVENT_LABEL, label);
}

void event_tell_created(const nb_runtime *rt, const box_record *box) {
    CLEANUP(buf_done) buf attributes;
    buf_init(&attributes, EVENT_LINE_MAX_BYTES);
    event_describe_box(box, &attributes);
    event_tell(rt, EVENT_BOX, "create", box->id, strv_of(&attributes));
}
