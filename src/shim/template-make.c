/* SPDX-License-Identifier: Apache-2.0
 *
 * template-make.c - makes a template: runs a machine up to where boxes differ, and saves it
 *
 * Theory of operation
 *   A process of its own, started as a shim is, with an order of its own. Its machine runs nobody's code; QEMU
 *   runs without the jail's filter, because it has to write the memory's file.
 *   A machine for all boxes boots, without a disk of anybody's. When the agent has said its HELLO, and has had a moment to fall asleep, the
 *   machine is stopped and saved. Whoever goes on from it takes both HELLOs as said (link_resume()).
 *   A machine for the boxes of an image goes on from one of those, in a copy of its memory, with a disk over the image's. It is saved when the
 *   agent has mounted that, and the container stands; the disk is saved with it, for what is in the guest's memory and what is on the disk are one
 *   file system.
 *   The header is written last (template_seal()), and the files are then nobody's to write; the library moves the folder to its name. Whatever goes wrong before
 *   leaves a folder without a header, which is no template.
 */
#include "shim/template-make.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "link/link.h"
#include "machine/machine.h"
#include "machine/memory.h"
#include "machine/qcow2.h"
#include "machine/template.h"
#include "shim/setup.h"
#include "wire/rehearsal.h"
#include "wire/template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_ORDER_MS 30000
/* Between the agent's first word and the save: it, and what the kernel does after a boot, is to have nothing more to do. */
#define SETTLE_MS 200
#define SAVE_TIMEOUT_MS 60000
#define QUIT_GRACE_MS 5000
#define CONSOLE_FILE "console.log"

typedef struct maker {
    loop *l;
    log_sink log;
    link_end owner; /* the library */
    loop_fd owner_watcher;
    machine *machine;
    link_end agent;
    loop_timer timer;
    bool ordered, ready, saved, answered;
    bool of_image;
    int memory, state, disk, console;
    uint64_t memory_bytes, container_bytes;
    uint32_t boot_timeout_ms;
    uint8_t setup_flags;
} maker;

static void answer_failure(maker *m, const nb_error *why) {
    if (m->answered)
        return;
    m->answered = true;
    msg_failed failed = {.code = why->code, .error = why->system_errno, .message = wire_str(why->message), .hint = wire_str(why->hint)};
    link_send(&m->owner, wire_encode_failed, &failed);
    link_drain(&m->owner, QUIT_GRACE_MS);
    loop_quit(m->l);
}

static void fail(maker *m, const char *what) {
    nb_error why;
    (void) nb_fail(&why, NB_E_MACHINE, 0, "%s", what);
    answer_failure(m, &why);
}

static void on_timer(loop_timer *timer) {
    maker *m = timer->user;
    if (!m->ordered)
        loop_quit(m->l);
    else if (!m->ready)
        fail(m, "the guest did not answer in time");
    else if (!m->saved) {
        machine_save(m->machine);
        loop_timer_start(&m->timer, SAVE_TIMEOUT_MS);
        m->saved = true; /* begun: the next time that this timer is due, it was not done in time */
    } else
        fail(m, "the machine could not be saved in time");
}

/* ------------------------------------------------------------------------------------------------------------- the guest */

static void now_ready(maker *m) {
    m->ready = true;
    loop_timer_start(&m->timer, SETTLE_MS);
}

static void on_agent_greeted(link_end *end) {
    now_ready(end->user);
}

static void ask_for_container(maker *m) {
    const msg_setup setup = {
        .box_id = wire_str(WIRE_NO_NAME),
        .hostname = wire_str(WIRE_NO_NAME),
        .memory_bytes = m->container_bytes,
        .disk_bytes = machine_disk_bytes(m->machine),
        .setup_flags = m->setup_flags | WIRE_SETUP_PREPARE,
    };
    if (!setup_send(m->machine, &m->agent, setup))
        fail(m, SETUP_NO_ENTROPY);
}

