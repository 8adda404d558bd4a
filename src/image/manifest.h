/* SPDX-License-Identifier: Apache-2.0
 *
 * manifest.h - which image of a source is meant, and what it consists of
 */
#ifndef IMAGE_MANIFEST_H
#define IMAGE_MANIFEST_H

#include "image/document.h"
#include "image/source.h"

/* How blobs are named. */
enum manifest_style {
    MANIFEST_OCI = 1, /* an OCI image layout: index.json, blobs/ALGORITHM/HEX */
    MANIFEST_FLAT,    /* skopeo's "dir:": manifest.json, HEX */
    MANIFEST_DOCKER,  /* docker save: manifest.json names the files */
};

typedef struct manifest_blob {
    char *path; /* in the source; owned */
    blob_promise promise;
} manifest_blob;

typedef struct manifest {
    char *name; /* the tag it was found by, or empty; owned */
    manifest_blob config;
    manifest_blob *layers; /* owned */
    size_t layer_count;
} manifest;

void manifest_done(manifest *m);

/* @reference  a tag, or empty where there is only one image to choose
 * @platform   chooses among the platforms of one image
 * 0; -NB_E_NOT_FOUND with what there is; -NB_E_INVALID: the reference is empty and there are several; -NB_E_IMAGE, -NB_E_STORAGE,
 * -NB_E_NO_MEMORY. */
int manifest_select(const source *s, enum manifest_style style, const char *reference, const image_platform *platform,
                    manifest *ret_manifest, nb_error *err);

/* The same in an OCI layout whose manifest is known by its digest. */
int manifest_find(const source *s, const digest *of_manifest, manifest *ret_manifest, nb_error *err);

/* Reads one document as manifest_select() does its last: bytes in, manifest out. OCI or Docker schema 2. */
int manifest_parse(const char *text, size_t length, enum manifest_style style, manifest *ret_manifest, nb_error *err);

#endif
