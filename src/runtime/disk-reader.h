/* SPDX-License-Identifier: Apache-2.0
 *
 * disk-reader.h - what is on a box's disk, as a tar archive that its guest writes
 *
 * The disk may hold anything, so nothing on the host looks into it: the guest's kernel mounts it, and the guest's copier packs it.
 */
#ifndef RUNTIME_DISK_READER_H
#define RUNTIME_DISK_READER_H

#include "base/error.h"
#include "base/log.h"

#include <nestbox/nestbox.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct disk_reader {
    nb_exec *exec;
    const log_sink *log;
    bool ended;
    char line[NB_ERROR_MESSAGE_SIZE]; /* the last that the copier said */
    size_t line_bytes;
    bool line_whole;
} disk_reader;

/* Begins to read the disk of a running box, all but what is mounted over it. */
int disk_reader_open(nb_box *box, disk_reader *ret_reader, nb_error *err);
void disk_reader_done(disk_reader *r);

/* The next piece of the archive, until the next call; none within @timeout_ms gives no bytes, and so does the end, which sets @r->ended. 0, or
 * -NB_E_STORAGE with the copier's own words, or as nb_exec_next(). */
int disk_reader_next(disk_reader *r, int64_t timeout_ms, const uint8_t **ret_bytes, size_t *ret_length, nb_error *err);

#endif
