/* SPDX-License-Identifier: Apache-2.0
 *
 * utf8.c - what is UTF-8 and what is not
 */
#include "base/utf8.h"

#include "base/size.h"

static bool is_between(uint8_t byte, uint8_t low, uint8_t high) {
    return byte >= low && byte <= high;
}

size_t utf8_length(const uint8_t *at) {
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
        if (!is_between(at[0], forms[i].first_low, forms[i].first_high))
            continue;
        if (!is_between(at[1], forms[i].second_low, forms[i].second_high))
            return 0;
        for (size_t k = 2; k < forms[i].length; k++) {
            if (!is_between(at[k], 0x80, 0xbf)) /* the NUL at the end is none, so nothing is read beyond it */
                return 0;
        }
        return forms[i].length;
    }
    return 0;
}

bool utf8_is_valid(const char *text) {
    const uint8_t *at = (const uint8_t *) text;
    while (*at) {
        size_t length = utf8_length(at);
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}
