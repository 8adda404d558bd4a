/* SPDX-License-Identifier: Apache-2.0
 *
 * pack.h - files and folders, into an archive
 */
#ifndef TAR_PACK_H
#define TAR_PACK_H

#include "tar/writer.h"

#include <stdbool.h>

typedef struct tar_pack_options {
    bool follow;     /* a symbolic link at the given path itself is what it points to; below it links stay links */
    bool past_cache; /* large files come from their disk past the page cache */
    /* What is left out, as a sentence; may be NULL. */
    void (*on_notice)(void *user, const char *sentence);
    void *user;
} tar_pack_options;

/* Writes an archive of what is at @path and all below it: kinds, permission bits, owners, times, extended attributes, hard links among them,
 * holes. Sockets, and what no archive can say, are left out. A file that changes meanwhile gives as many bytes as it had at first.
 *
 * The first entry is that of @path itself, under its last component's name, or "." where that is "." or "/": "etc/", "etc/hosts". So the
 * receiver knows what it gets, and may give it another name.
 *
 * 0, or -NB_E_NOT_FOUND, -NB_E_STORAGE, -NB_E_PERMISSION, -NB_E_EXHAUSTED (too deep), -NB_E_NO_MEMORY, or what the writer's output returned. */
int tar_pack(tar_output output, const char *path, const tar_pack_options *options, nb_error *err);

#endif
