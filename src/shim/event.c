/* SPDX-License-Identifier: Apache-2.0
 *
 * event.c - telling what a box does, in the home's log of events
 */
#include "shim/event.h"

#include "base/cleanup.h"
#include "base/event-log.h"
#include "base/process.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* As much of a command as is told. */
#define COMMAND_MAX_BYTES 256u

static const char *cause_name(unsigned cause) {
    static const char *const names[] = {
#define CAUSE_NAME(name, number, text) [number] = text,
        NB_END_CAUSES(CAUSE_NAME)
#undef CAUSE_NAME
    };
    return names[cause];
}

static void tell(shim *s, const char *action, const buf *attributes) {
    char id[WIRE_NAME_MAX_BYTES + 1];
    wire_bytes box = s->orders.launch.box_id;
    if (s->home < 0 || box.length == 0 || s->orders.launch.launch_flags & WIRE_LAUNCH_VISIT)
        return;
    (void) snprintf(id, sizeof(id), "%.*s", (int) box.length, (const char *) box.at);
    if (event_log_append(s->home, "box", action, id, strv_of(attributes)) < 0)
        log_warning(&s->log, "event: '%s' cannot be logged: %m", action);
}

void event_tell(shim *s, const char *action, const char *key, const char *value) {
    CLEANUP(buf_done) buf attributes;
    buf_init(&attributes, EVENT_LINE_MAX_BYTES);
    if (value && *value)
        (void) event_attribute(&attributes, key, value);
    tell(s, action, &attributes);
}

void event_tell_stopping(shim *s) {
    event_tell(s, "stopping", "cause=", cause_name(s->record.is.cause));
}

void event_tell_begun(shim *s, const char *exec_id, strv argv) {
    char command[COMMAND_MAX_BYTES];
    size_t length = 0;
    CLEANUP(buf_done) buf attributes;
    buf_init(&attributes, EVENT_LINE_MAX_BYTES);
    command[0] = '\0';
    for (const char *word = NULL; (word = strv_next(argv, word)) && length < sizeof(command);)
        length += (size_t) snprintf(command + length, sizeof(command) - length, "%s%s", length > 0 ? " " : "", word);
    (void) event_attribute(&attributes, "exec_id=", exec_id);
    (void) event_attribute(&attributes, "command=", command);
    tell(s, "exec", &attributes);
}

void event_tell_exited(shim *s, const char *exec_id, const msg_exited *exited) {
    char number[16];
    CLEANUP(buf_done) buf attributes;
    buf_init(&attributes, EVENT_LINE_MAX_BYTES);
    if (exited->exit_flags & WIRE_EXIT_OOM)
        event_tell(s, "oom", "exec_id=", exec_id);
    if (exec_id)
        (void) event_attribute(&attributes, "exec_id=", exec_id);
    (void) snprintf(number, sizeof(number), "%d", exited->signal ? 128 + exited->signal : exited->code);
    (void) event_attribute(&attributes, "exit_code=", number);
    const char *signal = signal_name(exited->signal);
    (void) snprintf(number, sizeof(number), "%u", exited->signal);
    if (exited->signal)
        (void) event_attribute(&attributes, "signal=", signal ? signal : number);
    if (exited->exit_flags & WIRE_EXIT_TIMED_OUT)
        (void) event_attribute(&attributes, "timed_out=", "true");
    tell(s, exec_id ? "exec_die" : "die", &attributes);
}

void event_tell_over(shim *s) {
    CLEANUP(buf_done) buf attributes;
    buf_init(&attributes, EVENT_LINE_MAX_BYTES);
    bool failed = s->record.is.state == NB_BOX_FAILED;
    if (!failed)
        (void) event_attribute(&attributes, "cause=", cause_name(s->record.is.cause));
    if (s->failure_message[0])
        (void) event_attribute(&attributes, "message=", s->failure_message);
    tell(s, failed ? "fail" : "stop", &attributes);
}
