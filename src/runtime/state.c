/* SPDX-License-Identifier: Apache-2.0
 *
 * state.c - what a box is doing: its shim's record and the lock that vouches for it
 */
#include "runtime/state.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/process.h"
#include "base/size.h"
#include "machine/host-cgroup.h"
#include "runtime/event.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RECORD_MAX_BYTES ((size_t) 24 << 10)
/* What was added to records, the last first: limits_by, limits_held, limits_missing, limits_groups; before them restart_count, next_start_at_ms,
 * health, health_failures. In bytes, where all of it is zero. */
static const size_t record_added_bytes[] = {10, 10 + 17};
#define LOCK_LOOK_NS 2000000L
/* A killed process that holds much memory may take a while to go on a loaded host. */
#define BURY_TIMEOUT_MS 30000

const char *nb_box_state_name(nb_box_state state) {
    switch (state) {
#define STATE_NAME(name, number, text) \
    case name:                         \
        return text;
        NB_BOX_STATES(STATE_NAME)
#undef STATE_NAME
    }
    return "unknown";
}

const char *nb_end_cause_name(nb_end_cause cause) {
    switch (cause) {
#define CAUSE_NAME(name, number, text) \
    case name:                         \
        return text;
        NB_END_CAUSES(CAUSE_NAME)
#undef CAUSE_NAME
    }
    return "unknown";
}

const char *nb_restart_policy_name(nb_restart_policy policy) {
    switch (policy) {
#define POLICY_NAME(name, number, text) \
    case name:                          \
        return text;
        NB_RESTART_POLICIES(POLICY_NAME)
#undef POLICY_NAME
    }
    return "unknown";
}

const char *nb_health_name(nb_health health) {
    switch (health) {
#define HEALTH_NAME(name, number, text) \
    case name:                          \
        return text;
        NB_HEALTHS(HEALTH_NAME)
#undef HEALTH_NAME
    }
    return "unknown";
}

void box_status_done(box_status *status) {
    free(status->bytes);
    *status = (box_status){0};
}

static bool speaks_of_a_live_box(const msg_record *record) {
    return record->state == NB_BOX_STARTING || record->state == NB_BOX_RUNNING || record->state == NB_BOX_STOPPING;
}

