/* SPDX-License-Identifier: Apache-2.0
 *
 * image-commit.c - an image of what is on a box's disk
 *
 * Theory of operation
 *   The box is visited: its machine runs without its main command, and the guest's copier packs the disk. What it writes goes through us, as
 *   bytes, into the worker that makes a base disk of it, as of any archive of a root file system. So nobody on the host looks into
 *   the box's disk, and nothing but the new disk is written. The image has one layer: each image has a base disk of its own anyhow.
 *   How it wants to be run is the image's wish and what the box was told besides.
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/size.h"
#include "runtime/box.h"
#include "runtime/disk-reader.h"
#include "runtime/image-config.h"
#include "runtime/image-import.h"
#include "runtime/image-room.h"
#include "runtime/image.h"
#include "runtime/options.h"
#include "wire/limits.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---------------------------------------------------------------------------------------------------- from box to worker */

typedef struct feeder {
    disk_reader reader;
    int to;               /* the worker's source; -1 when it has all, or wants no more */
    const uint8_t *bytes; /* of a piece, still to be passed on */
    size_t length;
} feeder;

static void pass_on(feeder *f) {
    ssize_t n = send(f->to, f->bytes, f->length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
        f->bytes += n;
        f->length -= (size_t) n;
    } else if (errno != EAGAIN && errno != EINTR) { /* it reads no more: its answer says why */
        f->to = fd_close(f->to);
    }
}

/* A channel_work: moves bytes until the worker has something to say. */
static int feed(void *user, int worker, deadline until, nb_error *err) {
    feeder *f = user;
    for (;;) {
        if (f->to >= 0 && f->length == 0) {
            int result = disk_reader_next(&f->reader, 0, &f->bytes, &f->length, err);
            if (result < 0)
                return result;
            if (f->reader.ended)
                f->to = fd_close(f->to);
        }
        struct pollfd fds[] = {
            {.fd = worker, .events = POLLIN},
            {.fd = f->to < 0       ? -1
                   : f->length > 0 ? f->to
                                   : nb_exec_fd(f->reader.exec),
             .events = f->length > 0 ? POLLOUT : POLLIN},
        };
        int n = poll(fds, ARRAY_LENGTH(fds), deadline_left_ms(until));
        if (n < 0 && errno != EINTR)
            return nb_fail(err, NB_E_INTERNAL, errno, "wait for the image's worker");
        if (n == 0)
            return nb_fail(err, NB_E_TIMEOUT, 0, "wait for the image's worker");
        if (n > 0 && fds[0].revents)
            return 0;
        if (n > 0 && fds[1].revents && f->length > 0)
            pass_on(f);
    }
}

/* ---------------------------------------------------------------------------------------------------- how it is to be run */

typedef struct commit {
    nb_box *box;
    image_record image; /* that the box was made from */
    box_record record;
    const char *name; /* of the new image; "": none */
    buf entrypoint, command, env, labels, changes;
    char stop_signal[32];
    msg_image_config config;
} commit;

static void commit_init(commit *c, nb_box *box) {
    *c = (commit){.box = box, .name = ""};
    buf_init(&c->entrypoint, WIRE_ARGV_MAX_BYTES);
    buf_init(&c->command, WIRE_ARGV_MAX_BYTES);
    buf_init(&c->env, WIRE_ENV_MAX_BYTES);
    buf_init(&c->labels, WIRE_ENV_MAX_BYTES);
    buf_init(&c->changes, WIRE_IMAGE_LIST_MAX_BYTES);
}

static void commit_done(commit *c) {
    buf_done(&c->entrypoint);
    buf_done(&c->command);
    buf_done(&c->env);
    buf_done(&c->labels);
    buf_done(&c->changes);
}

static bool begins_with(strv list, strv beginning) {
    return beginning.bytes <= list.bytes && (beginning.bytes == 0 || memcmp(list.at, beginning.at, beginning.bytes) == 0);
}

/* The box has one list, of which the image's entrypoint may be the beginning. */
static bool split_command(commit *c) {
    strv argv = c->record.argv, entrypoint = c->image.entrypoint;
    if (argv.bytes == 0) /* it is kept without one */
        return buf_append(&c->entrypoint, entrypoint.at, entrypoint.bytes) &&
               buf_append(&c->command, c->image.command.at, c->image.command.bytes);
    size_t own = begins_with(argv, entrypoint) ? entrypoint.bytes : 0;
    return buf_append(&c->entrypoint, argv.at, own) && buf_append(&c->command, argv.at + own, argv.bytes - own);
}

/* Without what every box gets for itself, unless the image has it too. */
static bool keep_variables(commit *c) {
    char host[256];
    (void) snprintf(host, sizeof(host), "HOSTNAME=%s", c->record.hostname);
    for (const char *item = strv_next(c->record.env, NULL); item; item = strv_next(c->record.env, item)) {
        bool own = (strcmp(item, host) == 0 && !strv_env_get(c->image.env, "HOSTNAME")) ||
                   (c->record.tty && strcmp(item, "TERM=xterm") == 0 && !strv_env_get(c->image.env, "TERM"));
        if (!own && !strv_add(&c->env, item))
            return false;
    }
    return true;
}

