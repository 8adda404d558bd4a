/* SPDX-License-Identifier: Apache-2.0
 *
 * writer.h - writing tar archives: entries in, bytes out
 *
 * POSIX.1-2008 pax ("pax Interchange Format"): a ustar header each, and before it an extended header where ustar has no room for what is to be
 * said. GNU tar, bsdtar, Go's archive/tar (docker, podman), Python's tarfile and reader.h read the same from it.
 */
#ifndef TAR_WRITER_H
#define TAR_WRITER_H

#include "tar/reader.h"

/* Where the bytes go. 0, or a negative code, which the writer's functions then return. */
typedef struct tar_output {
    int (*write)(void *user, const void *bytes, size_t length, nb_error *err);
    void *user;
} tar_output;

typedef struct tar_writer tar_writer;

tar_writer *tar_writer_new(tar_output output); /* NULL: out of memory */
void tar_writer_free(tar_writer *writer);
CLEANUP_DEFINE(tar_writer, tar_writer_free)

/* Begins an entry; all that the last one promised must have been written. Of @entry, stored and position do not count.
 *
 * @map  of a sparse file, where it has data, ascending; @map_count may be 0 (all of it is a hole). Otherwise NULL.
 * 0, -NB_E_INVALID (a name that no archive can hold), -NB_E_NO_MEMORY, -NB_E_INTERNAL (the last entry's data is not complete), or what the output
 * returned. */
int tar_put(tar_writer *writer, const tar_entry *entry, const tar_piece *map, size_t map_count, nb_error *err);

/* Data of the entry, a file: of a sparse one, of its pieces one after the other. -NB_E_INTERNAL: more than was promised. */
int tar_write(tar_writer *writer, const void *bytes, size_t length, nb_error *err);

/* Marks the archive's end, and hands out what is still buffered. */
int tar_finish(tar_writer *writer, nb_error *err);

#endif
