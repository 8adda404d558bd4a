/* SPDX-License-Identifier: Apache-2.0
 *
 * state.h - what a box is doing: its shim's record and the lock that vouches for it
 *
 * The shim holds the lock of its box's folder for as long as there may be a machine. So: a held lock and a record say what a live box
 * does; a free lock and a record that speaks of a live box mean that its shim died. Whoever finds that mends the record, holding the
 * lock while doing so.
 */
#ifndef RUNTIME_STATE_H
#define RUNTIME_STATE_H

#include "base/error.h"
#include "base/log.h"
#include "wire/message.h"

#include <nestbox/nestbox.h>

#include <stdbool.h>

#define STATE_RECORD_FILE "run"
#define STATE_LOCK_FILE "lock"
#define STATE_SOCKET_FILE "box.sock"
#define STATE_DISK_FILE "disk.qcow2"
#define STATE_EXEC_LOG_FILE "execs.log"

typedef struct box_status {
    bool live;         /* a shim has it: there may be a machine */
    msg_record record; /* zero for a box that never started; its texts point into @bytes */
    char *bytes;
} box_status;

void box_status_done(box_status *status);

/* Reads it, mending what a dead shim left behind.
 *
 * @folder  the box's */
int box_status_read(int folder, const log_sink *log, box_status *ret_status, nb_error *err);

/* Takes the lock of a box that nobody runs. The descriptor that holds it; -NB_E_INVALID_STATE when somebody does. */
int box_lock(int folder, nb_error *err);

/* Waits until no shim holds it, at most @timeout_ms. -NB_E_TIMEOUT. */
int box_wait_unlocked(int folder, int64_t timeout_ms, nb_error *err);

/* Records a start that failed before there was a shim. */
void box_record_failure(int folder, const log_sink *log, const nb_error *why);

/* Makes sure that the machine of a shim that died is gone too, before another is started on its disk. -NB_E_TIMEOUT. */
int box_bury_machine(const box_status *status, nb_error *err);

#endif
