/* SPDX-License-Identifier: Apache-2.0
 *
 * start.c - the box's machine: from a template or by a boot, in its jail, within the host's limits
 */
#include "shim/start.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "jail/broker.h"
#include "jail/filter.h"
#include "machine/memory.h"
#include "machine/template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

int start_open_file(shim *s, const char *name, int flags, nb_error *err) {
    int fd = openat(s->folder, name, flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        (void) nb_fail(err, nb_code_of_errno(errno), errno, "open '%s' in the box's folder", name);
    return fd;
}

/* The strings that machine_start() wants, from the order. */
typedef struct launch_strings {
    char *qemu, *accelerator, *kernel, *modules, *agent, *base_disk, *template_path, *image_template_path;
} launch_strings;

/* The saved machine to go on from, if there is one that can be relied on. */
static bool open_template(shim *s, const launch_strings *strings, template_files *files) {
    const uint64_t memory_bytes = machine_memory_class(s->orders.launch.memory_bytes);
    nb_error why;
    s->restored_image = false;
    if (s->template_refused)
        return false;
    if (strings->image_template_path[0]) {
        int result = template_open(strings->image_template_path, memory_bytes, files, &why);
        if (result == 0)
            result = template_give_disk(files, s->folder, DISK_FILE, &why);
        if (result == 0)
            return s->restored_image = true;
        template_files_close(files);
        if (result != -NB_E_INVALID_STATE) /* a box that has run before is no news */
            log_warning(&s->log, "template '%s': %s: not used", strings->image_template_path, why.message);
    }
    if (!strings->template_path[0])
        return false;
    if (template_open(strings->template_path, memory_bytes, files, &why) == 0)
        return true;
    log_warning(&s->log, "template '%s': %s: booting instead", strings->template_path, why.message);
    return false;
}

static int start_qemu(shim *s, const launch_strings *strings, int disk, const template_files *files, const machine_events *events,
                      int *ret_link, int *ret_listener, nb_error *err) {
    const machine_saved saved = {files->memory_fd, files->state_fd, .knows_disk = s->restored_image};
    machine_spec spec = {
        .program = strings->qemu,
        .accelerator = strings->accelerator,
        .kernel = strings->kernel,
        .modules = strings->modules,
        .agent = strings->agent,
        .base_disk = strings->base_disk,
        .disk_fd = disk,
        .console_fd = s->console,
        .memory_bytes = s->orders.launch.memory_bytes,
        .cpus = s->orders.launch.cpus,
        .io_bytes_per_second = s->orders.launch.io_bytes_per_second,
        .io_operations_per_second = s->orders.launch.io_operations_per_second,
        .restore = s->restored ? &saved : NULL,
        .filter = filter_install,
    };
    return machine_start(s->loop, &s->log, &spec, events, &s->machine, ret_link, ret_listener, err);
}

static int start_with(shim *s, const launch_strings *strings, const machine_events *events, const link_handlers *handlers, nb_error *err) {
    template_files files = {-1, -1, -1};
    int link_fd = -1, listener = -1;
    s->console = start_open_file(s, CONSOLE_FILE, O_CREAT | O_TRUNC, err);
    if (s->console < 0)
        return -err->code;
    s->restore_worked = false;
    s->restored = open_template(s, strings, &files);
    CLEANUP(cleanup_fd) int disk = start_open_file(s, DISK_FILE, 0, err); /* not sooner: it may be another one now */
    int result = disk < 0 ? -err->code : start_qemu(s, strings, disk, &files, events, &link_fd, &listener, err);
    if (result == 0 && s->restored && listener < 0) {
        /* Without its filter it could write to what all boxes go on from. */
        log_warning(&s->log, "template: not used without a filter of QEMU's system calls");
        machine_free(s->machine);
        s->machine = NULL;
        (void) fd_close(link_fd);
        s->restored = s->restored_image = false;
        result = start_qemu(s, strings, disk, &files, events, &link_fd, &listener, err);
    }
    template_files_close(&files);
    if (result < 0)
        return result;
    if (listener >= 0)
        result = broker_new(s->loop, &s->log, listener, strings->qemu, &s->broker, err);
    process_id machine_process = {0};
    (void) process_identify(machine_pid(s->machine), &machine_process);
    s->record.is.machine_pid = (uint32_t) machine_process.pid;
    s->record.is.machine_start_ticks = machine_process.start_ticks;
    int (*const begin_link)(loop *, link_end *, int, enum wire_direction, const link_handlers *, void *) =
        s->restored ? link_resume : link_init;
    if (begin_link(s->loop, &s->agent, link_fd, TO_HOST, handlers, s) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "watch the link to the guest");
    return result;
}

int start_machine(shim *s, const machine_events *events, const link_handlers *handlers, nb_error *err) {
    const msg_launch *launch = &s->orders.launch;
    launch_strings strings = {wire_str_copy(launch->qemu),          wire_str_copy(launch->accelerator),
                              wire_str_copy(launch->kernel),        wire_str_copy(launch->modules),
                              wire_str_copy(launch->agent),         wire_str_copy(launch->base_disk),
                              wire_str_copy(launch->template_path), wire_str_copy(launch->image_template_path)};
    int result;
    if (!strings.qemu || !strings.accelerator || !strings.kernel || !strings.modules || !strings.agent || !strings.base_disk ||
        !strings.template_path || !strings.image_template_path)
        result = nb_fail_oom(err);
    else
        result = start_with(s, &strings, events, handlers, err);
    (void) snprintf(s->record.accelerator, sizeof(s->record.accelerator), "%s", strings.accelerator ? strings.accelerator : "");
    free(strings.qemu);
    free(strings.accelerator);
    free(strings.kernel);
    free(strings.modules);
    free(strings.agent);
    free(strings.base_disk);
    free(strings.template_path);
    free(strings.image_template_path);
    return result;
}
