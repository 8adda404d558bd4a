/* SPDX-License-Identifier: Apache-2.0
 *
 * pull.h - images from registries
 */
#ifndef RUNTIME_PULL_H
#define RUNTIME_PULL_H

#include "runtime/image-name.h"
#include "runtime/image.h"

/* Fetches what is missing of the image, makes its base disk where there is none, and records it as @recorded_name. */
int image_pull(nb_runtime *rt, const image_name *name, const char *recorded_name, const image_wish *wish, arena *a, image_record *ret_image,
               nb_error *err);

/* Removes blobs that belong to no image, unless somebody is pulling: those of @forgotten at once, others when nobody has asked for them for a
 * day. */
void pull_sweep(nb_runtime *rt, strv forgotten);

/* One pull, and one sweep, at a time per home. The descriptor that holds the lock, or -NB_E_.... */
int pull_lock(nb_runtime *rt, int64_t wait_ms, nb_error *err);

enum sweep_what {
    SWEEP_FORGOTTEN, /* as pull_sweep() */
    SWEEP_ALL,       /* every blob that belongs to no image; what has come of one until now stays as long as with the other */
};
/* For who holds that lock. */
void pull_sweep_held(nb_runtime *rt, strv forgotten, enum sweep_what what);

#endif
