/* SPDX-License-Identifier: Apache-2.0
 *
 * import.h - makes a base disk of an image
 */
#ifndef IMAGE_IMPORT_H
#define IMAGE_IMPORT_H

#include "base/strv.h"
#include "image/config.h"
#include "image/limits.h"
#include "image/stream.h"
#include "wire/message.h"

typedef struct import_request {
    int kind; /* WIRE_IMAGE_... */
    int source_fd;
    int disk_fd;              /* an empty file, read-write */
    const char *reference;    /* empty: the only one */
    const char *architecture; /* OCI's name; empty: whatever it is */
    image_limits limits;      /* 0: the default, each */
    wire_bytes config;        /* of a root file system: an encoded IMAGE_CONFIG */
    strv changes;             /* to it (image/changes.h) */
    const image_watch *watch;
} import_request;

typedef struct import_result {
    char id[DIGEST_TEXT_SIZE];
    char *name; /* owned, never NULL */
    image_config config;
    uint64_t disk_bytes, content_bytes;
} import_result;

void import_result_done(import_result *result);

/* Blocks until the disk is written. On failure its file holds rubbish. Errors: whatever manifest.h, layer.h, folder.h and ext4.h give, and
 * -NB_E_INVALID for an unknown kind or a limit that cannot be. */
int image_import(const import_request *request, import_result *ret_result, nb_error *err);

#endif
