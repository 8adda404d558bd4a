/* SPDX-License-Identifier: Apache-2.0
 *
 * box.c - boxes that exist: found, told of, stopped, removed
 *
 * Not here: making one (box-create.c), starting one (box-start.c).
 */
#include "runtime/box.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/process.h"
#include "base/size.h"
#include "runtime/channel.h"
#include "runtime/connect.h"
#include "runtime/event.h"
#include "runtime/mount.h"
#include "runtime/options.h"
#include "runtime/result.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Beyond the grace: the guest is killed, unmounts and halts within bounds of the shim's own, which add up to less. */
#define STOP_ALLOWANCE_MS 60000
/* How long a box that is on its way down, or just being made, may keep its lock. */
#define UNLOCK_TIMEOUT_MS 60000
/* A shim that has nobody to wait for ends at once; one with a slow reader is not waited for. */
#define SHIM_END_MS 2000
/* How long another program may take to remove the same box, and how often that is looked at. */
#define REMOVAL_WAIT_MS 10000
#define REMOVAL_LOOK_NS 5000000L
#define NS_PER_MS UINT64_C(1000000)
/* Between making a box and starting it, by one of our own calls: far beyond any real time. */
#define ABANDONED_AFTER_MS 600000u

int box_open_folder(const nb_runtime *rt, const char *id, nb_error *err) {
    int fd = openat(rt->boxes, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? nb_fail(err, NB_E_NOT_FOUND, 0, "the box '%s' was removed", id)
                               : nb_fail(err, nb_code_of_errno(errno), errno, "open the folder of the box '%s'", id);
    return fd;
}

int box_read_record(const nb_box *box, arena *a, box_record *ret_record, nb_error *err) {
    return store_find_box(box->runtime->store, box->id, a, ret_record, err);
}

int nb_box_open(nb_runtime *rt, const char *name_or_id, nb_box **ret_box, nb_error *err) {
    if (!rt || !name_or_id || !ret_box)
        return nb_fail(err, NB_E_INVALID, 0, "find a box: an argument is NULL");
    arena a = {0};
    box_record record;
    int result = store_find_box(rt->store, name_or_id, &a, &record, err);
    nb_box *box = result < 0 ? NULL : calloc(1, sizeof(*box));
    if (box) {
        box->runtime = rt;
        (void) snprintf(box->id, sizeof(box->id), "%s", record.id);
        (void) snprintf(box->called, sizeof(box->called), "%s", name_or_id);
        *ret_box = box;
    } else if (result == 0) {
        result = nb_fail_oom(err);
    }
    arena_done(&a);
    return result;
}

void nb_box_free(nb_box *box) {
    free(box);
}

const char *nb_box_id(const nb_box *box) {
    return box->id;
}

/* --------------------------------------------------------------------------------------------------------- inspecting */

/* A command as a health check has it. */
static nb_strings health_test(arena *a, strv command) {
    static const char kind[] = "CMD";
    CLEANUP(buf_done) buf test;
    buf_init(&test, sizeof(kind) + WIRE_IMAGE_LIST_MAX_BYTES);
    if (command.bytes == 0)
        return (nb_strings){0};
    if (!buf_append(&test, kind, sizeof(kind)) || !buf_append(&test, command.at, command.bytes))
        a->failed = true;
    return result_strings(a, strv_of(&test));
}

static const char *limits_by(uint8_t way) {
    static const char *const names[] = {
        [WIRE_LIMITS_BY_NOTHING] = "",
        [WIRE_LIMITS_BY_CGROUP_V1] = "cgroup v1",
        [WIRE_LIMITS_BY_CGROUP_V2] = "cgroup v2",
        [WIRE_LIMITS_BY_SYSTEMD] = "systemd",
    };
    return way < ARRAY_LENGTH(names) ? names[way] : "";
}

static void fill_info(nb_box_info *info, arena *a, const box_record *box, const box_status *status) {
    const msg_record *run = &status->record;
    *info = (nb_box_info){
        .id = arena_string(a, box->id),
        .name = arena_string(a, box->name),
        .image = arena_string(a, box->image),
        .image_id = arena_string(a, box->image_id),
        .state = (nb_box_state) run->state,
        .cause = (nb_end_cause) run->cause,
        .has_exit = run->has_exit,
        .exit_code = run->signal ? 128 + run->signal : run->code,
        .exit_signal = run->signal,
        .oom_killed = run->exit_flags & WIRE_EXIT_OOM,
        .timed_out = run->exit_flags & WIRE_EXIT_TIMED_OUT,
        .message = arena_text(a, run->message.at, run->message.length),
        .created_at_ms = box->created_at_ms,
        .started_at_ms = run->started_at_ms,
        .finished_at_ms = run->finished_at_ms,
        .shim_pid = status->live ? run->shim_pid : 0,
        .machine_pid = status->live ? run->machine_pid : 0,
        .command = result_strings(a, box->argv),
        .environment = result_strings(a, box->env),
        .labels = result_strings(a, box->labels),
        .working_directory = arena_string(a, box->cwd),
        .user = arena_string(a, box->user),
        .hostname = arena_string(a, box->hostname),
        .memory_bytes = box->memory_bytes,
        .disk_bytes = box->disk_bytes,
        .cpus = box->cpus,
        .cpu_millis = box->cpu_millis,
        .io_bytes_per_second = box->io_bytes_per_second,
        .io_operations_per_second = box->io_operations_per_second,
        .pids_max = box->pids_max,
        .stop_timeout_ms = box->stop_timeout_ms,
        .tty = box->tty,
        .open_stdin = box->open_stdin,
        .detach = box->detach,
        .auto_remove = box->auto_remove,
        .init = box->init,
        .keep = box->keep,
        .no_new_privileges = box->no_new_privileges,
        .cap_add = result_strings(a, box->cap_add),
        .cap_drop = result_strings(a, box->cap_drop),
        .ulimits = result_strings(a, box->ulimits),
        .mounts = mounts_result(a, box->mounts),
        .timeout_ms = box->timeout_ms,
        .restart = (nb_restart_policy) box->care.restart,
        .restart_retries = box->care.restart_retries,
        .restart_count = run->restart_count,
        .next_start_at_ms = status->live ? run->next_start_at_ms : 0,
        .auto_stop_ms = box->care.auto_stop_ms,
        .max_lifetime_ms = box->care.max_lifetime_ms,
        .auto_delete_ms = box->care.auto_delete_ms,
        .health_check = {.interval_ns = box->care.health_interval_ms * NS_PER_MS,
                         .timeout_ns = box->care.health_timeout_ms * NS_PER_MS,
                         .start_period_ns = box->care.health_start_period_ms * NS_PER_MS,
                         .retries = box->care.health_retries},
        .health = (nb_health) run->health,
        .health_failures = run->health_failures,
        .accelerator = arena_text(a, run->accelerator.at, run->accelerator.length),
        .host_limits = {.by = limits_by(run->limits_by),
                        .cpu = run->limits_held & WIRE_LIMIT_CPU,
                        .memory = run->limits_held & WIRE_LIMIT_MEMORY,
                        .pids = run->limits_held & WIRE_LIMIT_PIDS,
                        .missing = arena_text(a, run->limits_missing.at, run->limits_missing.length)},
        .timing = {run->prepare_us, run->machine_us, run->boot_us, run->container_us, run->command_us,
                   run->prepare_us + run->machine_us + run->boot_us + run->container_us + run->command_us},
    };
    info->health_check.test = health_test(a, box->care.health_command);
    const char *name = signal_name((int) box->stop_signal);
    char number[16];
    (void) snprintf(number, sizeof(number), "%" PRIu32, box->stop_signal);
    info->stop_signal = arena_string(a, name ? name : number);
}

static int describe(nb_runtime *rt, const box_record *box, nb_box_info *info, arena *a, nb_error *err) {
    int folder = box_open_folder(rt, box->id, err);
    if (folder < 0)
        return folder;
    box_status status;
    int result = box_status_read(folder, &rt->log, &status, err);
    (void) fd_close(folder);
    if (result < 0)
        return result;
    fill_info(info, a, box, &status);
    box_status_done(&status);
    return 0;
}

int nb_box_inspect(nb_box *box, nb_box_info **ret_info, nb_error *err) {
    if (!box || !ret_info)
        return nb_fail(err, NB_E_INVALID, 0, "look at a box: an argument is NULL");
    arena records = {0}, *a;
    box_record record;
    nb_box_info *info = result_new(sizeof(*info), &a);
    int result = info ? box_read_record(box, &records, &record, err) : nb_fail_oom(err);
    if (result == 0)
        result = describe(box->runtime, &record, info, a, err);
    if (result == 0 && a->failed)
        result = nb_fail_oom(err);
    arena_done(&records);
    if (result < 0)
        result_free(info);
    else
        *ret_info = info;
    return result;
}

void nb_box_info_free(nb_box_info *info) {
    result_free(info);
}

int nb_box_list_get(nb_runtime *rt, nb_box_list **ret_list, nb_error *err) {
    if (!rt || !ret_list)
        return nb_fail(err, NB_E_INVALID, 0, "list boxes: an argument is NULL");
    arena records = {0}, *a;
    box_record *boxes = NULL;
    size_t count = 0, shown = 0;
    int result = store_list_boxes(rt->store, &records, &boxes, &count, err);
    nb_box_list *list = result < 0 ? NULL : result_new(sizeof(*list), &a);
    nb_box_info *items = list ? arena_alloc(a, count * sizeof(*items)) : NULL;
    for (size_t i = 0; items && i < count && result == 0; i++) {
        result = describe(rt, &boxes[i], &items[shown], a, err);
        if (result == 0)
            shown++;
        else if (result == -NB_E_NOT_FOUND) /* removed while we looked */
            result = 0;
    }
    arena_done(&records);
    if (result == 0 && (!list || a->failed))
        result = nb_fail_oom(err);
    if (result < 0) {
        result_free(list);
        return result;
    }
    *list = (nb_box_list){items, shown};
    *ret_list = list;
    return 0;
}

void nb_box_list_free(nb_box_list *list) {
    result_free(list);
}

int box_count_running(nb_runtime *rt, size_t *ret_count, nb_error *err) {
    nb_box_list *list;
    int result = nb_box_list_get(rt, &list, err);
    if (result < 0)
        return result;
    size_t running = 0;
    for (size_t i = 0; i < list->count; i++)
        running += list->items[i].state == NB_BOX_RUNNING;
    nb_box_list_free(list);
    *ret_count = running;
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------ stopping */

/* Asks the shim, and waits for the end of the connection, which is the end of the box. */
static int ask_to_stop(int folder, int64_t grace_ms, uint32_t own_grace_ms, nb_error *err) {
    int64_t grace = grace_ms < 0 ? own_grace_ms : grace_ms;
    deadline until = deadline_in(grace + STOP_ALLOWANCE_MS);
    CLEANUP(buf_done) buf bytes;
    buf_init(&bytes, WIRE_READ_BUFFER_BYTES);
    msg_stop stop = {.grace_ms = grace_ms < 0 ? UINT32_MAX : (uint32_t) grace_ms};
    const uint8_t *message;
    size_t length;
    int result =
        wire_control(&bytes, wire_encode_stop, &stop) ? connect_ask(folder, until, &bytes, &message, &length, err) : nb_fail_oom(err);
    return result == -NB_E_BOX_GONE ? 0 : result;
}

static int stop_folder(nb_runtime *rt, int folder, int64_t grace_ms, uint32_t own_grace_ms, nb_error *err) {
    box_status status;
    int result = box_status_read(folder, &rt->log, &status, err);
    if (result < 0)
        return result;
    bool live = status.live;
    const process_id shim = {(pid_t) status.record.shim_pid, status.record.shim_start_ticks};
    box_status_done(&status);
    if (!live)
        return 0;
    CLEANUP(cleanup_fd) int shim_fd = process_open_exact(shim);
    result = ask_to_stop(folder, grace_ms, own_grace_ms, err);
    if (result == -NB_E_STOPPED) /* it went by itself meanwhile */
        result = 0;
    if (result == 0)
        result = box_wait_unlocked(folder, UNLOCK_TIMEOUT_MS, err);
    /* It lets go of the lock when the machine is gone, and ends when those who still read from it have all that is theirs. */
    struct pollfd ended = {.fd = shim_fd, .events = POLLIN};
    if (result == 0 && shim_fd >= 0)
        (void) poll(&ended, 1, SHIM_END_MS);
    return result;
}

int nb_box_stop(nb_box *box, int64_t grace_ms, nb_error *err) {
    if (!box || grace_ms >= UINT32_MAX)
        return nb_fail(err, NB_E_INVALID, 0, "stop a box: the grace must be below %u ms", UINT32_MAX);
    arena a = {0};
    box_record record;
    int result = box_read_record(box, &a, &record, err);
    int folder = result < 0 ? result : box_open_folder(box->runtime, box->id, err);
    if (folder >= 0) {
        result = stop_folder(box->runtime, folder, grace_ms, record.stop_timeout_ms, err);
        (void) fd_close(folder);
    } else {
        result = folder;
    }
    arena_done(&a);
    return nb_fail_within(err, result, "stop box '%s'", box->called);
}

int nb_box_detach(nb_box *box, nb_error *err) {
    if (!box)
        return nb_fail(err, NB_E_INVALID, 0, "detach a box: it is NULL");
    CLEANUP(cleanup_fd) int folder = box_open_folder(box->runtime, box->id, err);
    if (folder < 0)
        return folder;
    deadline until = deadline_in(CONNECT_TIMEOUT_MS);
    CLEANUP(buf_done) buf bytes;
    buf_init(&bytes, WIRE_READ_BUFFER_BYTES);
    const uint8_t *message;
    size_t length;
    int result = wire_control(&bytes, wire_encode_detach, (&(msg_detach){0})) ? connect_ask(folder, until, &bytes, &message, &length, err)
                                                                              : nb_fail_oom(err);
    if (result == 0 && wire_message_id(message, length) != id_of_msg_attached)
        result = channel_failed(message, length, err);
    return result;
}

int nb_box_rename(nb_box *box, const char *name, nb_error *err) {
    if (!box || !name)
        return nb_fail(err, NB_E_INVALID, 0, "rename a box: an argument is NULL");
    int result = options_check_name(name, err);
    if (result == 0)
        result = store_rename_box(box->runtime->store, box->id, name, err);
    if (result == 0)
        event_tell_one(box->runtime, EVENT_BOX, "rename", box->id, EVENT_NAME, name);
    return nb_fail_within(err, result, "rename box '%s'", box->called);
}

/* ------------------------------------------------------------------------------------------------------------ removing */

/* A live box is killed by its shim, in order. One that a crashed shim left has no machine that could be told anything: box_bury_machine(). */
static int end_box(nb_runtime *rt, int folder, nb_error *err) {
    box_status status;
    int result = stop_folder(rt, folder, 0, 0, err);
    if (result == 0)
        result = box_status_read(folder, &rt->log, &status, err);
    if (result < 0)
        return result;
    result = box_bury_machine(&status, err);
    box_status_done(&status);
    return result;
}

/* Takes the lock of a box that is to go. Another program may be removing the same one, or mending its record: that is waited for.
 *
 * @wait_ms  at most this long
 * The descriptor; -NB_E_INVALID_STATE: it runs; -NB_E_NOT_FOUND: it has just been removed. */
static int lock_for_removal(nb_runtime *rt, int folder, const char *id, int64_t wait_ms, nb_error *err) {
    deadline until = deadline_in(wait_ms);
    for (;;) {
        bool has = true;
        int lock = box_lock(folder, err);
        if (lock >= 0)
            return lock;
        if (store_has_box(rt->store, id, &has, err) == 0 && !has)
            return -NB_E_NOT_FOUND;
        box_status status = {0};
        bool runs = lock == -NB_E_INVALID_STATE && box_status_read(folder, &rt->log, &status, NULL) == 0 && status.record.shim_pid != 0;
        box_status_done(&status);
        if (runs)
            return nb_fail_hint(err, nb_fail(err, NB_E_INVALID_STATE, 0, "the box is running"),
                                "stop it first, or remove it by force: nestbox rm -f %s", id);
        if (lock != -NB_E_INVALID_STATE || deadline_passed(until))
            return nb_fail(err, -lock, 0, "another program is at work on the box");
        (void) nanosleep(&(struct timespec){.tv_nsec = REMOVAL_LOOK_NS}, NULL);
    }
}

static int remove_record(nb_runtime *rt, const char *id, nb_error *err) {
    bool gone;
    int result = store_remove_box(rt->store, id, &gone, err);
    if (result == 0 && gone)
        event_tell_one(rt, EVENT_BOX, "remove", id, NULL, NULL);
    return result;
}

static int remove_box(nb_runtime *rt, const char *id, bool force, int64_t wait_ms, nb_error *err) {
    CLEANUP(cleanup_fd) int folder = box_open_folder(rt, id, err);
    if (folder == -NB_E_NOT_FOUND) {
        /* A crash between the two halves of a removal. */
        return remove_record(rt, id, err);
    }
    if (folder < 0)
        return folder;
    int result = force ? end_box(rt, folder, err) : 0;
    CLEANUP(cleanup_fd) int lock = result < 0 ? result : lock_for_removal(rt, folder, id, wait_ms, err);
    if (lock < 0)
        return lock == -NB_E_NOT_FOUND ? 0 : lock;
    result = remove_record(rt, id, err);
    if (result < 0)
        return result;
    if (file_remove_tree(rt->boxes, id) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "remove the folder of the box '%s'", id);
    return 0;
}

int nb_box_remove(nb_box *box, bool force, nb_error *err) {
    if (!box)
        return nb_fail(err, NB_E_INVALID, 0, "remove a box: it is NULL");
    arena a = {0};
    box_record record;
    int result = box_read_record(box, &a, &record, err);
    arena_done(&a);
    if (result == 0)
        result = remove_box(box->runtime, box->id, force, REMOVAL_WAIT_MS, err);
    return nb_fail_within(err, result, "remove box '%s'", box->called);
}

/* Whether somebody is at work in the folder @name: making it, running it, removing it. */
static bool folder_is_locked(const nb_runtime *rt, const char *name) {
    CLEANUP(cleanup_fd) int folder = openat(rt->boxes, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    CLEANUP(cleanup_fd) int lock = folder < 0 ? -1 : openat(folder, STATE_LOCK_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return lock >= 0 && lock_is_held(lock);
}

static bool is_leftover(nb_runtime *rt, const char *name) {
    bool has = true;
    if (strncmp(name, BOX_TEMPORARY_PREFIX, sizeof(BOX_TEMPORARY_PREFIX) - 1) == 0)
        return !folder_is_locked(rt, name);
    /* The lock is looked at first: a maker lets go of it only after the record is there. */
    return id_is_valid(name) && !folder_is_locked(rt, name) && store_has_box(rt->store, name, &has, NULL) == 0 && !has;
}

static int compare_ids(const void *one, const void *other) {
    return strcmp(((const box_record *) one)->id, ((const box_record *) other)->id);
}

/* @boxes  by their ids; a folder of one of them is not looked into, so that a home with many boxes is open quickly */
static void sweep_folders(nb_runtime *rt, const box_record *boxes, size_t count) {
    DIR *folder = file_list(rt->boxes);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        const box_record named = {.id = entry->d_name};
        if ((count && bsearch(&named, boxes, count, sizeof(*boxes), compare_ids)) || !is_leftover(rt, entry->d_name))
            continue;
        log_info(&rt->log, "box: removing '%s', which a crash left behind", entry->d_name);
        (void) file_remove_tree(rt->boxes, entry->d_name);
    }
    if (folder)
        (void) closedir(folder);
}

/* One of our own whose program ended before it started it: that takes milliseconds. */
static bool is_abandoned(const box_record *box, const box_status *status) {
    return status->record.state == NB_BOX_CREATED && strv_env_get(box->labels, BOX_LABEL_PASSING) &&
           clock_wall_ms() > box->created_at_ms + ABANDONED_AFTER_MS;
}

/* Whether a box that has ended is to go now. */
static bool is_due(const box_record *box, const box_status *status) {
    bool ended = status->record.state == NB_BOX_STOPPED || status->record.state == NB_BOX_FAILED;
    if (!ended)
        return is_abandoned(box, status);
    return box->auto_remove || clock_wall_ms() >= status->record.finished_at_ms + box->care.auto_delete_ms;
}

/* Boxes that were to go when they stopped, and whose program ended before it could see to that; and those that have been stopped for long enough. */
static void sweep_boxes(nb_runtime *rt, const box_record *boxes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!boxes[i].auto_remove && boxes[i].care.auto_delete_ms == 0)
            continue;
        int folder = box_open_folder(rt, boxes[i].id, NULL);
        box_status status;
        if (folder < 0 || box_status_read(folder, &rt->log, &status, NULL) < 0) {
            (void) fd_close(folder);
            continue;
        }
        bool over = !status.live && is_due(&boxes[i], &status) && box_bury_machine(&status, NULL) == 0;
        box_status_done(&status);
        (void) fd_close(folder);
        if (over)
            (void) remove_box(rt, boxes[i].id, false, 0, NULL);
    }
}

void box_sweep(nb_runtime *rt) {
    arena a = {0};
    box_record *boxes = NULL;
    size_t count = 0;
    if (store_list_boxes(rt->store, &a, &boxes, &count, NULL) < 0)
        count = 0;
    if (count)
        qsort(boxes, count, sizeof(*boxes), compare_ids);
    sweep_folders(rt, boxes, count);
    sweep_boxes(rt, boxes, count);
    arena_done(&a);
}
