/* SPDX-License-Identifier: Apache-2.0
 *
 * box-text.c - a box's command and status as ps shows them
 */
#include "cli/box-text.h"

#include "base/cleanup.h"
#include "cli/text.h"
#include "cli/when.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The words with a blank between them. Freed by the caller; NULL: out of memory. */
static char *join(nb_strings words) {
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    if (!stream)
        return NULL;
    for (size_t i = 0; i < words.count; i++)
        (void) fprintf(stream, "%s%s", i > 0 ? " " : "", words.items[i]);
    if (fclose(stream) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* What printf makes of it, or NULL: out of memory. */
__attribute__((format(printf, 1, 2))) static char *format_text(const char *format, ...) {
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return length < 0 ? NULL : text;
}

static char *escape_and_cut(const char *text, size_t width, bool whole) {
    char *escaped = text_escape(text);
    if (!escaped || whole)
        return escaped;
    char *cut = text_cut(escaped, width);
    free(escaped);
    return cut;
}

char *box_command_text(nb_strings command, bool whole) {
    CLEANUP(cleanup_free) char *joined = join(command);
    CLEANUP(cleanup_free) char *shown = joined ? escape_and_cut(joined, BOX_COMMAND_WIDTH, whole) : NULL;
    return shown ? format_text("\"%s\"", shown) : NULL;
}

static char *stopped_text(const nb_box_info *box, const char *ago) {
    if (box->cause == NB_END_CRASH)
        return format_text("Crashed %s ago", ago);
    if (box->has_exit)
        return format_text("Exited (%d) %s ago", box->exit_code, ago);
    return format_text("Stopped %s ago", ago);
}

/* As docker ps has it. */
static const char *health_text(nb_health health) {
    switch (health) {
    case NB_HEALTH_STARTING:
        return " (health: starting)";
    case NB_HEALTH_HEALTHY:
        return " (healthy)";
    case NB_HEALTH_UNHEALTHY:
        return " (unhealthy)";
    case NB_HEALTH_NONE:
        break;
    }
    return "";
}

char *box_status_text(const nb_box_info *box, uint64_t now_ms, bool whole) {
    char since_start[WHEN_TEXT_SIZE], since_end[WHEN_TEXT_SIZE];
    when_span(when_since_ms(box->started_at_ms, now_ms), since_start);
    when_span(when_since_ms(box->finished_at_ms, now_ms), since_end);
    switch (box->state) {
    case NB_BOX_CREATED:
        return strdup("Created");
    case NB_BOX_STARTING:
        return box->next_start_at_ms ? format_text("Restarting (%d) %s ago", box->exit_code, since_end) : strdup("Starting");
    case NB_BOX_RUNNING:
        return format_text("Up %s%s", since_start, health_text(box->health));
    case NB_BOX_STOPPING:
        return strdup("Stopping");
    case NB_BOX_STOPPED:
        return stopped_text(box, since_end);
    case NB_BOX_FAILED: {
        CLEANUP(cleanup_free) char *reason = escape_and_cut(box->message, BOX_REASON_WIDTH, whole);
        return reason ? format_text("Failed: %s", reason) : NULL;
    }
    }
    return strdup(nb_box_state_name(box->state)); /* of a newer library */
}
