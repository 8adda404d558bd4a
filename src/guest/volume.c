/* SPDX-License-Identifier: Apache-2.0
 *
 * volume.c - file systems that the host serves: between the guest's kernel and the link
 *
 * Theory of operation
 *   /dev/fuse gives one request of the kernel's with each read, and takes one answer with each write; neither ever waits. A request is read only
 *   when the whole of the longest fits into what the host has granted, so that none is cut. Answers come in pieces and are put together
 *   first. The agent itself never touches what is mounted there: it would wait for itself.
 *   When the host ends the stream, its server has gone: the descriptor is closed, and whoever uses the volume gets ENOTCONN.
 *
 * Not here: mounting it in the container (mount.c); what the messages mean, which is the kernel's and the host's affair.
 */
#include "guest/volume.h"

#include "base/fd.h"
#include "guest/module.h"
#include "wire/mount-order.h"

#include <nestbox/error.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Read in one turn of the loop; the other streams are to have theirs. */
#define REQUESTS_A_TURN 16u
#define RETRY_MS 10
#define READ_AHEAD_KIB "1024"

struct volume {
    agent *agent;
    volume *next;
    uint32_t id;
    int error; /* it could not be opened */
    int fuse;  /* -1: closed, and our stream is ended */

    int mount;    /* detached; -1 once taken */
    dev_t device; /* of the mount; 0: not known, or told what it may read ahead */
    loop_fd watcher;
    wire_outflow flow;
    wire_inflow answers;
    buf answer; /* the beginning of one */
};

static uint32_t requests_channel(const volume *v) {
    return wire_channel(WIRE_VOLUME_EXEC_ID(v->id), WIRE_STREAM_STDOUT);
}

static uint32_t answers_channel(const volume *v) {
    return wire_channel(WIRE_VOLUME_EXEC_ID(v->id), WIRE_STREAM_STDIN);
}

bool volume_has_channel(uint32_t channel) {
    return wire_channel_exec(channel) > WIRE_EXEC_ID_MAX;
}

static volume *find(agent *a, uint32_t id) {
    volume *v = a->volumes;
    while (v && v->id != id)
        v = v->next;
    return v;
}

static volume *find_by_channel(agent *a, uint32_t channel) {
    return find(a, wire_channel_exec(channel) - WIRE_VOLUME_EXEC_ID(0));
}

/* ------------------------------------------------------------------------------------------------------------ requests */

/* Whoever uses it in the box gets ENOTCONN, and the host hears no more of it. */
static void volume_close(volume *v) {
    if (v->fuse >= 0)
        link_end_of_stream(&v->agent->link, requests_channel(v));
    loop_fd_done(&v->watcher);
    v->fuse = fd_close(v->fuse);
    v->mount = fd_close(v->mount);
    buf_done(&v->answer);
}

static bool may_read(volume *v) {
    return v->flow.credit >= WIRE_VOLUME_MESSAGE_MAX_BYTES && link_has_room(&v->agent->link);
}

/* False: there is none now, or never again. */
static bool read_request(volume *v) {
    static uint8_t request[WIRE_VOLUME_MESSAGE_MAX_BYTES];
    ssize_t n = read(v->fuse, request, sizeof(request));
    if (n > 0) {
        link_data(&v->agent->link, requests_channel(v), request, (size_t) n);
        v->flow.credit -= (uint32_t) n;
        return true;
    }
    if (n < 0 && (errno == EINTR || errno == ENOENT)) /* whoever asked has been killed meanwhile */
        return true;
    if (n < 0 && errno == EAGAIN)
        return false;
    volume_close(v); /* ENODEV: nothing has it mounted any more */
    return false;
}

static void on_request(loop_fd *watcher, uint32_t events) {
    volume *v = watcher->user;
    for (unsigned i = 0; i < REQUESTS_A_TURN && may_read(v) && read_request(v); i++)
        ;
    if (v->fuse >= 0 && !may_read(v))
        loop_fd_done(&v->watcher); /* one that hangs up is always reported */
}

