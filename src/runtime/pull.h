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

#endif
