/* SPDX-License-Identifier: Apache-2.0
 *
 * image-flatten.h - an image whose layers are not kept, as an image of one layer
 */
#ifndef RUNTIME_IMAGE_FLATTEN_H
#define RUNTIME_IMAGE_FLATTEN_H

#include "base/buf.h"
#include "runtime/image.h"

#define BLOB_DIGEST_SIZE (sizeof("sha512:") + 128)

/* Bytes, and what they are named by. */
typedef struct flat_blob {
    char digest[BLOB_DIGEST_SIZE];
    uint64_t size;
} flat_blob;

typedef struct flat_image {
    int layer_file; /* without a name; read from its beginning */
    flat_blob layer, config;
    char *config_text; /* image-spec, config.md */
} flat_image;

void flat_image_done(flat_image *flat);

/* Reads the image's base disk, by a box of its own that goes again, into a file without a name in the home. -NB_E_TIMEOUT: it takes longer than
 * images.json lets a load take. */
int image_flatten(nb_runtime *rt, const image_record *image, flat_image *ret_flat, nb_error *err);

/* Names bytes that are in memory. */
void flat_blob_of(const void *bytes, size_t length, flat_blob *ret_blob);

#endif
