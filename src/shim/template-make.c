/* SPDX-License-Identifier: Apache-2.0
 *
 * template-make.c - makes a template: boots a machine, and saves it when its agent waits for a box
 *
 * Theory of operation
 *   A process of its own, started as a shim is, with an order of its own. Its machine has no disk of anybody's and runs nobody's code; QEMU
 *   runs without the jail's filter, because it has to write the memory's file. When the agent has said its HELLO, and has had a moment to fall asleep, the
 *   machine is stopped and saved. Whoever goes on from it takes both HELLOs as said (link_resume()).
 *   The header is written last, and the files are then nobody's to write; the library moves the folder to its name. Whatever goes wrong before
 *   leaves a folder without a header, which is no template.
 */
#include "shim/template.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "link/link.h"
#include "machine/machine.h"
#include "machine/memory.h"
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
    bool ordered, greeted, saved, answered;
    int memory, state, console;
    uint64_t memory_bytes;
    uint32_t boot_timeout_ms;
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
    else if (!m->greeted)
        fail(m, "the guest did not answer in time");
    else if (!m->saved) {
        machine_save(m->machine);
        loop_timer_start(&m->timer, SAVE_TIMEOUT_MS);
        m->saved = true; /* begun: the next time that this timer is due, it was not done in time */
    } else
        fail(m, "the machine could not be saved in time");
}

/* ------------------------------------------------------------------------------------------------------------- the guest */

static void on_agent_greeted(link_end *end) {
    maker *m = end->user;
    m->greeted = true;
    loop_timer_start(&m->timer, SETTLE_MS);
}

static int on_agent_message(link_end *end, uint16_t id, const uint8_t *bytes, size_t length) {
    return -NB_E_PROTOCOL; /* it was asked nothing */
}

static int on_agent_data(link_end *end, uint32_t channel, const uint8_t *bytes, size_t length) {
    return -NB_E_PROTOCOL;
}

static int on_agent_credit(link_end *end, uint32_t channel, uint32_t credit) {
    return -NB_E_PROTOCOL;
}

static void on_agent_closed(link_end *end, const char *why) {
    maker *m = end->user;
    if (!m->saved)
        fail(m, why ? why : "the guest closed its connection");
}

static const link_handlers agent_handlers = {
    .on_message = on_agent_message,
    .on_data = on_agent_data,
    .on_credit = on_agent_credit,
    .on_greeted = on_agent_greeted,
    .on_closed = on_agent_closed,
};

/* ----------------------------------------------------------------------------------------------------------- the machine */

static int write_header(const maker *m, nb_error *err) {
    uint8_t header[TEMPLATE_HEADER_BYTES] = TEMPLATE_MAGIC;
    struct stat status;
    CLEANUP(cleanup_fd) int fd = openat(WIRE_SHIM_FOLDER_FD, WIRE_TEMPLATE_HEADER_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (fd < 0 || fstat(m->state, &status) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "write '%s'", WIRE_TEMPLATE_HEADER_FILE);
    store_le64(header + 8, m->memory_bytes);
    store_le64(header + 16, (uint64_t) status.st_size);
    if (fchmod(m->memory, 0400) < 0 || fchmod(m->state, 0400) < 0 || fd_write_all(fd, header, sizeof(header)) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "write '%s'", WIRE_TEMPLATE_HEADER_FILE);
    (void) unlinkat(WIRE_SHIM_FOLDER_FD, CONSOLE_FILE, 0);
    return 0;
}

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
    if (write_header(m, &why) < 0) {
        answer_failure(m, &why);
        return;
    }
    m->answered = true;
    link_send(&m->owner, wire_encode_template_made, (&(msg_template_made){.memory_bytes = m->memory_bytes}));
    link_drain(&m->owner, QUIT_GRACE_MS);
    loop_quit(m->l);
}

static void on_running(void *user) {
    maker *m = user;
    loop_timer_start(&m->timer, m->boot_timeout_ms);
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

static int begin(maker *m, const msg_template *order, nb_error *err) {
    char *texts[] = {wire_str_copy(order->qemu), wire_str_copy(order->accelerator), wire_str_copy(order->kernel),
                     wire_str_copy(order->modules), wire_str_copy(order->agent)};
    int link_fd = -1, listener;
    m->memory_bytes = machine_memory_class(order->memory_bytes);
    m->boot_timeout_ms = order->boot_timeout_ms;
    int result = texts[0] && texts[1] && texts[2] && texts[3] && texts[4] ? open_all(m, err) : nb_fail_oom(err);
    if (result == 0) {
        const machine_saved to = {m->memory, m->state};
        const machine_spec spec = {
            .program = texts[0],
            .accelerator = texts[1],
            .kernel = texts[2],
            .modules = texts[3],
            .agent = texts[4],
            .disk_fd = -1,
            .console_fd = m->console,
            .memory_bytes = order->memory_bytes,
            .cpus = order->cpus,
            .save = &to,
        };
        const machine_events events = {.user = m, .on_running = on_running, .on_saved = on_saved, .on_ended = on_ended};
        result = machine_start(m->l, &m->log, &spec, &events, &m->machine, &link_fd, &listener, err);
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        free(texts[i]);
    if (result == 0 && link_init(m->l, &m->agent, link_fd, TO_HOST, &agent_handlers, m) < 0)
        result = nb_fail(err, NB_E_INTERNAL, errno, "watch the link to the guest");
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
    .on_data = on_agent_data,
    .on_credit = on_agent_credit,
    .on_closed = on_owner_closed,
};

static void on_owner_ended(loop_fd *watcher, uint32_t events) {
    maker *m = watcher->user;
    loop_quit(m->l);
}

int template_main(void) {
    maker m = {.l = loop_new(), .memory = -1, .state = -1, .console = -1, .owner = {.fd = -1}, .agent = {.fd = -1}};
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
