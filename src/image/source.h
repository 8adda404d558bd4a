/* SPDX-License-Identifier: Apache-2.0
 *
 * source.h - where the documents and blobs of an image lie: a folder, or a tar archive of one
 */
#ifndef IMAGE_SOURCE_H
#define IMAGE_SOURCE_H

#include "base/cleanup.h"
#include "image/stream.h"

#include <stdbool.h>

typedef struct source source;

/* @fd                  borrowed. An archive is read once, for the places of its members; its bytes are read there later.
 * @document_max_bytes  of each of its documents
 * 0, -NB_E_IMAGE (no archive, or a compressed one; too many members), -NB_E_STORAGE, -NB_E_NO_MEMORY. */
int source_open_folder(int fd, uint64_t document_max_bytes, source **ret_source, nb_error *err);
int source_open_archive(int fd, uint64_t document_max_bytes, const image_watch *watch, source **ret_source, nb_error *err);
void source_free(source *s);
CLEANUP_DEFINE(source, source_free)

/* Opens a file by its path in the source. In a folder no symbolic link is followed, and only regular files count; in an archive links
 * lead to other members. 0 with *ret_found false: there is none. -NB_E_IMAGE: a path that leads out, or no regular file. */
int source_find(const source *s, const char *path, bool *ret_found, blob *ret_blob, nb_error *err);

/* Like source_find(), and what is not there is -NB_E_IMAGE. */
int source_open(const source *s, const char *path, blob *ret_blob, nb_error *err);

/* Reads a whole document, NUL-terminated, and checks it; the caller frees it. -NB_E_EXHAUSTED: beyond the limit that the source was opened with;
 * otherwise as source_open() and blob_read(). */
int source_read_document(const source *s, const char *path, const blob_promise *promise, char **ret_text, size_t *ret_length,
                         nb_error *err);

#endif
