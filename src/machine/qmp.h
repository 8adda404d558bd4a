/* SPDX-License-Identifier: Apache-2.0
 *
 * qmp.h - QEMU's control protocol, client side: bytes in, messages out
 *
 * QEMU's docs/interop/qmp-spec.txt. Does no I/O. The other side is a QEMU that its guest may have taken over: a line that is too long,
 * malformed, out of turn, or answers what was not asked breaks the connection for good.
 */
#ifndef MACHINE_QMP_H
#define MACHINE_QMP_H

#include "base/buf.h"
#include "machine/json.h"

#include <nestbox/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What QEMU sends on the commands below has less than 1 KiB a line, its greeting about as much. */
#define QMP_LINE_MAX_BYTES ((size_t) 64 << 10)

/* Commands that wait for their answers at once. */
#define QMP_WAITING_MAX 8

#define QMP_TEXT_SIZE 256

/* X(constant, name on the wire): the commands without arguments */
#define QMP_SIMPLE_COMMANDS(X)                  \
    X(QMP_CAPABILITIES, "qmp_capabilities")     \
    X(QMP_STOP, "stop")                         \
    X(QMP_CONT, "cont")                         \
    X(QMP_QUIT, "quit")                         \
    X(QMP_SYSTEM_POWERDOWN, "system_powerdown") \
    X(QMP_QUERY_STATUS, "query-status")

typedef enum qmp_command {
#define QMP_COMMAND_ENUM(constant, name) constant,
    QMP_SIMPLE_COMMANDS(QMP_COMMAND_ENUM)
#undef QMP_COMMAND_ENUM
        QMP_BLOCK_RESIZE,
    QMP_MIGRATE_CAPABILITIES,
    QMP_SET_LIMITS,
    QMP_GETFD,
    QMP_MIGRATE,
    QMP_MIGRATE_INCOMING,
} qmp_command;

typedef enum qmp_kind {
    QMP_GREETING, /* text: QEMU's version */
    QMP_RETURN,   /* command is done; body: what it gave */
    QMP_ERROR,    /* command was refused; text: why */
    QMP_EVENT,    /* text: its name; body: its details, or absent */
} qmp_kind;

typedef struct qmp_message {
    qmp_kind kind;
    qmp_command command; /* which one is answered; of QMP_RETURN and QMP_ERROR */
    char text[QMP_TEXT_SIZE];
    json_value body; /* valid during the callback */
} qmp_message;

/* May write commands, must not feed. */
typedef void qmp_callback(void *user, const qmp_message *message);

typedef struct qmp {
    qmp_callback *callback;
    void *user;
    buf line;
    bool greeted;
    bool broken;
    uint64_t next_id;                     /* of the next command; answers come in order, so the oldest is next_id - waiting_count */
    qmp_command waiting[QMP_WAITING_MAX]; /* by id modulo QMP_WAITING_MAX */
    unsigned waiting_count;
} qmp;

void qmp_init(qmp *q, qmp_callback *callback, void *user);
void qmp_done(qmp *q);

/* Takes what was read and calls back for each message in it.
 * Errors: -NB_E_PROTOCOL (and again for every later call), -NB_E_NO_MEMORY. */
int qmp_feed(qmp *q, const void *bytes, size_t length, nb_error *err);

/* Append a command to @out. False: QMP_WAITING_MAX commands wait, or @out is full; nothing was changed. */
bool qmp_write(qmp *q, qmp_command simple_command, buf *out);
/* @node  a block node of ours: letters, digits and dashes */
bool qmp_write_block_resize(qmp *q, const char *node, uint64_t size_bytes, buf *out);
/* Of a saved machine the memory, which is a file of its own, is not written, and its end is told by an event. */
bool qmp_write_migrate_capabilities(qmp *q, buf *out);
/* Sets the limits of the throttle group @object (QAPI, ThrottleLimits); 0: none. */
bool qmp_write_limits(qmp *q, const char *object, uint64_t bytes_per_second, uint32_t operations_per_second, buf *out);
/* QEMU knows the descriptor that comes with this command by @name, letters. */
bool qmp_write_getfd(qmp *q, const char *name, buf *out);
/* Saves the machine's state to such a descriptor. */
bool qmp_write_migrate(qmp *q, const char *name, buf *out);
/* Loads it from one that QEMU was born with. */
bool qmp_write_migrate_incoming(qmp *q, int fd, buf *out);

#endif
