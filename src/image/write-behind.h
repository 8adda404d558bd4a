/* SPDX-License-Identifier: Apache-2.0
 *
 * write-behind.h - writing a file while the next bytes are made: two buffers, and a thread that writes the one that is not being filled
 *
 * What is given is written in the order of giving. Where no thread can be had, it is written by who gives it.
 */
#ifndef IMAGE_WRITE_BEHIND_H
#define IMAGE_WRITE_BEHIND_H

#include <stddef.h>
#include <stdint.h>

typedef struct write_behind write_behind;

/* @fd            borrowed
 * @buffer_bytes  of each of the two
 * NULL: out of memory. */
write_behind *write_behind_new(int fd, size_t buffer_bytes);
/* What was given and is not written yet is not written any more. */
void write_behind_free(write_behind *w);

/* The buffer to fill; another one after each write_behind_give(). */
uint8_t *write_behind_buffer(write_behind *w);

/* Has the first @length bytes of the buffer written at @offset. Waits until what was given before is written. 0, or the errno of a write that
 * failed, which may be an earlier one's; nothing is written after that. */
int write_behind_give(write_behind *w, size_t length, uint64_t offset);

/* Waits until everything is written. 0, or the errno of a write that failed. */
int write_behind_finish(write_behind *w);

#endif
