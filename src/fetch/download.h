/* SPDX-License-Identifier: Apache-2.0
 *
 * download.h - the blobs of an image, several at a time
 */
#ifndef FETCH_DOWNLOAD_H
#define FETCH_DOWNLOAD_H

#include "fetch/registry.h"
#include "image/digest.h"

/* Called while bytes come: how many of the blobs are whole, and how many bytes of all of them are there. */
typedef void download_progress(void *user, size_t done, size_t count, uint64_t done_bytes, uint64_t total_bytes);

/* Brings all blobs into the folder that are not there yet; a digest may stand in the list twice. What has come stays there when it fails,
 * and is gone on with the next time.
 *
 * 0; -NB_E_IMAGE (not to be had, or not what was promised), -NB_E_NOT_FOUND, -NB_E_PERMISSION, -NB_E_EXHAUSTED (the registry's limit),
 * -NB_E_STORAGE, -NB_E_NO_MEMORY. */
int download_blobs(registry *r, int folder, const blob_promise *promises, size_t count, download_progress *progress, void *user,
                   nb_error *err);

#endif
