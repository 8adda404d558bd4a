/* SPDX-License-Identifier: Apache-2.0
 *
 * writer.h - writing tar archives: entries in, bytes out
 *
 * What GNU tar, libarchive, Python's tarfile, Go's archive/tar and the reader beside this read as the same. One entry after the other:
 *
 *     tar_put(writer, &entry, err);
 *     tar_write(writer, bytes, length, err);   until all of its data is there
 *     tar_finish(writer, err);                 after the last
 */
#ifndef TAR_WRITER_H
#define TAR_WRITER_H

#include "base/cleanup.h"
#include "tar/entry.h"

#include <nestbox/error.h>

#include <stddef.h>

/* Where the bytes go. */
typedef struct tar_output {
    /* Takes all of the bytes: 0, or a negative code. Headers come in blocks of 512, data as tar_write() gets it. */
    int (*write)(void *user, const void *bytes, size_t length, nb_error *err);
    void *user;
} tar_output;

typedef struct tar_writer tar_writer;

tar_writer *tar_writer_new(tar_output output); /* NULL: out of memory */
void tar_writer_free(tar_writer *writer);
CLEANUP_DEFINE(tar_writer, tar_writer_free)

/* Begins an entry. Of @entry, which is not needed afterwards, neither "stored" nor "position" is looked at; a folder's name gets the slash
 * at its end that it may lack. A file's data follows with tar_write(): "size" bytes, or as many as the pieces of its map have together.
 *
 * 0; -NB_E_INVALID: no archive can say this, or no reader would understand it; -NB_E_EXHAUSTED: more extended attributes or longer names
 * than limits.h allows, or a map of more pieces than fit (written as a file without holes, it has none). After both nothing was written,
 * and the archive can be gone on with. Or what the output returned; or -NB_E_INTERNAL: called out of turn. */
int tar_put(tar_writer *writer, const tar_entry *entry, nb_error *err);

/* The next bytes of the entry's data. A file that became shorter while it was read is filled up by the caller: the size is already in the
 * archive. 0, what the output returned, or -NB_E_INTERNAL with nothing written: there are more bytes than the entry was to have. */
int tar_write(tar_writer *writer, const void *bytes, size_t length, nb_error *err);

/* Ends the archive. 0, what the output returned, or -NB_E_INTERNAL: the last entry's data is not all there. */
int tar_finish(tar_writer *writer, nb_error *err);

#endif
