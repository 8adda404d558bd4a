/* SPDX-License-Identifier: Apache-2.0
 *
 * reader.h - reading tar archives: bytes in, entries out
 *
 * Knows ustar, PAX (POSIX.1-2008, pax, "pax Interchange Format") and GNU tar, sparse files of each included. Names are bytes and stay
 * as they are; what a C string cannot hold is refused.
 */
#ifndef TAR_READER_H
#define TAR_READER_H

#include "base/cleanup.h"
#include "tar/entry.h"

#include <nestbox/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the bytes come from. */
typedef struct tar_input {
    /* Reads up to @size bytes. 0 and how many, none at the end; or a negative code. */
    int (*read)(void *user, void *into, size_t size, size_t *ret_length, nb_error *err);
    /* Passes over bytes without reading them; NULL: they are read. */
    int (*skip)(void *user, uint64_t length, nb_error *err);
    void *user;
} tar_input;

typedef struct tar_reader tar_reader;

tar_reader *tar_reader_new(tar_input input); /* NULL: out of memory */
void tar_reader_free(tar_reader *reader);
CLEANUP_DEFINE(tar_reader, tar_reader_free)

/* The next entry, valid until the call after this, passing over what is left of the one before. 1: an entry; 0: the end; -NB_E_IMAGE: no
 * archive, damaged, cut short, or of a kind that is not known; or what the input returned. */
int tar_next(tar_reader *reader, const tar_entry **ret_entry, nb_error *err);

/* The next piece of the entry's data, at most one buffer; length 0 at the end. The bytes are valid until the next call. */
int tar_read(tar_reader *reader, const uint8_t **ret_bytes, size_t *ret_length, uint64_t *ret_offset, nb_error *err);

/* Whether the end was marked by a block of zeros, as it must be where nothing else tells a whole archive from half of one. */
bool tar_end_was_marked(const tar_reader *reader);

#endif
