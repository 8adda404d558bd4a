/* SPDX-License-Identifier: Apache-2.0
 *
 * box-mount.c - mounts that come to a box, and go, after it was made
 *
 * Theory of operation
 *   The record says what the box is to have, the shim makes it so where the box runs. What is added is recorded first and taken out again when
 *   the shim could not mount it; what is removed goes from the box first. A program that is killed in between leaves a record that holds from
 *   the next start on.
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "runtime/box.h"
#include "runtime/channel.h"
#include "runtime/connect.h"
#include "runtime/embedded.h"
#include "runtime/event.h"
#include "runtime/mount.h"

#include <errno.h>
#include <string.h>

/* A mount waits for those before it, and for what is in the way of its target. */
#define MOUNT_TIMEOUT_MS 120000

/* ------------------------------------------------------------------------------------------------------------ the record */

static int add_to_record(void *user, strv before, buf *after, nb_error *err) {
    return buf_append(after, before.at, before.bytes) ? mounts_keep(user, after, err) : nb_fail_oom(err);
}

static int take_from_record(void *user, strv before, buf *after, nb_error *err) {
    const char *target = user;
    mount_words words = {0};
    bool found = false;
    while (mount_next(before, &words)) {
        if (strcmp(words.target, target) == 0)
            found = true;
        else if (!strv_add(after, words.kind) || !strv_add(after, words.source) || !strv_add(after, words.target) ||
                 !strv_add(after, words.options))
            return nb_fail_oom(err);
    }
    return found ? 0 : nb_fail(err, NB_E_NOT_FOUND, 0, "nothing is mounted at '%s'", target);
}

/* A named volume must not be on its way out meanwhile (volume.c). */
static int change_record(nb_box *box, int (*change)(void *user, strv before, buf *after, nb_error *err), void *user, nb_error *err) {
    CLEANUP(cleanup_fd) int lock = home_lock(box->runtime, err);
    return lock < 0 ? lock : store_change_mounts(box->runtime->store, box->id, change, user, err);
}

/* ------------------------------------------------------------------------------------------------------------- the shim */

/* -NB_E_STOPPED: the box does not run, and that is fine. */
static int ask(nb_box *box, buf *question, nb_error *err) {
    const uint8_t *message;
    size_t length;
    msg_mounted mounted;
    CLEANUP(cleanup_fd) int folder = box_open_folder(box->runtime, box->id, err);
    if (folder < 0)
        return folder;
    int result = connect_ask(folder, deadline_in(MOUNT_TIMEOUT_MS), question, &message, &length, err);
    if (result == 0 && wire_decode_mounted(message, length, &mounted) < 0)
        result = channel_failed(message, length, err);
    return result;
}

static int mount_now(nb_box *box, strv record, nb_error *err) {
    nb_runtime *rt = box->runtime;
    CLEANUP(buf_done) buf words, question;
    CLEANUP(cleanup_free) char *files = NULL;
    buf_init(&words, MOUNT_RECORD_MAX_BYTES);
    buf_init(&question, WIRE_READ_BUFFER_BYTES);
    int result = mounts_order(rt, record, &words, err);
    int program = result < 0 ? result : home_program(rt, &embedded_files, &files, err);
    if (program < 0)
        return program;
    (void) fd_close(program);
    if (!wire_control(&question, wire_encode_mount, (&(msg_mount){.words = strv_of(&words), .files = wire_str(files)})))
        return nb_fail_oom(err);
    return ask(box, &question, err);
}

static int unmount_now(nb_box *box, const char *target, nb_error *err) {
    CLEANUP(buf_done) buf question;
    buf_init(&question, WIRE_READ_BUFFER_BYTES);
    if (!wire_control(&question, wire_encode_unmount, (&(msg_unmount){.target = wire_str(target)})))
        return nb_fail_full(err, &question, "unmount '%.64s...': the path is too long", target);
    return ask(box, &question, err);
}

/* ----------------------------------------------------------------------------------------------------------- the calls */

static int mount(nb_box *box, const nb_mount *wanted, nb_error *err) {
    CLEANUP(buf_done) buf record;
    nb_mounts one = {wanted, 1};
    mount_words words = {0};
    buf_init(&record, MOUNT_RECORD_MAX_BYTES);
    int result = mounts_keep(&one, &record, err);
    if (result == 0)
        result = change_record(box, add_to_record, &one, err);
    if (result < 0)
        return result;
    result = mount_now(box, strv_of(&record), err);
    if (!mount_next(strv_of(&record), &words))
        return result;
    if (result < 0 && result != -NB_E_STOPPED) {
        (void) change_record(box, take_from_record, (void *) words.target, NULL);
        return result;
    }
    event_tell_one(box->runtime, EVENT_BOX, "mount", box->id, "target=", words.target);
    return 0;
}

int nb_box_mount(nb_box *box, const nb_mount *wanted, nb_error *err) {
    if (!box || !wanted)
        return nb_fail(err, NB_E_INVALID, 0, "mount in a box: an argument is NULL");
    return nb_fail_within(err, mount(box, wanted, err), "box '%s'", box->called);
}

static int unmount(nb_box *box, const char *target, nb_error *err) {
    CLEANUP(cleanup_free) char *clean = NULL;
    arena a = {0};
    box_record record;
    mount_words words = {0};
    int result = mount_target_clean(target, &clean, err);
    if (result < 0)
        return result;
    result = box_read_record(box, &a, &record, err);
    while (result == 0 && mount_next(record.mounts, &words) && strcmp(words.target, clean) != 0)
        ;
    if (result == 0 && (!words.target || strcmp(words.target, clean) != 0))
        result = nb_fail(err, NB_E_NOT_FOUND, 0, "nothing is mounted at '%s'", clean);
    arena_done(&a);
    if (result == 0)
        result = unmount_now(box, clean, err);
    if (result == 0 || result == -NB_E_STOPPED || result == -NB_E_NOT_FOUND)
        result = change_record(box, take_from_record, clean, err);
    if (result == 0)
        event_tell_one(box->runtime, EVENT_BOX, "unmount", box->id, "target=", clean);
    return result;
}

int nb_box_unmount(nb_box *box, const char *target, nb_error *err) {
    if (!box || !target)
        return nb_fail(err, NB_E_INVALID, 0, "unmount in a box: an argument is NULL");
    return nb_fail_within(err, unmount(box, target, err), "box '%s'", box->called);
}
