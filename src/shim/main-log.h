/* SPDX-License-Identifier: Apache-2.0
 *
 * main-log.h - what the main command wrote, kept for `nestbox logs`
 *
 * A file of pieces, each with a header: u64 wall clock in ms, u32 length, u8 stream (1 stdout, 2 stderr), 3 zero bytes; little endian.
 */
#ifndef SHIM_MAIN_LOG_H
#define SHIM_MAIN_LOG_H

#include <stddef.h>
#include <stdint.h>

#define MAIN_LOG_HEADER_BYTES 16u

/* A box that writes without end must not fill the host's disk: at this size the file becomes MAIN_LOG_OLD_FILE, replacing the one before, and a
 * new one begins. So between one and two such files are there. */
#define MAIN_LOG_MAX_BYTES ((uint64_t) 8 << 20)
#define MAIN_LOG_OLD_FILE "main.log.1"

typedef struct main_log {
    int folder;
    int fd; /* -1: not open, or given up after a failed write */
    uint64_t length;
} main_log;

/* Begins empty files for a new run. 0, or -1 with errno. */
int main_log_begin(main_log *log, int folder, const char *name);

/* Appends a piece. -1 with errno: the disk is full, say; the log then ends here and the box goes on. */
int main_log_write(main_log *log, unsigned stream, const void *bytes, size_t length);

void main_log_done(main_log *log);

#endif
