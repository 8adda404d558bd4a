/* SPDX-License-Identifier: Apache-2.0
 *
 * record.h - the file "run" of a box's folder: what its shim last did
 *
 * The library reads it, together with the lock that the shim holds for life: a record that speaks of a live box without a held lock
 * means that the shim died.
 */
#ifndef SHIM_RECORD_H
#define SHIM_RECORD_H

#include "wire/message.h"

#include <nestbox/error.h>

#define RECORD_FILE "run"
#define LOCK_FILE "lock"
#define SOCKET_FILE "box.sock"
#define DISK_FILE "disk.qcow2"
#define MAIN_LOG_FILE "main.log"
#define MAIN_LOG_MAX_BYTES ((uint64_t) 8 << 20)
/* One piece for each exec that has ended: an EXEC_INFO. */
#define EXEC_LOG_FILE "execs.log"
#define EXEC_LOG_MAX_BYTES ((uint64_t) 2 << 20)
/* One piece for each look at the box's health: a HEALTH_RESULT. */
#define HEALTH_LOG_FILE "health.log"
#define CONSOLE_FILE "console.log"
#define SHIM_LOG_FILE "shim.log"

typedef struct record {
    msg_record is; /* its texts point into the two below */
    char accelerator[16];
    char message[NB_ERROR_MESSAGE_SIZE];
} record;

/* Writes it, whole or not at all.
 *
 * @durable  it survives a power cut once this returns: for an exit, before the exit is told
 * 0, or -1 with errno. */
int record_write(record *r, int folder, bool durable);

#endif
