/* SPDX-License-Identifier: Apache-2.0
 *
 * logs.h - reading what a box's shim has logged
 */
#ifndef RUNTIME_LOGS_H
#define RUNTIME_LOGS_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_MAIN_FILE "main.log"

/* Takes one piece; a result other than 0 ends the reading and is returned. */
typedef int log_writer(void *user, int kind, uint64_t at_ms, const void *bytes, size_t length);

typedef struct piece_reader {
    int fd; /* owned */
    uint8_t *bytes;
    size_t capacity;
} piece_reader;

/* Gives out all whole pieces that there are; the descriptor then stands behind the last. A torn piece at the end is what a full disk, a crash or a
 * write that goes on has left: the log ends before it. -NB_E_NO_MEMORY. */
int pieces_read(piece_reader *reader, log_writer *write, void *user, nb_error *err);
void piece_reader_done(piece_reader *reader);

/* @ret_fd  -1: it was never begun */
int log_open(int folder, const char *name, int *ret_fd, nb_error *err);
bool log_is_same_file(int a, int b);

/* Reads a log of pieces (src/shim/piece-log.h) and the one before it, oldest first. One that was never begun is empty. */
int log_read_pieces(int folder, const char *name, log_writer *write, void *user, nb_error *err);

#endif
