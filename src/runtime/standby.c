/* SPDX-License-Identifier: Apache-2.0
 *
 * standby.c - machines that wait to be taken: having a process keep them, and taking one
 */
#include "runtime/standby.h"

#include <nestbox/standby.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/process.h"
#include "runtime/channel.h"
#include "runtime/image.h"
#include "runtime/launch.h"
#include "runtime/options.h"
#include "runtime/template-order.h"
#include "wire/standby.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define SEND_TIMEOUT_MS 10000
/* Its shim answers between two looks at its loop. */
#define TAKE_TIMEOUT_MS 5000
/* What the keeper gives those that wait to go, and itself. */
#define CLOSE_TIMEOUT_MS 11000

static_assert(NB_STANDBY_MAX == WIRE_STANDBY_MAX, "the same number");

/* ------------------------------------------------------------------------------------------------------------------ taking */

static int open_folder(const nb_runtime *rt) {
    return openat(rt->folder, HOME_STANDBY, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* The connection, or -1: it is somebody else's by now, or nobody's. */
static int take(int all, const char *name, int folder, int self) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char order = WIRE_STANDBY_TAKE;
    char answer = 0;
    CLEANUP(cleanup_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int length = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s/" WIRE_STANDBY_SOCKET, all, name);
    if (fd < 0 || length >= (int) sizeof(address.sun_path) || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ||
        fd_send_message(fd, &order, 1, (const int[2]){folder, self}, 2) != 1)
        return -1;
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    deadline until = deadline_in(TAKE_TIMEOUT_MS);
    int ready;
    do
        ready = poll(&readable, 1, deadline_left_ms(until));
    while (ready < 0 && errno == EINTR);
    return ready == 1 && recv(fd, &answer, 1, 0) == 1 && answer == WIRE_STANDBY_TAKEN ? take_fd(&fd) : -1;
}

int standby_take(const nb_runtime *rt, const char *template_path, int folder) {
    const char *key = strrchr(template_path, '/') + 1;
    size_t key_length = strlen(key);
    int all = open_folder(rt), taken = -1;
    CLEANUP(cleanup_fd) int self = all < 0 ? -1 : process_open(getpid());
    DIR *list = self < 0 ? NULL : fdopendir(all);
    if (!list) {
        (void) fd_close(all);
        return -1;
    }
    for (struct dirent *entry; taken < 0 && (entry = readdir(list));) {
        if (strncmp(entry->d_name, key, key_length) == 0 && entry->d_name[key_length] == '.')
            taken = take(dirfd(list), entry->d_name, folder, self);
    }
    (void) closedir(list);
    return taken;
}

/* ----------------------------------------------------------------------------------------------------------------- keeping */

struct nb_standby {
    int socket;
    uint32_t wanted, waiting;
    buf bytes;
};

static int send_order(int socket, const template_order *order, const char *template_path, uint32_t count, nb_error *err) {
    /* As seen from the folder of one that waits, and from a box's: a home can be moved. */
    char name[IMAGE_DISK_NAME_SIZE], backing[sizeof("../../" HOME_IMAGES "/") + IMAGE_DISK_NAME_SIZE];
    CLEANUP(buf_done) buf bytes;
    buf_init(&bytes, WIRE_READ_BUFFER_BYTES);
    image_disk_name(order->content.image_id, name);
    (void) snprintf(backing, sizeof(backing), "../../" HOME_IMAGES "/%s", name);
    const msg_standby message = {
        .count = count,
        .qemu = wire_str(order->parts.qemu),
        .accelerator = wire_str(order->parts.accel.name),
        .template_path = wire_str(template_path),
        .base_disk = wire_str(order->base_disk),
        .backing = wire_str(backing),
        .disk_bytes = order->content.disk_bytes,
        .memory_bytes = order->shape.memory_bytes,
        .cpus = order->shape.cpus,
    };
    if (!wire_control(&bytes, wire_encode_standby, &message))
        return nb_fail_full(err, &bytes, "a path of the machine is too long");
    return channel_send(socket, &bytes, deadline_in(SEND_TIMEOUT_MS), err);
}

/* The socket of the process that keeps them. */
static int start_keeper(nb_runtime *rt, const template_order *order, uint32_t count, nb_error *err) {
    CLEANUP(cleanup_free) char *path = NULL;
    int result = template_order_make(rt, order, &path, err);
    if (result < 0)
        return result;
    if (mkdirat(rt->folder, HOME_STANDBY, 0700) < 0 && errno != EEXIST)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make the folder '%s/" HOME_STANDBY "'", rt->home);
    CLEANUP(cleanup_fd) int folder = open_folder(rt);
    if (folder < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "open the folder '%s/" HOME_STANDBY "'", rt->home);
    CLEANUP(cleanup_fd) int socket = launch_shim(order->parts.shim, WIRE_STANDBY_PROGRAM, folder, err);
    if (socket < 0)
        return socket;
    result = send_order(socket, order, path, count, err);
    return result < 0 ? result : take_fd(&socket);
}

static int open_standby(nb_runtime *rt, const nb_standby_options *options, nb_standby **ret_standby, nb_error *err) {
    nb_standby_options o;
    template_order order;
    int result = options_take(&o, sizeof(o), options, "nb_standby_options", err);
    if (result == 0)
        result = options_check_range(o.count, 1, NB_STANDBY_MAX, "count", err);
    if (result == 0 && (!o.machine || !o.machine->image))
        result = nb_fail(err, NB_E_INVALID, 0, "machines wait for boxes of an image, and none was given");
    if (result < 0)
        return result;
    nb_standby *standby = calloc(1, sizeof(*standby));
    if (!standby)
        return nb_fail_oom(err);
    standby->wanted = o.count ? o.count : 1;
    buf_init(&standby->bytes, WIRE_READ_BUFFER_BYTES);
    result = template_order_take(rt, o.machine, &order, err);
    if (result == 0)
        result = start_keeper(rt, &order, standby->wanted, err);
    template_order_done(&order);
    if (result < 0) {
        free(standby);
        return result;
    }
    standby->socket = result;
    *ret_standby = standby;
    return 0;
}

int nb_standby_open(nb_runtime *rt, const nb_standby_options *options, nb_standby **ret_standby, nb_error *err) {
    if (!rt || !ret_standby)
        return nb_fail(err, NB_E_INVALID, 0, "have machines wait: an argument is NULL");
    return nb_fail_within(err, open_standby(rt, options, ret_standby, err), "have machines wait");
}

/* Reads one STANDING. @ret_failure: why one did not come to wait, -NB_E_MACHINE, or 0 */
static int read_standing(nb_standby *standby, deadline until, int *ret_failure, nb_error *err) {
    const uint8_t *message;
    size_t length;
    msg_standing standing;
    int result = channel_receive(standby->socket, TO_CLIENT, until, &standby->bytes, &message, &length, err);
    if (result == -NB_E_BOX_GONE)
        return nb_fail(err, NB_E_BOX_GONE, 0, "the process that keeps the machines has ended");
    if (result < 0)
        return result;
    if (wire_decode_standing(message, length, &standing) < 0)
        return nb_fail(err, NB_E_PROTOCOL, 0, "understand the process that keeps the machines");
    standby->waiting = standing.count < standby->wanted ? standing.count : standby->wanted;
    *ret_failure = standing.failure.length == 0
                       ? 0
                       : nb_fail(err, NB_E_MACHINE, 0, "%.*s", (int) standing.failure.length, (const char *) standing.failure.at);
    return 0;
}

/* What has been told and not been read. */
static int catch_up(nb_standby *standby, int *ret_failure, nb_error *err) {
    struct pollfd readable = {.fd = standby->socket, .events = POLLIN};
    int result = 0;
    *ret_failure = 0;
    while (result == 0 && *ret_failure == 0 && poll(&readable, 1, 0) == 1)
        result = read_standing(standby, deadline_in(SEND_TIMEOUT_MS), ret_failure, err);
    return result;
}

int nb_standby_wait(nb_standby *standby, uint32_t timeout_ms, nb_error *err) {
    deadline until = deadline_in(timeout_ms);
    int failure = 0;
    if (!standby)
        return nb_fail(err, NB_E_INVALID, 0, "wait for machines: it is NULL");
    int result = catch_up(standby, &failure, err);
    while (result == 0 && failure == 0 && standby->waiting < standby->wanted)
        result = read_standing(standby, until, &failure, err);
    return nb_fail_within(err, result < 0 ? result : failure, "wait for machines that are to be taken");
}

int nb_standby_count(nb_standby *standby, uint32_t *ret_count, nb_error *err) {
    int failure;
    if (!standby || !ret_count)
        return nb_fail(err, NB_E_INVALID, 0, "count machines that wait: an argument is NULL");
    int result = catch_up(standby, &failure, err);
    if (result == 0)
        *ret_count = standby->waiting;
    return nb_fail_within(err, result, "count machines that wait");
}

int nb_standby_fd(const nb_standby *standby) {
    return standby ? standby->socket : -1;
}

void nb_standby_close(nb_standby *standby) {
    nb_error why;
    int failure, result = 0;
    if (!standby)
        return;
    deadline until = deadline_in(CLOSE_TIMEOUT_MS);
    (void) shutdown(standby->socket, SHUT_WR);
    while (result == 0)
        result = read_standing(standby, until, &failure, &why);
    (void) fd_close(standby->socket);
    buf_done(&standby->bytes);
    free(standby);
}
