/* SPDX-License-Identifier: Apache-2.0
 *
 * image-settings.h - what the host's user says of images: images.json
 *
 *   {"max_bytes": "20g", "max_layers": 128, "max_seconds": 600}
 */
#ifndef RUNTIME_IMAGE_SETTINGS_H
#define RUNTIME_IMAGE_SETTINGS_H

#include "base/clock.h"
#include "wire/image-limits.h"

#include <nestbox/error.h>

/* For one image, from when nobody else is at work on the home's images. An hour is the longest sensible pull; a week lets every one pass. */
#define IMAGE_SECONDS_DEFAULT 3600u
#define IMAGE_SECONDS_MAX (7u * 24 * 3600)
/* More than any file system of one host has. */
#define IMAGE_STORE_MAX_BYTES (UINT64_C(1) << 50)

typedef struct image_settings {
    image_limits limits; /* what the workers hold images to; complete */
    uint64_t max_seconds;
    uint64_t store_max_bytes; /* what all images together may take; 0: as much as there is */
} image_settings;

/* Reads the first of $NESTBOX_IMAGES, $XDG_CONFIG_HOME/nestbox/images.json, ~/.config/nestbox/images.json and /etc/nestbox/images.json that
 * exists; none is fine. 0; -NB_E_INVALID: it is there and wrong; -NB_E_NOT_FOUND: $NESTBOX_IMAGES is not there; -NB_E_STORAGE,
 * -NB_E_NO_MEMORY. */
int image_settings_load(image_settings *ret_settings, nb_error *err);

/* As many milliseconds as an image may take, for a lock or a deadline. */
static inline int64_t image_settings_time_ms(const image_settings *settings) {
    return (int64_t) settings->max_seconds * 1000;
}

/* The error of work that took longer. -NB_E_TIMEOUT. */
int image_settings_time_is_over(const image_settings *settings, nb_error *err);

#endif
