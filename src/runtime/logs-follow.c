/* SPDX-License-Identifier: Apache-2.0
 *
 * logs-follow.c - reading what a box's main command writes, while it writes
 *
 * Theory of operation
 *   The box's folder is watched by inotify(7), which tells of all that matters: pieces are added to the log, a full one is moved aside and another
 *   begun, the shim lets go of the lock. Whether the box still runs is asked before the log is read, so that what it wrote before its end is
 *   not missed. The log that is read stays open when it is moved aside.
 */
#include "runtime/logs.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "runtime/box.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file system that tells nothing (some over a network) is looked at after this. */
#define LOOK_MS 10000

typedef struct follower {
    int folder, events; /* borrowed */
    piece_reader reader;
    log_writer *write;
    void *user;
    nb_error *err;
} follower;

/* All that the open log has now. */
static int read_on(follower *f) {
    return f->reader.fd >= 0 ? pieces_read(&f->reader, f->write, f->user, f->err) : 0;
}

/* Goes over to the log that has taken the open one's place, if one has: that will not grow any more, and is read to its end. */
static int change_logs(follower *f, bool *ret_changed) {
    CLEANUP(cleanup_fd) int current = -1;
    int result = log_open(f->folder, LOG_MAIN_FILE, &current, f->err);
    *ret_changed = false;
    if (result < 0 || current < 0 || log_is_same_file(current, f->reader.fd))
        return result;
    result = read_on(f);
    if (result != 0)
        return result;
    (void) fd_close(f->reader.fd);
    f->reader.fd = take_fd(&current);
    *ret_changed = true;
    return 0;
}

/* Whether the log was begun anew under us: the box runs again. */
static bool is_another_run(const follower *f) {
    struct stat status;
    return f->reader.fd >= 0 && fstat(f->reader.fd, &status) == 0 && lseek(f->reader.fd, 0, SEEK_CUR) > status.st_size;
}

static int read_all(follower *f) {
    int result;
    bool changed;
    do {
        changed = false;
        result = read_on(f);
        if (result == 0)
            result = change_logs(f, &changed);
    } while (changed);
    return result;
}

static void wait_for_news(const follower *f, deadline until) {
    _Alignas(struct inotify_event) char drop[sizeof(struct inotify_event) + NAME_MAX + 1];
    int left = deadline_left_ms(until);
    struct pollfd readable = {.fd = f->events, .events = POLLIN};
    (void) poll(&readable, 1, left < 0 || left > LOOK_MS ? LOOK_MS : left);
    while (read(f->events, drop, sizeof(drop)) > 0)
        ;
}

static int follow(nb_box *box, follower *f, deadline until) {
    int result = 0;
    while (result == 0) {
        box_status status;
        result = box_status_read(f->folder, &box->runtime->log, &status, f->err);
        if (result < 0)
            return result;
        bool live = status.live;
        box_status_done(&status);
        result = read_all(f);
        if (result != 0 || !live || is_another_run(f))
            return result;
        if (deadline_passed(until))
            return nb_fail(f->err, NB_E_TIMEOUT, 0, "follow the log: the box still runs");
        wait_for_news(f, until);
    }
    return result;
}

int nb_box_logs_follow(nb_box *box, log_writer *write, void *user, int64_t timeout_ms, nb_error *err) {
    if (!box || !write)
        return nb_fail(err, NB_E_INVALID, 0, "follow a box's log: an argument is NULL");
    CLEANUP(cleanup_fd) int folder = box_open_folder(box->runtime, box->id, err);
    if (folder < 0)
        return folder;
    char path[64];
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", folder);
    CLEANUP(cleanup_fd) int events = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (events < 0 || inotify_add_watch(events, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "watch the folder of box '%s'", box->called);
    follower f = {.folder = folder, .events = events, .reader = {.fd = -1}, .write = write, .user = user, .err = err};
    /* What was moved aside before is read first, and never again. */
    int result = log_open(folder, LOG_MAIN_FILE ".1", &f.reader.fd, err);
    if (result == 0)
        result = follow(box, &f, deadline_in(timeout_ms));
    piece_reader_done(&f.reader);
    return nb_fail_within(err, result, "box '%s'", box->called);
}