/* Only who makes or removes a box makes the lock: in a folder that somebody else is removing, a new file would keep it from going. */
static int open_lock(int folder, int flags) {
    return openat(folder, STATE_LOCK_FILE, flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static int take_lock(int folder, int flags, nb_error *err) {
    CLEANUP(cleanup_fd) int fd = open_lock(folder, flags);
    if (fd < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "open the box's lock");
    if (lock_take(fd) < 0)
        return errno == EAGAIN ? nb_fail(err, NB_E_INVALID_STATE, 0, "the box is running")
                               : nb_fail(err, NB_E_STORAGE, errno, "lock the box");
    return take_fd(&fd);
}

int box_lock(int folder, nb_error *err) {
    return take_lock(folder, O_CREAT, err);
}

/* Understands a record. One of an older version lacks what was added since, all of it at the end, where zeros say that it is not so. */
static bool decode_record(box_status *status, size_t length) {
    if (wire_decode_record((const uint8_t *) status->bytes, length, &status->record) == 0)
        return true;
    for (size_t i = 0; i < ARRAY_LENGTH(record_added_bytes); i++) {
        char *longer = realloc(status->bytes, length + record_added_bytes[i]);
        if (!longer)
            return false;
        memset(longer + length, 0, record_added_bytes[i]);
        status->bytes = longer;
        if (wire_decode_record((const uint8_t *) longer, length + record_added_bytes[i], &status->record) == 0)
            return true;
    }
    return false;
}

/* No record (the box never started) is not an error: everything stays zero. */
static int read_record(int folder, box_status *status, nb_error *err) {
    size_t length;
    if (file_read(folder, STATE_RECORD_FILE, RECORD_MAX_BYTES, &status->bytes, &length) < 0)
        return errno == ENOENT ? 0 : nb_fail(err, nb_code_of_errno(errno), errno, "read the box's record '%s'", STATE_RECORD_FILE);
    if (!decode_record(status, length) || status->record.state > NB_BOX_FAILED || status->record.health > NB_HEALTH_UNHEALTHY) {
        /* Damaged from outside: nothing in it is to be believed, not even a pid. */
        status->record = (msg_record){.state = NB_BOX_FAILED, .failure = NB_E_STORAGE, .message = wire_str("its record was damaged")};
        return 0;
    }
    return 0;
}

static void write_record(int folder, const msg_record *record) {
    buf encoded;
    buf_init(&encoded, RECORD_MAX_BYTES);
    if (wire_encode_record(&encoded, record))
        (void) file_write_atomic(folder, STATE_RECORD_FILE, buf_bytes(&encoded), buf_length(&encoded), true);
    buf_done(&encoded);
}

/* Whoever comes first writes it; until then every reader finds the same by himself. */
static void mend(int folder, box_status *status, const log_sink *log) {
    nb_error ignored;
    CLEANUP(cleanup_fd) int lock = take_lock(folder, 0, &ignored);
    bool started = status->record.started_at_ms != 0;
    log_warning(log, "state: a box's shim died, process %u: recording that", status->record.shim_pid);
    status->record.state = started ? NB_BOX_STOPPED : NB_BOX_FAILED;
    status->record.cause = NB_END_CRASH;
    status->record.failure = NB_E_BOX_GONE;
    status->record.message = wire_str("its shim was killed");
    status->record.finished_at_ms = clock_wall_ms();
    status->record.next_start_at_ms = 0;
    status->record.shim_pid = 0; /* the machine's pid stays: box_bury_machine() wants it */
    if (lock >= 0) {             /* else somebody else mends it; we only say what we found */
        write_record(folder, &status->record);
        event_tell_end(folder, log, !started, "its shim was killed");
    }
}

int box_status_read(int folder, const log_sink *log, box_status *ret_status, nb_error *err) {
    box_status status = {0};
    /* The lock before the record: a shim writes its last record before it lets go. */
    CLEANUP(cleanup_fd) int lock = open_lock(folder, 0);
    if (lock < 0 && errno != ENOENT)
        return nb_fail(err, nb_code_of_errno(errno), errno, "open the box's lock");
    status.live = lock >= 0 && lock_is_held(lock);
    int result = read_record(folder, &status, err);
    if (result < 0) {
        box_status_done(&status);
        return result;
    }
    if (status.live && !speaks_of_a_live_box(&status.record))
        status.record.state = NB_BOX_STARTING; /* its shim has the lock and no more yet */
    if (!status.live && speaks_of_a_live_box(&status.record))
        mend(folder, &status, log);
    *ret_status = status;
    return 0;
}

int box_wait_unlocked(int folder, int64_t timeout_ms, nb_error *err) {
    CLEANUP(cleanup_fd) int fd = open_lock(folder, 0);
    if (fd < 0)
        return errno == ENOENT ? 0 : nb_fail(err, nb_code_of_errno(errno), errno, "open the box's lock");
    deadline until = deadline_in(timeout_ms);
    while (lock_is_held(fd)) {
        if (deadline_passed(until))
            return nb_fail(err, NB_E_TIMEOUT, 0, "wait for the box to stop");
        (void) nanosleep(&(struct timespec){.tv_nsec = LOCK_LOOK_NS}, NULL);
    }
    return 0;
}

void box_record_failure(int folder, const log_sink *log, const nb_error *why) {
    nb_error ignored;
    CLEANUP(cleanup_fd) int lock = take_lock(folder, 0, &ignored);
    if (lock < 0)
        return; /* it is being started by somebody else, who knows better */
    msg_record record = {
        .state = NB_BOX_FAILED,
        .failure = why->code,
        .message = wire_str(why->message),
        .finished_at_ms = clock_wall_ms(),
    };
    write_record(folder, &record);
    event_tell_end(folder, log, true, why->message);
}

static int kill_machine(process_id machine, nb_error *err) {
    CLEANUP(cleanup_fd) int pidfd = process_open_exact(machine);
    if (pidfd < 0)
        return 0;
    (void) process_signal(pidfd, SIGKILL);
    struct pollfd gone = {.fd = pidfd, .events = POLLIN};
    if (poll(&gone, 1, BURY_TIMEOUT_MS) == 1)
        return 0;
    return nb_fail(err, NB_E_TIMEOUT, 0, "wait for the box's last machine, process %d, to end after it was killed", (int) machine.pid);
}

int box_bury_machine(const box_status *status, nb_error *err) {
    process_id machine = {(pid_t) status->record.machine_pid, status->record.machine_start_ticks};
    if (status->live || !machine.start_ticks)
        return 0;
    int result = kill_machine(machine, err);
    for (const char *group = NULL; (group = strv_next(status->record.limits_groups, group));)
        host_cgroup_remove(group);
    return result;
}