static const char *stop_signal_of(commit *c) {
    int number = (int) c->record.stop_signal;
    if (number == (*c->image.stop_signal ? nb_signal_number(c->image.stop_signal) : SIGTERM))
        return c->image.stop_signal;
    const char *name = sigabbrev_np(number);
    if (name)
        (void) snprintf(c->stop_signal, sizeof(c->stop_signal), "SIG%s", name);
    else
        (void) snprintf(c->stop_signal, sizeof(c->stop_signal), "%d", number);
    return c->stop_signal;
}

static int make_config(commit *c, nb_error *err) {
    if (!split_command(c) || !keep_variables(c) || !strv_env_merge(&c->labels, c->image.labels, c->record.labels))
        return c->entrypoint.no_memory || c->command.no_memory || c->env.no_memory
                   ? nb_fail_oom(err)
                   : nb_fail_full(err, &c->labels, "the box's command, environment or labels are too long for an image");
    c->config = image_config_of(&c->image);
    c->config.entrypoint = strv_of(&c->entrypoint);
    c->config.command = strv_of(&c->command);
    c->config.env = strv_of(&c->env);
    c->config.labels = strv_of(&c->labels);
    c->config.user = wire_str(c->record.user);
    if (strcmp(c->record.cwd, "/") != 0 || *c->image.cwd)
        c->config.cwd = wire_str(c->record.cwd);
    c->config.stop_signal = wire_str(stop_signal_of(c));
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------ the commit */

static int import_disk(commit *c, const image_settings *settings, arena *a, image_record *ret_image, nb_error *err) {
    int ends[2];
    feeder f = {.to = -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "make a socket pair");
    CLEANUP(cleanup_fd) int source = ends[0];
    f.to = ends[1];
    int result = disk_reader_open(c->box, &f.reader, err);
    const channel_work from_box = {.until_readable = feed, .user = &f};
    import_order order = {.kind = WIRE_IMAGE_ROOTFS,
                          .source = source,
                          .feed = &from_box,
                          .tag = "",
                          .architecture = host_architecture(),
                          .config = &c->config,
                          .changes = strv_of(&c->changes),
                          .settings = settings,
                          .event = "commit",
                          .until = deadline_in(image_settings_time_ms(settings))};
    if (result == 0)
        result = image_import_named(c->box->runtime, &order, c->name, "", a, ret_image, err);
    disk_reader_done(&f.reader);
    (void) fd_close(f.to);
    return result;
}

/* With the box visited. The lock is for the import alone, so that others need not wait for a machine to start. */
static int commit_visited(commit *c, arena *a, image_record *ret_image, nb_error *err) {
    nb_runtime *rt = c->box->runtime;
    image_settings settings;
    int result = image_settings_load(&settings, err);
    if (result < 0)
        return result;
    CLEANUP(cleanup_fd) int lock = image_import_lock(rt, image_settings_time_ms(&settings), err);
    if (lock < 0)
        return lock;
    result = import_disk(c, &settings, a, ret_image, err);
    lock = fd_close(lock);
    if (result == 0)
        image_make_room(rt, &settings, ret_image->id);
    return result;
}

static int commit_box(commit *c, arena *a, image_record *ret_image, nb_error *err) {
    nb_start_options visit = NB_START_OPTIONS_INIT;
    nb_error why;
    visit.visit = visit.bare = true;
    int result = box_read_record(c->box, a, &c->record, err);
    if (result == 0)
        result = store_find_image(c->box->runtime->store, c->record.image_id, a, &c->image, err);
    if (result == 0)
        result = make_config(c, err);
    if (result == 0)
        result = nb_box_start(c->box, &visit, NULL, err);
    if (result < 0)
        return result == -NB_E_INVALID_STATE ? nb_fail_hint(err, result, "stop it first") : result;
    result = commit_visited(c, a, ret_image, err);
    int stopped = nb_box_stop(c->box, 0, &why);
    if (result == 0 && stopped < 0) /* it is recorded; but a visit that does not end is not passed over */
        log_warning(&c->box->runtime->log, "box: %s", why.message);
    return result;
}

int nb_box_commit(nb_box *box, const nb_commit_options *options, nb_image_info **ret_image, nb_error *err) {
    nb_commit_options o;
    if (!box || !ret_image)
        return nb_fail(err, NB_E_INVALID, 0, "commit a box: an argument is NULL");
    int result = options_take(&o, sizeof(o), options, "nb_commit_options", err);
    if (result < 0)
        return result;
    arena a = {0};
    image_record image;
    commit c;
    commit_init(&c, box);
    CLEANUP(cleanup_free) char *name = NULL;
    if (o.name && *o.name) {
        result = image_name_for_tag(o.name, &name, err);
        c.name = name;
    }
    if (result == 0)
        result = options_add_strings(&c.changes, o.changes, "changes", err);
    if (result == 0)
        result = nb_fail_within(err, commit_box(&c, &a, &image, err), "commit box '%s'", box->called);
    if (result == 0)
        result = image_give(&image, ret_image, err);
    commit_done(&c);
    arena_done(&a);
    return result;
}
