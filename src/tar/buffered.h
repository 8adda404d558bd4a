/* SPDX-License-Identifier: Apache-2.0
 *
 * buffered.h - an output that hands on much at a time
 */
#ifndef TAR_BUFFERED_H
#define TAR_BUFFERED_H

#include "tar/writer.h"

#include <stdint.h>

#define TAR_BUFFERED_BYTES ((size_t) 64 << 10)

/* Archives of small files come in headers, data and padding of some hundred bytes each. */
typedef struct tar_buffered {
    tar_output to;
    size_t used;
    uint8_t bytes[TAR_BUFFERED_BYTES];
} tar_buffered;

/* A tar_output's write, with the tar_buffered as its user. */
int tar_buffered_write(void *buffered, const void *bytes, size_t length, nb_error *err);
/* What is still held, at the end. */
int tar_buffered_flush(tar_buffered *buffered, nb_error *err);

#endif
