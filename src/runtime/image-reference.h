/* SPDX-License-Identifier: Apache-2.0
 *
 * image-reference.h - where an image is to come from
 */
#ifndef RUNTIME_IMAGE_REFERENCE_H
#define RUNTIME_IMAGE_REFERENCE_H

#include "base/error.h"

#include <stdint.h>

typedef struct image_reference {
    uint8_t kind; /* WIRE_IMAGE_..., 0: a name */
    char *path;   /* absolute, of the file or folder; NULL for a name */
    char *tag;    /* "" where there is none */
} image_reference;

/* Takes "oci:DIR[:TAG]", "oci-archive:FILE[:TAG]", "docker-archive:FILE[:REF]", "rootfs:FILE", "dir:PATH" apart; everything else is a name.
 * A path that holds colons is taken whole where such a file exists. -NB_E_INVALID, -NB_E_NOT_FOUND (nothing is at the path). */
int image_reference_parse(const char *text, image_reference *ret_reference, nb_error *err);
void image_reference_done(image_reference *reference);

#endif
