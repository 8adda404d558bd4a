/* SPDX-License-Identifier: Apache-2.0
 *
 * event.c - lines of the log of events: whatever a line holds, what is understood of it is whole
 */
#include "base/event-log.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void check(int condition) {
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    buf attributes;
    event_record event;
    char *line = malloc(length + 1);
    check(line != NULL);
    if (length > 0)
        memcpy(line, bytes, length);
    line[length] = '\n';
    buf_init(&attributes, length + 1);
    if (event_line_parse(line, length, &attributes, &event)) {
        check(event.at_ms > 0 && *event.kind && *event.action && *event.subject);
        check(strv_is_valid(event.attributes));
        for (const char *text = NULL; (text = strv_next(event.attributes, text));)
            check(strchr(text, '=') != NULL);
    }
    buf_done(&attributes);
    free(line);
    return 0;
}
