/* SPDX-License-Identifier: Apache-2.0
 *
 * when.c - points in time as people read and write them
 */
#include "cli/when.h"

#include "base/quantity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MS_PER_SECOND 1000u

/* 1970-04-26 and later: nobody means that many seconds ago. */
#define EPOCH_DIGITS_MIN 8

void when_rfc3339(uint64_t at_ms, char ret_text[WHEN_TEXT_SIZE]) {
    time_t seconds = (time_t) (at_ms / MS_PER_SECOND);
    struct tm tm;
    char text[WHEN_TEXT_SIZE];
    if (!gmtime_r(&seconds, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
        (void) snprintf(ret_text, WHEN_TEXT_SIZE, "9999-12-31T23:59:59.999Z"); /* beyond the years that RFC 3339 can write */
        return;
    }
    (void) snprintf(ret_text, WHEN_TEXT_SIZE, "%.40s.%03uZ", text, (unsigned) (at_ms % MS_PER_SECOND));
}

void when_span(uint64_t span_ms, char ret_text[WHEN_TEXT_SIZE]) {
    enum { MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR, WEEK = 7 * DAY, MONTH = 30 * DAY, YEAR = 365 * DAY };
    /* The first that fits counts; every unit begins at two of it, the ones before have words of their own. */
    static const struct {
        uint64_t from, unit;
        const char *words; /* with the number where the unit is not 0 */
    } spans[] = {
        {2 * YEAR, YEAR, "years"}, {2 * MONTH, MONTH, "months"}, {2 * WEEK, WEEK, "weeks"},       {2 * DAY, DAY, "days"},
        {2 * HOUR, HOUR, "hours"}, {HOUR, 0, "About an hour"},   {2 * MINUTE, MINUTE, "minutes"}, {MINUTE, 0, "About a minute"},
        {2, 1, "seconds"},         {1, 0, "1 second"},           {0, 0, "Less than a second"},
    };
    uint64_t seconds = span_ms / MS_PER_SECOND;
    size_t i = 0;
    while (seconds < spans[i].from)
        i++;
    if (spans[i].unit)
        (void) snprintf(ret_text, WHEN_TEXT_SIZE, "%" PRIu64 " %s", seconds / spans[i].unit, spans[i].words);
    else
        (void) snprintf(ret_text, WHEN_TEXT_SIZE, "%s", spans[i].words);
}

/* "2024-05-31T12:00:00[.fraction]Z" */
static bool parse_rfc3339(const char *text, uint64_t *ret_ms) {
    struct tm tm = {0};
    uint64_t fraction = 0;
    const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!at)
        return false;
    if (*at == '.') {
        uint64_t weight = MS_PER_SECOND / 10;
        size_t digits = strspn(++at, "0123456789");
        if (digits == 0)
            return false;
        for (size_t i = 0; i < digits; i++, weight /= 10)
            fraction += (uint64_t) (at[i] - '0') * weight;
        at += digits;
    }
    time_t seconds = timegm(&tm);
    if (strcmp(at, "Z") != 0 || seconds < 0)
        return false;
    *ret_ms = (uint64_t) seconds * MS_PER_SECOND + fraction;
    return true;
}

bool when_parse(const char *text, uint64_t now_ms, uint64_t *ret_ms) {
    uint64_t seconds;
    int64_t ago_ms;
    if (strlen(text) >= EPOCH_DIGITS_MIN && quantity_count(text, 0, UINT64_MAX / MS_PER_SECOND, &seconds)) {
        *ret_ms = seconds * MS_PER_SECOND;
        return true;
    }
    if (quantity_duration(text, &ago_ms)) {
        *ret_ms = (uint64_t) ago_ms < now_ms ? now_ms - (uint64_t) ago_ms : 0;
        return true;
    }
    return parse_rfc3339(text, ret_ms);
}
