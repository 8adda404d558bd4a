/* SPDX-License-Identifier: Apache-2.0
 *
 * image-room.h - keeps what images take below the size that images.json sets
 */
#ifndef RUNTIME_IMAGE_ROOM_H
#define RUNTIME_IMAGE_ROOM_H

#include "runtime/image-settings.h"
#include "runtime/runtime.h"

/* Whether an image fits at all: 0, or -NB_E_EXHAUSTED when it alone takes more than all may.
 *
 * @bytes  its base disk and its blobs */
int image_room_fits(const image_settings *settings, uint64_t bytes, nb_error *err);

/* Removes images until the rest fits: those that no box is made from, what was used longest ago first, the built-in image last.
 *
 * @stored_id  the image that was just stored, which stays
 * Without any of the locks of images and blobs held. What cannot be removed is logged: nothing here makes what was stored a failure. */
void image_make_room(nb_runtime *rt, const image_settings *settings, const char *stored_id);

#endif
