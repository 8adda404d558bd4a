/* SPDX-License-Identifier: Apache-2.0
 *
 * qmp.c - QEMU's control protocol, client side: bytes in, messages out
 *
 * Theory of operation
 *   Bytes gather until a line is whole; a line is one object. The greeting comes first and once. A command carries a number; QEMU answers
 *   in order, so an answer must carry the number of the oldest command that waits. Events may come at any time after the greeting.
 */
#include "machine/qmp.h"

#include "base/error.h"
#include "base/size.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const simple_names[] = {
#define QMP_COMMAND_NAME(constant, name) [constant] = name,
    QMP_SIMPLE_COMMANDS(QMP_COMMAND_NAME)
#undef QMP_COMMAND_NAME
};

void qmp_init(qmp *q, qmp_callback *callback, void *user) {
    *q = (qmp){.callback = callback, .user = user, .next_id = 1};
    buf_init(&q->line, QMP_LINE_MAX_BYTES);
}

void qmp_done(qmp *q) {
    buf_done(&q->line);
}

static int broken(qmp *q, nb_error *err, const char *why) {
    q->broken = true;
    return nb_fail(err, NB_E_PROTOCOL, 0, "read QEMU's control connection: %s", why);
}

static int handle_greeting(qmp *q, json_value greeting, nb_error *err) {
    if (q->greeted)
        return broken(q, err, "a second greeting");
    json_value version = json_member(json_member(greeting, "version"), "qemu");
    uint64_t major, minor, micro;
    if (!json_u64(json_member(version, "major"), &major) || !json_u64(json_member(version, "minor"), &minor) ||
        !json_u64(json_member(version, "micro"), &micro))
        return broken(q, err, "a greeting without a version");
    q->greeted = true;
    qmp_message m = {.kind = QMP_GREETING};
    (void) snprintf(m.text, sizeof(m.text), "%" PRIu64 ".%" PRIu64 ".%" PRIu64, major, minor, micro);
    q->callback(q->user, &m);
    return 0;
}

/* Sets the command that an answer belongs to, which then no longer waits. */
static int match_answer(qmp *q, json_value line, qmp_message *m, nb_error *err) {
    uint64_t id;
    if (!json_u64(json_member(line, "id"), &id))
        return broken(q, err, "an answer without a number");
    if (q->waiting_count == 0 || id != q->next_id - q->waiting_count)
        return broken(q, err, "an answer to what was not asked");
    m->command = q->waiting[id % QMP_WAITING_MAX];
    q->waiting_count--;
    return 0;
}

static int handle_line(qmp *q, const char *text, size_t length, nb_error *err) {
    json_value line;
    if (length == 0 || !json_check(text, length, &line) || !json_is_object(line))
        return broken(q, err, "a line that is no JSON object");
    json_value greeting = json_member(line, "QMP"), event = json_member(line, "event");
    json_value error = json_member(line, "error"), result = json_member(line, "return");
    if ((greeting.length > 0) + (event.length > 0) + (error.length > 0) + (result.length > 0) != 1)
        return broken(q, err, "an object that is not one of greeting, answer and event");
    if (greeting.length > 0)
        return handle_greeting(q, greeting, err);
    if (!q->greeted)
        return broken(q, err, "something before the greeting");

    qmp_message m = {.kind = QMP_RETURN, .body = result};
    if (event.length > 0) {
        m.kind = QMP_EVENT;
        m.body = json_member(line, "data");
        if (!json_string(event, m.text, sizeof(m.text)))
            return broken(q, err, "an event without a name");
    } else {
        int r = match_answer(q, line, &m, err);
        if (r < 0)
            return r;
        if (error.length > 0) {
            m.kind = QMP_ERROR;
            m.body = error;
            if (!json_string(json_member(error, "desc"), m.text, sizeof(m.text)))
                (void) snprintf(m.text, sizeof(m.text), "(no readable description)");
        }
    }
    q->callback(q->user, &m);
    return 0;
}

