/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch.h - brings an image from a registry into a folder of blobs
 */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#include "base/buf.h"
#include "fetch/download.h"
#include "image/document.h"

typedef struct fetch_request {
    const settings *settings;
    const char *auth_file;
    const char *registry, *repository;
    const char *reference; /* a tag or a digest */
    bool unqualified;      /* nobody named the registry */
    image_platform platform;
    image_limits limits;      /* complete: image_limits_take() */
    uint64_t store_max_bytes; /* what all images together may take; 0: no limit */
    int folder;
    const http_watch *watch;
    const download_watch *progress;
} fetch_request;

typedef struct fetch_result {
    char registry[SETTINGS_HOST_SIZE]; /* the one that had it */
    digest manifest, config;
    buf blobs; /* a packed list of digests; buf_done() */
} fetch_result;

/* Asks the registry's mirrors first, then itself; where nobody named one, each that the settings search. Blocks. The errors are those of
 * registry.h and download.h, of the registry that was asked last. */
int fetch_image(const fetch_request *request, fetch_result *ret_result, nb_error *err);

#endif
