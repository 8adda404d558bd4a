/* SPDX-License-Identifier: Apache-2.0
 *
 * quantity.h - sizes, durations and counts as people type and read them
 *
 * Nothing is rounded, clamped or guessed: what is not wholly of the form is refused.
 */
#ifndef BASE_QUANTITY_H
#define BASE_QUANTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The accepted forms, for messages. */
#define QUANTITY_SIZE_FORM "bytes, or a whole number with k, m or g (powers of 1024), such as 512m"
#define QUANTITY_DURATION_FORM "plain seconds, or a whole number with ms, s, m or h, such as 500ms or 30s"

/* Digits only, from @min to @max. False: not of the form, or out of range. */
bool quantity_count(const char *text, uint64_t min, uint64_t max, uint64_t *ret_count);

/* "2", "0.5", "1.125" in thousandths: at most three decimals. False: not of the form, or more than fits 64 bits. */
bool quantity_millis(const char *text, uint64_t *ret_millis);

/* "1048576", "1024k", "512M", "2g". False: not of the form, or more than fits 64 bits. */
bool quantity_size(const char *text, uint64_t *ret_bytes);

/* "500ms", "30s", "5m", "1h", "30". False: not of the form, or more than fits in 63 bits of milliseconds. */
bool quantity_duration(const char *text, int64_t *ret_ms);

#define QUANTITY_SIZE_TEXT_SIZE 32

/* "817 B", "4.1 MiB". */
void quantity_size_text(uint64_t bytes, char ret_text[QUANTITY_SIZE_TEXT_SIZE]);

#endif