int qmp_feed(qmp *q, const void *bytes, size_t length, nb_error *err) {
    const char *at = bytes;
    if (q->broken)
        return broken(q, err, "it is out of step");
    while (length > 0) {
        const char *newline = memchr(at, '\n', length);
        size_t n = newline ? (size_t) (newline - at) : length;
        if (n > buf_room(&q->line))
            return broken(q, err, "a line of more than 64 KiB");
        if (!buf_append(&q->line, at, n)) {
            q->broken = true;
            return nb_fail_oom(err);
        }
        if (!newline)
            return 0;
        at += n + 1;
        length -= n + 1;
        int r = handle_line(q, (const char *) buf_bytes(&q->line), buf_length(&q->line), err);
        if (r < 0)
            return r;
        buf_clear(&q->line);
    }
    return 0;
}

/* Room for the longest command: block_resize with a 20-digit size and number, and a node's name. */
#define QMP_COMMAND_SIZE 384
#define QMP_NODE_MAX_BYTES 31 /* QEMU's own bound for node names */

static bool write_command(qmp *q, qmp_command command, const char *name, const char *arguments, buf *out) {
    char line[QMP_COMMAND_SIZE];
    if (q->waiting_count == QMP_WAITING_MAX)
        return false;
    int length = snprintf(line, sizeof(line), "{\"execute\":\"%s\"%s,\"id\":%" PRIu64 "}\n", name, arguments, q->next_id);
    assert(length > 0 && (size_t) length < sizeof(line));
    if (!buf_append(out, line, (size_t) length))
        return false;
    q->waiting[q->next_id % QMP_WAITING_MAX] = command;
    q->waiting_count++;
    q->next_id++;
    return true;
}

bool qmp_write(qmp *q, qmp_command simple_command, buf *out) {
    assert((size_t) simple_command < ARRAY_LENGTH(simple_names));
    return write_command(q, simple_command, simple_names[simple_command], "", out);
}

bool qmp_write_block_resize(qmp *q, const char *node, uint64_t size_bytes, buf *out) {
    char arguments[QMP_COMMAND_SIZE / 2];
    assert(strlen(node) <= QMP_NODE_MAX_BYTES && node[strspn(node, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0');
    int length = snprintf(arguments, sizeof(arguments), ",\"arguments\":{\"node-name\":\"%s\",\"size\":%" PRIu64 "}", node, size_bytes);
    assert(length > 0 && (size_t) length < sizeof(arguments));
    return write_command(q, QMP_BLOCK_RESIZE, "block_resize", arguments, out);
}

bool qmp_write_migrate_capabilities(qmp *q, buf *out) {
    static const char arguments[] = ",\"arguments\":{\"capabilities\":[{\"capability\":\"x-ignore-shared\",\"state\":true},"
                                    "{\"capability\":\"events\",\"state\":true}]}";
    return write_command(q, QMP_MIGRATE_CAPABILITIES, "migrate-set-capabilities", arguments, out);
}

bool qmp_write_limits(qmp *q, const char *object, uint64_t bytes_per_second, uint32_t operations_per_second, buf *out) {
    char arguments[QMP_COMMAND_SIZE];
    int length = snprintf(arguments, sizeof(arguments),
                          ",\"arguments\":{\"path\":\"/objects/%.31s\",\"property\":\"limits\",\"value\":{\"bps-total\":%" PRIu64
                          ",\"iops-total\":%" PRIu32 "}}",
                          object, bytes_per_second, operations_per_second);
    assert(length > 0 && (size_t) length < sizeof(arguments));
    return write_command(q, QMP_SET_LIMITS, "qom-set", arguments, out);
}

bool qmp_write_getfd(qmp *q, const char *name, buf *out) {
    char arguments[QMP_COMMAND_SIZE / 2];
    (void) snprintf(arguments, sizeof(arguments), ",\"arguments\":{\"fdname\":\"%.31s\"}", name);
    return write_command(q, QMP_GETFD, "getfd", arguments, out);
}

bool qmp_write_migrate(qmp *q, const char *name, buf *out) {
    char arguments[QMP_COMMAND_SIZE / 2];
    (void) snprintf(arguments, sizeof(arguments), ",\"arguments\":{\"uri\":\"fd:%.31s\"}", name);
    return write_command(q, QMP_MIGRATE, "migrate", arguments, out);
}

bool qmp_write_migrate_incoming(qmp *q, int fd, buf *out) {
    char arguments[QMP_COMMAND_SIZE / 2];
    (void) snprintf(arguments, sizeof(arguments), ",\"arguments\":{\"uri\":\"fd:%d\"}", fd);
    return write_command(q, QMP_MIGRATE_INCOMING, "migrate-incoming", arguments, out);
}
