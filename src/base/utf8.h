/* SPDX-License-Identifier: Apache-2.0
 *
 * utf8.h - what is UTF-8 and what is not
 *
 * By the table of the Unicode standard (3.9, table 3-7): no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length of the valid sequence at @at, NUL-terminated text; 0 where there is none. A NUL is a sequence of 1. */
size_t utf8_length(const uint8_t *at);

bool utf8_is_valid(const char *text);

#endif
