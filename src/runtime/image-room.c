/* SPDX-License-Identifier: Apache-2.0
 *
 * image-room.c - keeps what images take below the size that images.json sets
 *
 * Theory of operation
 *   Who has stored an image makes room afterwards, under the locks of the layout and of imports: nobody else is then between finding an
 *   image here and recording that he uses it, and blobs can go with their images. Who makes room is done in a moment; who has one of
 *   the locks for longer is storing an image himself, and will make room when he has; where he fails, whoever stores the next one does. So
 *   the wait for them is short, and giving up is no loss.
 *
 *   What images take are their base disks and their blobs. Blobs that no image has, left by a pull that was interrupted, go first.
 */
#include "runtime/image-room.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "runtime/image-import.h"
#include "runtime/image.h"
#include "runtime/pull.h"
#include "runtime/usage.h"

#include <inttypes.h>
#include <string.h>

/* Longer than removing some large files takes. */
#define ROOM_WAIT_MS 5000

int image_room_fits(const image_settings *settings, uint64_t bytes, nb_error *err) {
    if (!settings->store_max_bytes || bytes <= settings->store_max_bytes)
        return 0;
    return nb_fail_hint(err,
                        nb_fail(err, NB_E_EXHAUSTED, 0,
                                "keep the image: it takes %" PRIu64 " bytes, more than the %" PRIu64 " that all may", bytes,
                                settings->store_max_bytes),
                        "raise store_max_bytes in images.json (docs/images.md)");
}

/* One turn of making room. */
typedef struct room {
    nb_runtime *rt;
    const image_settings *settings;
    const char *stored_id;
    const char *built_in_id; /* "": it is not here */
    uint64_t taken;          /* bytes, now */
} room;

static bool is_enough(const room *r) {
    return r->taken <= r->settings->store_max_bytes;
}

/* Takes away one image that no box is made from, with its blobs. */
static int evict(room *r, const image_record *image, arena *a, nb_error *err) {
    strv blobs = {0};
    bool gone = false;
    int result = image_forget(r->rt, image, a, &blobs, &gone, err);
    if (result == -NB_E_INVALID_STATE) /* a box was made from it just now */
        return 0;
    if (!gone)
        return result;
    log_info(&r->rt->log, "image: removed '%s', which was used longest ago, to keep images below %" PRIu64 " bytes", image->id,
             r->settings->store_max_bytes);
    pull_sweep_held(r->rt, blobs, SWEEP_FORGOTTEN);
    return result < 0 ? result : usage_of_stored_images(r->rt, &r->taken, err);
}

static int evict_unused(room *r, bool built_in, arena *a, nb_error *err) {
    image_record *images = NULL;
    size_t count = 0;
    int result = is_enough(r) ? 0 : store_list_unused_images(r->rt->store, a, &images, &count, err);
    for (size_t i = 0; result == 0 && i < count && !is_enough(r); i++) {
        bool is_built_in = strcmp(images[i].id, r->built_in_id) == 0;
        if (is_built_in == built_in && strcmp(images[i].id, r->stored_id) != 0)
            result = evict(r, &images[i], a, err);
    }
    return result;
}

static int make_room(room *r, arena *a, nb_error *err) {
    image_record built_in;
    int result = usage_of_stored_images(r->rt, &r->taken, err);
    if (result < 0 || is_enough(r))
        return result;
    pull_sweep_held(r->rt, (strv){0}, SWEEP_ALL);
    r->built_in_id = store_find_image(r->rt->store, BUILT_IN_IMAGE, a, &built_in, NULL) == 0 ? built_in.id : "";
    if ((result = usage_of_stored_images(r->rt, &r->taken, err)) < 0 || (result = evict_unused(r, false, a, err)) < 0 ||
        (result = evict_unused(r, true, a, err)) < 0)
        return result;
    if (!is_enough(r))
        log_warning(&r->rt->log,
                    "image: images take %" PRIu64 " bytes, more than store_max_bytes (%" PRIu64 "): boxes are made from them, so they stay",
                    r->taken, r->settings->store_max_bytes);
    return 0;
}

void image_make_room(nb_runtime *rt, const image_settings *settings, const char *stored_id) {
    room r = {.rt = rt, .settings = settings, .stored_id = stored_id};
    nb_error err = {0};
    if (!settings->store_max_bytes)
        return;
    CLEANUP(cleanup_fd) int layout = pull_lock(rt, ROOM_WAIT_MS, &err);
    CLEANUP(cleanup_fd) int lock = layout < 0 ? -1 : image_import_lock(rt, ROOM_WAIT_MS, &err);
    if (lock < 0) {
        log_info(&rt->log, "image: leaving it to another program to keep images below their size: %s", err.message);
        return;
    }
    arena a = {0};
    if (make_room(&r, &a, &err) < 0)
        log_warning(&rt->log, "image: images take more than store_max_bytes (%" PRIu64 "): %s, keeping them", settings->store_max_bytes,
                    err.message);
    arena_done(&a);
}