static int on_agent_message(link_end *end, uint16_t id, const uint8_t *bytes, size_t length) {
    maker *m = end->user;
    msg_setup_failed failed;
    nb_error why;
    if (!m->of_image || m->ready)
        return -NB_E_PROTOCOL; /* it was asked nothing */
    if (id == id_of_msg_setup_done) {
        now_ready(m);
        return 0;
    }
    if (id != id_of_msg_setup_failed || wire_decode_setup_failed(bytes, length, &failed) < 0)
        return -NB_E_PROTOCOL;
    (void) nb_fail(&why, NB_E_MACHINE, failed.error, "set up the container: %.*s", (int) failed.message.length,
                   (const char *) failed.message.at);
    answer_failure(m, &why);
    return 0;
}

static void on_agent_closed(link_end *end, const char *why) {
    maker *m = end->user;
    if (!m->saved)
        fail(m, why ? why : "the guest closed its connection");
}

static const link_handlers agent_handlers = {
    .on_message = on_agent_message,
    .on_greeted = on_agent_greeted,
    .on_closed = on_agent_closed,
};

/* ----------------------------------------------------------------------------------------------------------- the machine */

static void on_saved(void *user) {
    maker *m = user;
    loop_timer_start(&m->timer, SAVE_TIMEOUT_MS);
    machine_quit(m->machine, QUIT_GRACE_MS);
}

static void on_ended(void *user, const machine_end *end) {
    maker *m = user;
    nb_error why;
    machine_free(m->machine);
    m->machine = NULL;
    if (!m->saved || end->exit_code != 0) {
        fail(m, end->reason);
        return;
    }
    if (template_seal(WIRE_SHIM_FOLDER_FD, &(template_files){m->memory, m->state, m->disk}, &why) < 0) {
        answer_failure(m, &why);
        return;
    }
    (void) unlinkat(WIRE_SHIM_FOLDER_FD, CONSOLE_FILE, 0);
    m->answered = true;
    link_send(&m->owner, wire_encode_template_made, (&(msg_template_made){.memory_bytes = m->memory_bytes}));
    link_drain(&m->owner, QUIT_GRACE_MS);
    loop_quit(m->l);
}

static void on_running(void *user) {
    maker *m = user;
    loop_timer_start(&m->timer, m->boot_timeout_ms);
    if (m->of_image)
        ask_for_container(m);
}

