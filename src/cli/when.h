/* SPDX-License-Identifier: Apache-2.0
 *
 * when.h - points in time as people read and write them; all are wall clock, milliseconds since 1970
 */
#ifndef CLI_WHEN_H
#define CLI_WHEN_H

#include <stdbool.h>
#include <stdint.h>

#define WHEN_TEXT_SIZE 48
#define WHEN_FORM "a time such as 2024-05-31T12:00:00Z, seconds since 1970, or a duration ago such as 10m"

/* RFC 3339 in UTC with milliseconds: "2024-05-31T12:00:00.250Z". */
void when_rfc3339(uint64_t at_ms, char ret_text[WHEN_TEXT_SIZE]);

/* How long that is, in words: "Less than a second", "42 seconds", "About an hour", "3 weeks". */
void when_span(uint64_t span_ms, char ret_text[WHEN_TEXT_SIZE]);

/* How long before @now_ms that was: the span; a time that is still to come counts as now (clocks are set back). */
static inline uint64_t when_since_ms(uint64_t at_ms, uint64_t now_ms) {
    return at_ms < now_ms ? now_ms - at_ms : 0;
}

/* RFC 3339 with Z, the same without fraction, a bare number of eight digits or more (seconds since 1970), or a duration before
 * @now_ms. False: none of these. */
bool when_parse(const char *text, uint64_t now_ms, uint64_t *ret_ms);

#endif