static void volume_resume(volume *v) {
    if (v->fuse < 0 || v->watcher.owner || !may_read(v))
        return;
    if (loop_fd_init(v->agent->loop, &v->watcher, v->fuse, EPOLLIN, on_request, v) < 0)
        loop_timer_start(&v->agent->retry_timer, RETRY_MS);
}

void volume_resume_all(agent *a) {
    for (volume *v = a->volumes; v; v = v->next)
        volume_resume(v);
}

int volume_credit(agent *a, uint32_t channel, uint32_t credit) {
    volume *v = find_by_channel(a, channel);
    if (!v || channel != requests_channel(v) || !wire_outflow_granted(&v->flow, credit))
        return -NB_E_PROTOCOL;
    volume_resume(v);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------- answers */

/* The length of the answer that begins there, fuse_out_header's first field; 0: not known yet. */
static size_t answer_length(const uint8_t *bytes, size_t length) {
    uint32_t whole;
    if (length < sizeof(whole))
        return 0;
    memcpy(&whole, bytes, sizeof(whole));
    return whole;
}

/* A round trip to the host is long, and the kernel reads 128 KiB ahead by itself. The answer to INIT has set that; it is the first there is. */
static void read_further_ahead(volume *v) {
    char path[64];
    (void) snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(v->device), minor(v->device));
    v->device = 0;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    (void) !write(fd, READ_AHEAD_KIB, strlen(READ_AHEAD_KIB));
    (void) fd_close(fd);
}

/* What the kernel says to it is of no use: ENOENT is a request that was given up. */
static void pass_answer(volume *v, const uint8_t *bytes, size_t length) {
    if (v->fuse >= 0)
        (void) !write(v->fuse, bytes, length);
    if (v->device != 0)
        read_further_ahead(v);
}

/* Passes on what is whole in @bytes. How much that was, or -1: it is no answer. */
static ssize_t pass_whole(volume *v, const uint8_t *bytes, size_t length) {
    size_t passed = 0, whole;
    while ((whole = answer_length(bytes + passed, length - passed)) != 0) {
        if (whole < sizeof(uint32_t) * 4 || whole > WIRE_VOLUME_MESSAGE_MAX_BYTES)
            return -1;
        if (whole > length - passed)
            break;
        pass_answer(v, bytes + passed, whole);
        passed += whole;
    }
    return (ssize_t) passed;
}

/* Bytes of answers have gone to the kernel. */
static void give_back(volume *v, size_t length) {
    uint32_t credit = wire_inflow_consumed(&v->answers, length);
    if (credit > 0 && v->fuse >= 0)
        link_credit(&v->agent->link, answers_channel(v), credit);
}

static void volume_free(volume *v) {
    volume **at = &v->agent->volumes;
    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    free(v);
}

