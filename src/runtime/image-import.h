/* SPDX-License-Identifier: Apache-2.0
 *
 * image-import.h - a base disk made by a worker, published and recorded
 */
#ifndef RUNTIME_IMAGE_IMPORT_H
#define RUNTIME_IMAGE_IMPORT_H

#include "runtime/image-settings.h"
#include "runtime/image-worker.h"
#include "runtime/runtime.h"
#include "wire/message.h"

/* What an import is made of. */
typedef struct import_order {
    uint8_t kind;                   /* WIRE_IMAGE_... */
    int source;                     /* borrowed */
    const channel_work *feed;       /* that brings the source's bytes; NULL: they are there */
    const char *tag;                /* as IMPORT's reference */
    const char *architecture;       /* "": whatever it is for */
    const msg_image_config *config; /* of a root file system; NULL for what brings its own */
    strv changes;                   /* to it: a Dockerfile's instructions */
    const image_settings *settings;
    const char *event;    /* what the home's log of events calls this */
    deadline until;       /* when it must be done */
    uint64_t blobs_bytes; /* what the image takes besides its disk */
} import_order;

/* One import at a time per home: nothing is made twice. The descriptor that holds the lock, or -NB_E_.... */
int image_import_lock(nb_runtime *rt, int64_t wait_ms, nb_error *err);

/* Imports and records under @name, or under what the archive itself calls it where that is "". Under the lock. -NB_E_EXHAUSTED and -NB_E_TIMEOUT
 * say which of the settings it went beyond; otherwise as image_worker_ask(). Nothing stays of what failed. */
int image_import_named(nb_runtime *rt, const import_order *order, const char *name, const char *source, arena *a, image_record *ret_image,
                       nb_error *err);

#endif
