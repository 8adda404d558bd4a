/* SPDX-License-Identifier: Apache-2.0
 *
 * text.c - strings from outside (users, images, guests) made fit for a terminal or for JSON
 *
 * UTF-8 is checked by the table of the Unicode standard (3.9, table 3-7): no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#include "cli/text.h"

#include "base/size.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ELLIPSIS "\xe2\x80\xa6"
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* The longest that one byte of input becomes: "\u009b" for two bytes, "\xff" for one, U+FFFD for one. */
#define GROWTH_MAX 4

static bool is_tail(uint8_t byte, uint8_t low, uint8_t high) {
    return byte >= low && byte <= high;
}

/* The length of the valid sequence at @at, NUL-terminated text; 0 where there is none. */
static size_t sequence_length(const uint8_t *at) {
    static const struct {
        uint8_t first_low, first_high, second_low, second_high;
        size_t length;
    } forms[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
        {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    if (at[0] < 0x80)
        return 1;
    for (size_t i = 0; i < ARRAY_LENGTH(forms); i++) {
        if (!is_tail(at[0], forms[i].first_low, forms[i].first_high))
            continue;
        if (!is_tail(at[1], forms[i].second_low, forms[i].second_high))
            return 0;
        for (size_t k = 2; k < forms[i].length; k++) {
            if (!is_tail(at[k], 0x80, 0xbf)) /* the NUL at the end is none, so nothing is read beyond it */
                return 0;
        }
        return forms[i].length;
    }
    return 0;
}

static char *allocate_for(const char *text) {
    size_t bytes;
    if (!mul_size(strlen(text), GROWTH_MAX, &bytes) || !add_size(bytes, 1, &bytes))
        return NULL;
    return malloc(bytes);
}

/* Writes what stands on a terminal for the character of @length bytes at @at (0: a byte that is no UTF-8) and returns its end. */
static char *escape_one(char *to, const uint8_t *at, size_t length) {
    static const char digits[] = "0123456789abcdef";
    bool is_c1 = length == 2 && at[0] == 0xc2 && at[1] < 0xa0;
    if (length == 1 && (at[0] == '\n' || at[0] == '\t' || at[0] == '\r')) {
        *to++ = '\\';
        *to++ = at[0] == '\n' ? 'n' : at[0] == '\t' ? 't' : 'r';
    } else if (length == 0 || (length == 1 && (at[0] < ' ' || at[0] == 0x7f)) || is_c1) {
        uint8_t value = is_c1 ? at[1] : at[0];
        const char *start = is_c1 ? "\\u00" : "\\x";
        to = stpcpy(to, start);
        *to++ = digits[value >> 4];
        *to++ = digits[value & 0xf];
    } else {
        memcpy(to, at, length);
        to += length;
    }
    return to;
}

char *text_escape(const char *text) {
    char *copy = allocate_for(text), *to = copy;
    if (!copy)
        return NULL;
    for (const uint8_t *at = (const uint8_t *) text; *at;) {
        size_t length = sequence_length(at);
        to = escape_one(to, at, length);
        at += length ? length : 1;
    }
    *to = '\0';
    return copy;
}

char *text_utf8(const char *text) {
    char *copy = allocate_for(text), *to = copy;
    if (!copy)
        return NULL;
    for (const uint8_t *at = (const uint8_t *) text; *at;) {
        size_t length = sequence_length(at);
        const void *from = length ? (const void *) at : REPLACEMENT;
        size_t bytes = length ? length : sizeof(REPLACEMENT) - 1;
        memcpy(to, from, bytes);
        to += bytes;
        at += length ? length : 1;
    }
    *to = '\0';
    return copy;
}

size_t text_width(const char *text) {
    size_t width = 0;
    for (const char *at = text; *at; at++)
        width += ((uint8_t) *at & 0xc0) != 0x80;
    return width;
}

char *text_cut(const char *text, size_t width) {
    if (text_width(text) <= width)
        return strdup(text);
    const char *at = text;
    for (size_t shown = 0; shown + 1 < width; shown++)
        at += sequence_length((const uint8_t *) at);
    char *copy = NULL;
    if (asprintf(&copy, "%.*s" ELLIPSIS, (int) (at - text), text) < 0)
        return NULL;
    return copy;
}