/* The host's end of the stream is the last that either of us says of the volume: its number may be another's from then on. */
int volume_answer(agent *a, uint32_t channel, const uint8_t *bytes, size_t length) {
    volume *v = find_by_channel(a, channel);
    if (!v && length == 0)
        return 0; /* one that there was no memory for */
    if (!v || channel != answers_channel(v) || !wire_inflow_received(&v->answers, length))
        return -NB_E_PROTOCOL;
    if (length == 0) {
        volume_close(v);
        volume_free(v);
    }
    if (length == 0 || v->fuse < 0)
        return 0;
    size_t taken = 0;
    if (buf_length(&v->answer) == 0) {
        ssize_t passed = pass_whole(v, bytes, length);
        if (passed < 0)
            return -NB_E_PROTOCOL;
        taken = (size_t) passed;
    }
    give_back(v, taken);
    if (taken == length)
        return 0;
    if (!buf_append(&v->answer, bytes + taken, length - taken)) {
        volume_close(v); /* an answer is lost, and with it the order of all that follow */
        return 0;
    }
    ssize_t passed = pass_whole(v, buf_bytes(&v->answer), buf_length(&v->answer));
    if (passed < 0)
        return -NB_E_PROTOCOL;
    buf_consume(&v->answer, (size_t) passed);
    give_back(v, (size_t) passed);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------- opening */

static int set_text(int context, const char *key, const char *value) {
    return (int) syscall(SYS_fsconfig, context, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value, 0);
}

/* fuse's mount options, with what the host serves as their other side. The detached mount, or -1 with errno. */
static int make_mount(int fuse, uint8_t flags) {
    char descriptor[16], most[16];
    (void) snprintf(descriptor, sizeof(descriptor), "%d", fuse);
    (void) snprintf(most, sizeof(most), "%u", WIRE_VOLUME_DATA_MAX_BYTES);
    int context = (int) syscall(SYS_fsopen, "fuse", FSOPEN_CLOEXEC), mount = -1;
    if (context >= 0 && set_text(context, "source", "nestbox") == 0 && set_text(context, "subtype", "nestbox") == 0 &&
        set_text(context, "fd", descriptor) == 0 && set_text(context, "rootmode", flags & WIRE_VOLUME_FILE ? "100000" : "40000") == 0 &&
        set_text(context, "user_id", "0") == 0 && set_text(context, "group_id", "0") == 0 && set_text(context, "max_read", most) == 0 &&
        set_text(context, "default_permissions", NULL) == 0 && set_text(context, "allow_other", NULL) == 0 &&
        syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        mount = (int) syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC,
                              MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (flags & WIRE_VOLUME_READ_ONLY ? MOUNT_ATTR_RDONLY : 0));
    int error = errno;
    (void) fd_close(context);
    errno = error;
    return mount;
}

/* The first loads what the others find. */
static int open_fuse(void) {
    static const char device[] = "/dev/fuse";
    int fd = open(device, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && module_load("fuse") == 0)
        fd = open(device, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    return fd;
}

/* Which device it is, without asking its server. */
static dev_t device_of(int mount) {
    struct statx status;
    long result = syscall(SYS_statx, mount, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &status);
    return result < 0 ? 0 : makedev(status.stx_dev_major, status.stx_dev_minor);
}

int volume_open(agent *a, const uint8_t *bytes, size_t length) {
    msg_volume message;
    if (wire_decode_volume(bytes, length, &message) < 0 || message.volume_id >= WIRE_VOLUMES_MAX || find(a, message.volume_id))
        return -NB_E_PROTOCOL;
    volume *v = calloc(1, sizeof(*v));
    if (!v) { /* its mount will be asked for, and there is none */
        link_end_of_stream(&a->link, wire_channel(WIRE_VOLUME_EXEC_ID(message.volume_id), WIRE_STREAM_STDOUT));
        return 0;
    }
    v->agent = a;
    v->id = message.volume_id;
    wire_outflow_init(&v->flow);
    wire_inflow_init(&v->answers);
    buf_init(&v->answer, WIRE_WINDOW_BYTES);
    v->next = a->volumes;
    a->volumes = v;
    v->fuse = open_fuse();
    v->mount = v->fuse < 0 ? -1 : make_mount(v->fuse, message.volume_flags);
    if (v->mount < 0)
        v->error = errno;
    else
        v->device = device_of(v->mount);
    if (v->fuse < 0)
        link_end_of_stream(&a->link, requests_channel(v));
    else if (v->mount < 0)
        volume_close(v);
    volume_resume(v);
    return 0;
}

int volume_take_mount(agent *a, strv order) {
    const char *kind = strv_next(order, NULL), *what = kind ? strv_next(order, kind) : NULL;
    if (!what || strcmp(kind, WIRE_MOUNT_VOLUME) != 0)
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    volume *v = find(a, (uint32_t) strtoul(what, NULL, 10));
    if (!v || v->mount < 0) {
        errno = !v ? ENOMEM : v->error ? v->error : ENOTCONN;
        return -1;
    }
    int mount = v->mount;
    v->mount = -1;
    return mount;
}

void volume_close_all(agent *a) {
    for (volume *v = a->volumes; v; v = v->next)
        volume_close(v);
}

void volume_free_all(agent *a) {
    volume_close_all(a);
    while (a->volumes)
        volume_free(a->volumes);
}