static int open_new(const char *name, mode_t mode, nb_error *err) {
    int fd = openat(WIRE_SHIM_FOLDER_FD, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    return fd < 0 ? nb_fail(err, nb_code_of_errno(errno), errno, "make '%s'", name) : fd;
}

static int open_all(maker *m, nb_error *err) {
    m->memory = open_new(TEMPLATE_MEMORY_FILE, 0600, err);
    m->state = m->memory < 0 ? -1 : open_new(TEMPLATE_STATE_FILE, 0600, err);
    m->console = m->state < 0 ? -1 : open_new(CONSOLE_FILE, 0600, err);
    if (m->console < 0)
        return -NB_E_STORAGE;
    if (ftruncate(m->memory, (off_t) m->memory_bytes) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make room for '%s'", TEMPLATE_MEMORY_FILE);
    return 0;
}

/* The memory of the machine that it goes on from, and a box's disk. */
static int begin_with(maker *m, const template_files *from, const char *base_disk, uint64_t disk_bytes, nb_error *err) {
    if (file_copy_sparse(from->memory_fd, m->memory) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "copy '%s'", TEMPLATE_MEMORY_FILE);
    m->disk = open_new(TEMPLATE_DISK_FILE, 0600, err);
    return m->disk < 0 ? -NB_E_STORAGE : qcow2_create_overlay(m->disk, base_disk, disk_bytes, err);
}

/* The strings that machine_start() wants, from the order. */
enum { QEMU, ACCELERATOR, KERNEL, MODULES, AGENT, TEMPLATE, BASE_DISK, STRINGS };

static int start(maker *m, const msg_template *order, char *const strings[STRINGS], const template_files *from, nb_error *err) {
    int link_fd = -1, listener;
    const machine_saved restored = {.memory_fd = m->memory, .state_fd = from->state_fd},
                        to = {.memory_fd = m->memory, .state_fd = m->state};
    const machine_spec spec = {
        .program = strings[QEMU],
        .accelerator = strings[ACCELERATOR],
        .kernel = strings[KERNEL],
        .modules = strings[MODULES],
        .agent = strings[AGENT],
        .base_disk = strings[BASE_DISK],
        .disk_fd = m->disk,
        .console_fd = m->console,
        .memory_bytes = order->memory_bytes,
        .cpus = order->cpus,
        .restore = m->of_image ? &restored : NULL,
        .save = &to,
    };
    const machine_events events = {.user = m, .on_running = on_running, .on_saved = on_saved, .on_ended = on_ended};
    int (*const begin_link)(loop *, link_end *, int, enum wire_direction, const link_handlers *, void *) =
        m->of_image ? link_resume : link_init;
    int result = machine_start(m->l, &m->log, &spec, &events, &m->machine, &link_fd, &listener, err);
    if (result == 0 && begin_link(m->l, &m->agent, link_fd, TO_HOST, &agent_handlers, m) < 0)
        result = nb_fail(err, NB_E_INTERNAL, errno, "watch the link to the guest");
    return result;
}

static int begin(maker *m, const msg_template *order, nb_error *err) {
    const wire_bytes given[STRINGS] = {order->qemu,  order->accelerator,   order->kernel,   order->modules,
                                       order->agent, order->template_path, order->base_disk};
    char *strings[STRINGS];
    template_files from = {-1, -1, -1};
    m->container_bytes = order->memory_bytes;
    m->memory_bytes = machine_memory_class(order->memory_bytes);
    m->boot_timeout_ms = order->boot_timeout_ms;
    m->of_image = order->template_path.length > 0;
    m->setup_flags = order->setup_flags;
    int result = 0;
    for (size_t i = 0; i < STRINGS; i++) {
        strings[i] = wire_str_copy(given[i]);
        if (!strings[i])
            result = nb_fail_oom(err);
    }
    if (result == 0)
        result = open_all(m, err);
    if (result == 0 && m->of_image) {
        result = template_open(strings[TEMPLATE], m->memory_bytes, &from, err);
        if (result == 0)
            result = begin_with(m, &from, strings[BASE_DISK], order->disk_bytes, err);
    }
    if (result == 0)
        result = start(m, order, strings, &from, err);
    template_files_close(&from);
    for (size_t i = 0; i < STRINGS; i++)
        free(strings[i]);
    return result;
}

/* ------------------------------------------------------------------------------------------------------------- the owner */

static int on_owner_message(link_end *end, uint16_t id, const uint8_t *bytes, size_t length) {
    maker *m = end->user;
    msg_template order;
    nb_error why;
    if (m->ordered || id != id_of_msg_template || wire_decode_template(bytes, length, &order) < 0)
        return -NB_E_PROTOCOL;
    m->ordered = true;
    loop_timer_start(&m->timer, order.boot_timeout_ms);
    if (begin(m, &order, &why) < 0)
        answer_failure(m, &why);
    return 0;
}

/* Nobody waits for it any more. */
static void on_owner_closed(link_end *end, const char *why) {
    maker *m = end->user;
    m->answered = true;
    loop_quit(m->l);
}

static const link_handlers owner_handlers = {
    .on_message = on_owner_message,
    .on_closed = on_owner_closed,
};

static void on_owner_ended(loop_fd *watcher, uint32_t events) {
    maker *m = watcher->user;
    loop_quit(m->l);
}

int template_main(void) {
    maker m = {.l = loop_new(), .memory = -1, .state = -1, .disk = -1, .console = -1, .owner = {.fd = -1}, .agent = {.fd = -1}};
    if (!m.l || loop_fd_init(m.l, &m.owner_watcher, WIRE_SHIM_OWNER_FD, EPOLLIN, on_owner_ended, &m) < 0 ||
        link_init(m.l, &m.owner, WIRE_SHIM_SOCKET_FD, TO_SHIM, &owner_handlers, &m) < 0)
        return 1;
    loop_timer_init(m.l, &m.timer, on_timer, &m);
    loop_timer_start(&m.timer, FIRST_ORDER_MS);
    int result = loop_run(m.l);
    machine_free(m.machine);
    link_done(&m.agent);
    link_done(&m.owner);
    loop_timer_done(&m.timer);
    loop_fd_done(&m.owner_watcher);
    loop_free(m.l);
    return result < 0 ? 1 : 0;
}
