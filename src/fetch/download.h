/* SPDX-License-Identifier: Apache-2.0
 *
 * download.h - the blobs of an image, several at a time
 */
#ifndef FETCH_DOWNLOAD_H
#define FETCH_DOWNLOAD_H

#include "fetch/registry.h"
#include "image/digest.h"

/* Whom it is told how far each blob is: "waiting", "fetching", "fetched", "here already". */
typedef struct download_watch {
    bool (*is_due)(void *user); /* asked before what is not new but further */
    void (*tell)(void *user, const char *what, const digest *blob, uint64_t done_bytes, uint64_t total_bytes);
    void *user;
} download_watch;

/* Brings all blobs into the folder that are not there yet; a digest may stand in the list twice. What has come stays there when it fails,
 * and is gone on with the next time.
 *
 * 0; -NB_E_IMAGE (not to be had, or not what was promised), -NB_E_NOT_FOUND, -NB_E_PERMISSION, -NB_E_EXHAUSTED (the registry's limit),
 * -NB_E_STORAGE, -NB_E_NO_MEMORY. */
int download_blobs(registry *r, int folder, const blob_promise *promises, size_t count, const download_watch *watch, nb_error *err);

#endif
