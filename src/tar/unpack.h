/* SPDX-License-Identifier: Apache-2.0
 *
 * unpack.h - an archive, into files and folders
 */
#ifndef TAR_UNPACK_H
#define TAR_UNPACK_H

#include "tar/reader.h"

#include <stdbool.h>

/* Where an archive's entries go. */
typedef struct tar_place {
    int folder;      /* owned by who asked for the place */
    char name[256];  /* what the first component of all entries becomes; "." drops it */
    bool as_it_says; /* every entry keeps its whole name */
} tar_place;

typedef struct tar_unpack_options {
    /* Called with the first entry, before anything is made; says where it goes, or fails with a negative code. */
    int (*place)(void *user, const tar_entry *first, tar_place *ret_place, nb_error *err);
    /* What could not be kept or was left out, as a sentence; may be NULL. */
    void (*on_notice)(void *user, const char *sentence);
    void *user;
    /* Whoever wrote the archive is not trusted with what is outside of its place: no symbolic link is followed on the way to an entry, and its
     * devices, setuid bits and file capabilities do not come into being. Otherwise links are followed, wherever they lead. */
    bool confined;
    bool owners;     /* as the archive has them; otherwise whatever is made is the caller's */
    bool past_cache; /* large files go to their disk past the page cache */
} tar_unpack_options;

/* Makes what the archive says. What is there already is replaced; but a folder never by something else, nor something else by a folder.
 * A file that could not be written whole is removed. ".." in a name is an error, and so is, unless the place says otherwise, a first
 * component that is not that of the first entry.
 *
 * 0, or -NB_E_IMAGE (no archive, or damaged), -NB_E_INVALID (names that lead out, a folder against a file), -NB_E_STORAGE, -NB_E_PERMISSION,
 * -NB_E_NO_MEMORY, or what the reader's input or @place returned. */
int tar_unpack(tar_reader *reader, const tar_unpack_options *options, nb_error *err);

#endif
