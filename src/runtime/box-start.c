/* SPDX-License-Identifier: Apache-2.0
 *
 * box-start.c - starting a box: its shim, and the main command's handle
 *
 * Theory of operation
 *   The shim is born with one end of a socket pair: its first client. The order to launch goes over it, the answer comes when the main
 *   command runs, and with it the connection is the command's, attached since before it ran. Who starts a box that another program
 *   is starting at the same moment loses the race for its lock inside the shim, and joins the winner.
 */
#include "runtime/box.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/process.h"
#include "base/size.h"
#include "machine/qcow2.h"
#include "runtime/channel.h"
#include "runtime/connect.h"
#include "runtime/embedded.h"
#include "runtime/exec.h"
#include "runtime/image.h"
#include "runtime/launch.h"
#include "runtime/machine-parts.h"
#include "runtime/mount.h"
#include "runtime/options.h"
#include "runtime/privileges.h"
#include "runtime/standby.h"
#include "runtime/template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Beyond the boot timeout: QEMU's start, the disk's first mount, and the shim's own bounds for them. */
#define START_ALLOWANCE_MS 200000
/* A box that another program is starting is joined; one that is stopping is not waited for. */
#define JOIN_TIMEOUT_MS 300000
#define JOIN_LOOK_NS 10000000L

#define DEFAULT_COLUMNS 80
#define DEFAULT_ROWS 24

/* What a start needs beside the box's own record; every path is the start's. */
typedef struct start_parts {
    machine_parts machine;
    char *files, *base_disk;
    char *template_path;       /* NULL: the machine boots */
    char *image_template_path; /* NULL: it has nothing of the image's */
    buf mounts;
} start_parts;

static void start_parts_done(start_parts *parts) {
    machine_parts_done(&parts->machine);
    free(parts->files);
    buf_done(&parts->mounts);
    free(parts->base_disk);
    free(parts->template_path);
    free(parts->image_template_path);
}

/* What is mounted, and the program that serves it, where it is needed. */
static int find_mounts(nb_runtime *rt, const box_record *box, start_parts *parts, nb_error *err) {
    int result = mounts_order(rt, box->mounts, &parts->mounts, err);
    if (result < 0 || box->mounts.bytes == 0)
        return result;
    int files = home_program(rt, &embedded_files, &parts->files, err);
    if (files < 0)
        return files;
    (void) fd_close(files);
    return 0;
}

