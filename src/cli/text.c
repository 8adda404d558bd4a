/* SPDX-License-Identifier: Apache-2.0
 *
 * text.c - strings from outside (users, images, guests) made fit for a terminal or for JSON
 */
#include "cli/text.h"

#include "base/size.h"
#include "base/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ELLIPSIS "\xe2\x80\xa6"
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* The longest that one byte of input becomes: "\u009b" for two bytes, "\xff" for one, U+FFFD for one. */
#define GROWTH_MAX 4

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
        size_t length = utf8_length(at);
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
        size_t length = utf8_length(at);
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
        at += utf8_length((const uint8_t *) at);
    char *copy = NULL;
    if (asprintf(&copy, "%.*s" ELLIPSIS, (int) (at - text), text) < 0)
        return NULL;
    return copy;
}
