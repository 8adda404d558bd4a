/* SPDX-License-Identifier: Apache-2.0
 *
 * logs.h - reading what a box's shim has logged
 */
#ifndef RUNTIME_LOGS_H
#define RUNTIME_LOGS_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Takes one piece; a result other than 0 ends the reading and is returned. */
typedef int log_writer(void *user, int kind, uint64_t at_ms, const void *bytes, size_t length);

/* Reads a log of pieces (src/shim/piece-log.h) and the one before it, oldest first. One that was never begun is empty. */
int log_read_pieces(int folder, const char *name, log_writer *write, void *user, nb_error *err);

#endif
