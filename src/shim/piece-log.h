/* SPDX-License-Identifier: Apache-2.0
 *
 * piece-log.h - a bounded log of pieces with their times: what the main command wrote, which execs have ended
 *
 * A file of pieces, each with a header: u64 wall clock in ms, u32 length, u8 kind (the main log's: 1 stdout, 2 stderr), 3 zero bytes; little
 * endian.
 */
#ifndef SHIM_PIECE_LOG_H
#define SHIM_PIECE_LOG_H

#include <stddef.h>
#include <stdint.h>

#define PIECE_LOG_HEADER_BYTES 16u

/* A box that writes without end must not fill the host's disk: at its maximum the file becomes NAME PIECE_LOG_OLD_SUFFIX, replacing the one
 * before, and a new one begins. So between one and two such files are there. */
#define PIECE_LOG_OLD_SUFFIX ".1"
#define PIECE_LOG_NAME_MAX 32

typedef struct piece_log {
    int folder;
    const char *name;
    uint64_t max_bytes;
    int fd; /* -1: not open, or given up after a failed write */
    uint64_t length;
} piece_log;

/* Begins empty files for a new run.
 *
 * @name  static; at most PIECE_LOG_NAME_MAX characters
 * 0, or -1 with errno. */
int piece_log_begin(piece_log *log, int folder, const char *name, uint64_t max_bytes);

/* Appends a piece. -1 with errno: the disk is full, say; the log then ends here and the box goes on. */
int piece_log_write(piece_log *log, unsigned kind, const void *bytes, size_t length);

void piece_log_done(piece_log *log);

#endif