static bool has_never_run(int folder) {
    CLEANUP(cleanup_fd) int disk = openat(folder, STATE_DISK_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return disk >= 0 && qcow2_is_untouched(disk);
}

static void find_templates(nb_runtime *rt, int folder, const box_record *box, bool is_visit, start_parts *parts) {
    const template_shape shape = {&parts->machine, box->memory_bytes, box->cpus, box->boot_timeout_ms};
    const template_content content = {box->image_id, parts->base_disk, align_up(box->disk_bytes, IMAGE_DISK_ALIGNMENT),
                                      box->init || box->keep};
    parts->template_path = template_prepare(rt, &shape);
    if (parts->template_path && !is_visit && has_never_run(folder))
        parts->image_template_path = template_prepare_image(rt, &shape, &content, parts->template_path);
}

static int find_parts(nb_runtime *rt, int folder, const box_record *box, const nb_start_options *o, start_parts *parts, nb_error *err) {
    *parts = (start_parts){.files = NULL};
    buf_init(&parts->mounts, WIRE_MOUNTS_MAX_BYTES);
    int result = machine_parts_find(rt, &parts->machine, err);
    if (result < 0)
        return result;
    parts->base_disk = image_disk_path(rt, box->image_id);
    if (!parts->base_disk)
        return nb_fail_oom(err);
    if (access(parts->base_disk, R_OK) < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "open the base disk '%s'", parts->base_disk);
    result = o->bare ? 0 : find_mounts(rt, box, parts, err);
    if (result < 0)
        return result;
    find_templates(rt, folder, box, o->visit, parts);
    return 0;
}

static uint16_t launch_flags(const box_record *box, const nb_start_options *o, bool attach) {
    if (o->visit)
        return WIRE_LAUNCH_KEEP | WIRE_LAUNCH_VISIT;
    return (uint16_t) ((box->no_new_privileges ? WIRE_LAUNCH_NO_NEW_PRIVILEGES : 0) | (box->tty ? WIRE_LAUNCH_TTY : 0) |
                       (box->open_stdin ? WIRE_LAUNCH_STDIN : 0) | (box->detach || o->detach ? WIRE_LAUNCH_DETACH : 0) |
                       (box->init ? WIRE_LAUNCH_INIT : 0) | (box->keep ? WIRE_LAUNCH_KEEP : 0) | (attach ? WIRE_LAUNCH_ATTACH : 0) |
                       (box->auto_remove ? WIRE_LAUNCH_REMOVE : 0));
}

static int send_order(nb_runtime *rt, int socket, const box_record *box, const start_parts *parts, const nb_start_options *o, bool attach,
                      uint64_t requested_at_ns, buf *bytes, nb_error *err) {
    CLEANUP(privileges_done) privileges allowed = {0};
    /* A visit is somebody's at work, and none of the box's own time. */
    const box_care care = o->visit ? (box_care){0} : box->care;
    int result = privileges_add(&allowed, box->cap_add, box->cap_drop, box->ulimits, box->no_new_privileges, err);
    if (result < 0)
        return result;
    msg_launch launch = {
        .box_id = wire_str(box->id),
        .qemu = wire_str(parts->machine.qemu),
        .accelerator = wire_str(parts->machine.accel.name),
        .kernel = wire_str(parts->machine.bundle.kernel),
        .modules = wire_str(parts->machine.bundle.modules),
        .agent = wire_str(parts->machine.agent),
        .base_disk = wire_str(parts->base_disk),
        .files = wire_str(parts->files ? parts->files : ""),
        .template_path = wire_str(parts->template_path ? parts->template_path : ""),
        .image_template_path = wire_str(parts->image_template_path ? parts->image_template_path : ""),
        .mounts = strv_of(&parts->mounts),
        .memory_bytes = box->memory_bytes,
        .cpus = box->cpus,
        .cpu_millis = box->cpu_millis,
        .io_bytes_per_second = box->io_bytes_per_second,
        .io_operations_per_second = box->io_operations_per_second,
        .pids_max = box->pids_max,
        .launch_flags = launch_flags(box, o, attach),
        .columns = o->columns ? o->columns : DEFAULT_COLUMNS,
        .rows = o->rows ? o->rows : DEFAULT_ROWS,
        .hostname = wire_str(box->hostname),
        .argv = box->argv,
        .env = box->env,
        .cwd = wire_str(box->cwd),
        .user = wire_str(box->user),
        .stop_signal = (uint8_t) box->stop_signal,
        .stop_timeout_ms = box->stop_timeout_ms,
        .boot_timeout_ms = box->boot_timeout_ms,
        .timeout_ms = box->timeout_ms,
        .cap_add = allowed.cap_add,
        .cap_drop = allowed.cap_drop,
        .limits = {buf_bytes(&allowed.limits), buf_length(&allowed.limits)},
        .requested_at_ns = requested_at_ns,
        .log_level = (uint8_t) (rt->log.write ? rt->log.max_level : LOG_LEVEL_INFO),
        .restart = (uint8_t) care.restart,
        .restart_retries = care.restart_retries,
        .auto_stop_ms = care.auto_stop_ms,
        .max_lifetime_ms = care.max_lifetime_ms,
        .health_command = care.health_command,
        .health_interval_ms = care.health_interval_ms,
        .health_timeout_ms = care.health_timeout_ms,
        .health_start_period_ms = care.health_start_period_ms,
        .health_retries = care.health_retries,
    };
    if (!wire_control(bytes, wire_encode_launch, &launch))
        return nb_fail_full(err, bytes, "a path or a name of the box is too long");
    return channel_send(socket, bytes, deadline_in(CONNECT_TIMEOUT_MS), err);
}

/* Reads the messages up to LAUNCHED: BEGUN comes before it on an attached connection.
 *
 * @ret_id  of the main command; "" without one attached */
static int await_launched(int socket, uint32_t boot_timeout_ms, buf *bytes, char ret_id[ID_SIZE], nb_error *err) {
    deadline until = deadline_in((int64_t) boot_timeout_ms + START_ALLOWANCE_MS);
    ret_id[0] = '\0';
    for (;;) {
        const uint8_t *message;
        size_t length;
        msg_begun begun;
        int result = channel_receive(socket, TO_CLIENT, until, bytes, &message, &length, err);
        if (result < 0)
            return result;
        if (wire_message_id(message, length) == id_of_msg_launched)
            return 0;
        if (wire_decode_begun(message, length, &begun) < 0)
            return channel_failed(message, length, err);
        (void) snprintf(ret_id, ID_SIZE, "%.*s", (int) begun.id.length, (const char *) begun.id.at);
    }
}

/* The shim of a machine that waits, where one is wanted and there; otherwise one that is to start its own. */
static int find_shim(const nb_runtime *rt, int folder, const box_record *box, const nb_start_options *o, const start_parts *parts,
                     bool *ret_has_waited, nb_error *err) {
    bool is_bounded = box->io_bytes_per_second || box->io_operations_per_second; /* a disk that may be is made so */
    int waiting = o->standby && parts->image_template_path && !is_bounded ? standby_take(rt, parts->image_template_path, folder) : -1;
    *ret_has_waited = waiting >= 0;
    return waiting >= 0 ? waiting : launch_shim(parts->machine.shim, "nestbox-shim", folder, err);
}

static int start_fresh(nb_runtime *rt, int folder, const box_record *box, const nb_start_options *o, uint64_t requested_at_ns,
                       nb_exec **ret_main, bool *ret_lost_race, nb_error *err) {
    start_parts parts;
    buf bytes;
    bool attach = ret_main && !box->keep && !o->visit;
    char main_id[ID_SIZE] = "";
    buf_init(&bytes, WIRE_READ_BUFFER_BYTES);
    int result = find_parts(rt, folder, box, o, &parts, err);
    bool answered_by_shim = false, has_waited = false;
    CLEANUP(cleanup_fd) int socket = -1;
    if (result == 0)
        result = find_shim(rt, folder, box, o, &parts, &has_waited, err);
    if (result >= 0) {
        socket = result;
        answered_by_shim = true;
        result = send_order(rt, socket, box, &parts, o, attach, requested_at_ns, &bytes, err);
        if (result == 0 || result == -NB_E_BOX_GONE) /* a shim that lost the race answers and goes without reading */
            result = await_launched(socket, box->boot_timeout_ms, &bytes, main_id, err);
    }
    buf_done(&bytes);
    start_parts_done(&parts);
    *ret_lost_race = answered_by_shim && result == -NB_E_INVALID_STATE;
    if (answered_by_shim && result == -NB_E_BOX_GONE) {
        *ret_lost_race = has_waited; /* with its keeper, perhaps, between two words: another one is to start the box */
        result = nb_fail(err, NB_E_MACHINE, 0, "the box's shim died while it started the machine");
    }
    if (result < 0 && !answered_by_shim && !o->visit) {
        nb_error why;
        (void) nb_fail(&why, -result, 0, "%s", err ? err->message : nb_code_text(-result));
        box_record_failure(folder, &rt->log, &why);
    }
    exec_beginning beginning = {.exec_id = WIRE_MAIN_EXEC_ID, .id = wire_str(main_id), .open_stdin = box->open_stdin, .tty = box->tty};
    if (result == 0 && attach)
        result = exec_handle_new(take_fd(&socket), &beginning, ret_main, err);
    return result;
}

/* Joins a box that runs, or that somebody is starting. */
static int attach_main(int folder, const box_record *box, nb_exec **ret_main, nb_error *err) {
    return ret_main && !box->keep ? exec_attach(folder, NULL, NB_EXEC_STREAMS, ret_main, err) : 0;
}

static int start(nb_runtime *rt, int folder, const box_record *box, const nb_start_options *o, nb_exec **ret_main, nb_error *err) {
    uint64_t requested_at_ns = clock_monotonic_ns();
    deadline until = deadline_in(JOIN_TIMEOUT_MS);
    for (;;) {
        box_status status;
        int result = box_status_read(folder, &rt->log, &status, err);
        if (result < 0)
            return result;
        bool live = status.live;
        int state = status.record.state;
        if (!live)
            result = box_bury_machine(&status, err);
        box_status_done(&status);
        if (result < 0)
            return result;
        if (live && state == NB_BOX_RUNNING)
            return o->visit ? nb_fail(err, NB_E_INVALID_STATE, 0, "the box runs") : attach_main(folder, box, ret_main, err);
        if (live && state == NB_BOX_STOPPING)
            return nb_fail_hint(err, nb_fail(err, NB_E_INVALID_STATE, 0, "the box is stopping"), "start it again when it has stopped");
        if (!live) {
            bool lost_race;
            result = start_fresh(rt, folder, box, o, requested_at_ns, ret_main, &lost_race, err);
            if (!lost_race)
                return result;
        }
        if (deadline_passed(until))
            return nb_fail(err, NB_E_TIMEOUT, 0, "wait for another program that is starting the box");
        (void) nanosleep(&(struct timespec){.tv_nsec = JOIN_LOOK_NS}, NULL);
    }
}

int nb_box_start(nb_box *box, const nb_start_options *options, nb_exec **ret_main, nb_error *err) {
    nb_start_options o;
    nb_error own; /* the reason is kept in the record even when the caller does not want it */
    if (!box)
        return nb_fail(err, NB_E_INVALID, 0, "start a box: it is NULL");
    if (!err)
        err = &own;
    int result = options_take(&o, sizeof(o), options, "nb_start_options", err);
    if (result == 0 && o.bare && !o.visit)
        result = nb_fail(err, NB_E_INVALID, 0, "start a box: only a visit can do without its mounts");
    if (result < 0)
        return result;
    arena a = {0};
    box_record record;
    nb_exec *main_exec = NULL;
    result = box_read_record(box, &a, &record, err);
    int folder = result < 0 ? result : box_open_folder(box->runtime, box->id, err);
    if (folder >= 0) {
        result = start(box->runtime, folder, &record, &o, ret_main ? &main_exec : NULL, err);
        (void) fd_close(folder);
    } else {
        result = folder;
    }
    arena_done(&a);
    if (result == 0 && ret_main)
        *ret_main = main_exec;
    return nb_fail_within(err, result, "start box '%s'", box->called);
}
