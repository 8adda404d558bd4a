/* SPDX-License-Identifier: Apache-2.0
 *
 * background.h - work on bytes while the next ones are made: two buffers, and a thread for the one that is not being filled
 *
 * What is given is worked on in the order of giving. Where no thread can be had, whoever gives it does the work.
 */
#ifndef IMAGE_BACKGROUND_H
#define IMAGE_BACKGROUND_H

#include "base/cleanup.h"

#include <stddef.h>
#include <stdint.h>

typedef struct background background;

/* Called in the thread, never twice at once. @offset is what background_give() was told. 0 or an errno. */
typedef int (*background_work)(void *user, const uint8_t *bytes, size_t length, uint64_t offset);

/* @user          borrowed, and the thread's between background_give() and background_finish()
 * @buffer_bytes  of each of the two
 * NULL: out of memory. */
background *background_new(background_work work, void *user, size_t buffer_bytes);
/* What was given and is not begun yet is not done any more. */
void background_free(background *b);
CLEANUP_DEFINE(background, background_free)

/* The buffer to fill; another one after each background_give(). */
uint8_t *background_buffer(background *b);

/* Hands over the first @length bytes of the buffer. Waits until what was given before is done. 0, or the errno of work that failed, which may be
 * an earlier piece's; nothing is done after that. */
int background_give(background *b, size_t length, uint64_t offset);

/* Waits until everything is done. 0, or the errno of work that failed. */
int background_finish(background *b);

#endif
