/* SPDX-License-Identifier: Apache-2.0
 *
 * document.h - indexes and manifests (OCI image-spec; Docker's manifest list and schema 2): bytes in, structs out, no I/O
 */
#ifndef IMAGE_DOCUMENT_H
#define IMAGE_DOCUMENT_H

#include "image/digest.h"
#include "image/limits.h"

#include <nestbox/error.h>

#include <stdbool.h>
#include <stddef.h>

/* What an image is to run on, by OCI's names; the operating system is always linux. */
typedef struct image_platform {
    const char *architecture; /* "amd64"; "": any, if there is only one */
    const char *variant;      /* "v8"; "": any */
} image_platform;

/* An index leads to another document; a manifest names what an image consists of. */
typedef struct document {
    bool is_index;

    /* An index: which of its documents is meant. */
    blob_promise chosen;
    char *chosen_name; /* by its annotation, or NULL; owned */

    /* A manifest. */
    blob_promise config;
    blob_promise *layers; /* owned */
    size_t layer_count;
} document;

void document_done(document *d);

/* @title      names the document in messages
 * @reference  chooses by name in an index; "": there must be only one; NULL: names do not count
 * 0; -NB_E_NOT_FOUND with what there is; -NB_E_INVALID: there are several; -NB_E_IMAGE, -NB_E_NO_MEMORY. */
int document_read(const char *text, size_t length, const char *title, const char *reference, const image_platform *platform,
                  document *ret_document, nb_error *err);

/* For a person: adds "'text'" to a list of choices; what no longer fits becomes dots. */
#define DOCUMENT_CHOICES_SIZE 700 /* nb_error's message is 1 KiB */
void document_add_choice(char choices[DOCUMENT_CHOICES_SIZE], const char *text);

#endif
