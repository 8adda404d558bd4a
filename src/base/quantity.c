/* SPDX-License-Identifier: Apache-2.0
 *
 * quantity.c - sizes, durations and counts as people type and read them
 */
#include "base/quantity.h"

#include "base/size.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DECIMAL 10u

/* The digits at the start of @text. NULL when there are none or they do not fit, else where they end. */
static const char *read_digits(const char *text, uint64_t *ret_value) {
    uint64_t value = 0;
    const char *at = text;
    for (; isdigit((unsigned char) *at); at++) {
        if (__builtin_mul_overflow(value, DECIMAL, &value) || __builtin_add_overflow(value, (uint64_t) (*at - '0'), &value))
            return NULL;
    }
    if (at == text)
        return NULL;
    *ret_value = value;
    return at;
}

bool quantity_count(const char *text, uint64_t min, uint64_t max, uint64_t *ret_count) {
    uint64_t value = 0;
    const char *end = read_digits(text, &value);
    if (!end || *end != '\0' || value < min || value > max)
        return false;
    *ret_count = value;
    return true;
}

bool quantity_millis(const char *text, uint64_t *ret_millis) {
    uint64_t whole = 0, part = 0, millis;
    const char *end = read_digits(text, &whole);
    if (!end || __builtin_mul_overflow(whole, 1000u, &millis))
        return false;
    if (*end == '.') {
        const char *decimals = end + 1;
        end = read_digits(decimals, &part);
        if (!end || end - decimals > 3)
            return false;
        for (long digits = end - decimals; digits < 3; digits++)
            part *= 10;
    }
    if (*end != '\0' || __builtin_add_overflow(millis, part, &millis))
        return false;
    *ret_millis = millis;
    return true;
}

bool quantity_size(const char *text, uint64_t *ret_bytes) {
    static const char suffixes[] = "kmg";
    uint64_t value = 0, bytes;
    const char *end = read_digits(text, &value);
    if (!end)
        return false;
    unsigned shift = 0;
    if (*end != '\0') {
        const char *suffix = strchr(suffixes, tolower((unsigned char) *end));
        if (!suffix || end[1] != '\0')
            return false;
        shift = 10u * (unsigned) (suffix - suffixes + 1);
    }
    if (__builtin_mul_overflow(value, UINT64_C(1) << shift, &bytes))
        return false;
    *ret_bytes = bytes;
    return true;
}

bool quantity_duration(const char *text, int64_t *ret_ms) {
    static const struct {
        const char *suffix;
        uint64_t ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}};
    uint64_t value = 0;
    const char *end = read_digits(text, &value);
    if (!end)
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(units); i++) {
        int64_t ms;
        if (strcasecmp(end, units[i].suffix) != 0)
            continue;
        if (__builtin_mul_overflow(value, units[i].ms, &ms))
            return false;
        *ret_ms = ms;
        return true;
    }
    return false;
}

void quantity_size_text(uint64_t bytes, char ret_text[QUANTITY_SIZE_TEXT_SIZE]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    const double step = 1024;
    double value = (double) bytes;
    size_t unit = 0;
    while (value >= step && unit + 1 < ARRAY_LENGTH(units)) {
        value /= step;
        unit++;
    }
    (void) snprintf(ret_text, QUANTITY_SIZE_TEXT_SIZE, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}
