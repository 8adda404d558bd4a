/* SPDX-License-Identifier: Apache-2.0
 *
 * blobs.h - the folder of blobs that images are made from: whole ones by digest, and those that are on their way
 *
 *   blobs/ALGORITHM/HEX   as in an OCI image layout; verified before it got this name
 *   parts/HEX             what has come of one until now
 */
#ifndef FETCH_BLOBS_H
#define FETCH_BLOBS_H

#include "image/digest.h"

#include <nestbox/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes what is missing of the folder. @folder: borrowed by everything here. */
int blobs_prepare(int folder, nb_error *err);

/* Whether it is there, byte for byte: a copy that is damaged is removed. 0, -NB_E_STORAGE, -NB_E_NO_MEMORY. */
int blobs_has(int folder, const blob_promise *promise, bool *ret_has, nb_error *err);

/* Keeps a document that has been verified. */
int blobs_put(int folder, const digest *of_text, const char *text, size_t length, nb_error *err);

/* A blob on its way. */
typedef struct part {
    int folder, fd; /* fd -1: none */
    blob_promise promise;
    hasher *hasher;
    uint64_t length; /* bytes that are there, and hashed */
} part;

/* Opens what has come of it until now, perhaps to another process. */
int part_open(int folder, const blob_promise *promise, part *ret_part, nb_error *err);
/* Bytes from @from on: the end of what is there, or 0 to begin anew. -NB_E_IMAGE: more than were promised, or a gap; -NB_E_STORAGE. */
int part_write(part *p, uint64_t from, const uint8_t *bytes, size_t length, nb_error *err);
/* Makes it a blob. -NB_E_IMAGE: it is not what was promised; nothing of it is kept. */
int part_finish(part *p, nb_error *err);
void part_done(part *p);

#endif
