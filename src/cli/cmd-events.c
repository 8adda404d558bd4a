/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-events.c - nestbox events: what happens in a home
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/size.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/text.h"
#include "cli/when.h"

#include <nestbox/events.h>

#include <stdio.h>
#include <string.h>

#define FILTER_FORM "box=NAME-OR-ID, event=NAME, image=NAME, label=KEY, label=KEY=VALUE, type=box|image|volume or volume=NAME"

/* Shorter ones are names. */
#define ID_PREFIX_MIN 4u

struct events_args {
    const char *since, *until, *format;
    bool no_stream;
    opt_list filters;
};

static const opt events_opts[] = {
    OPT_STRING('\0', "since", struct events_args, since, "TIME", NULL,
               "begin with what happened since then: RFC 3339, seconds since 1970, or 10m ago"),
    OPT_STRING('\0', "until", struct events_args, until, "TIME", NULL, "end with what happens until then"),
    OPT_LIST('f', "filter", struct events_args, filters, "KEY=VALUE", "only what fits; may be repeated"),
    OPT_FLAG('\0', "no-stream", struct events_args, no_stream, "end with what has happened, instead of waiting for more"),
    OPT_CHOICE('\0', "format", struct events_args, format, "table|json", "table", "form of a line"),
    OPT_END,
};

static const char *const filter_keys[] = {"box", "event", "image", "label", "type", "volume"};

/* ----------------------------------------------------------------------------------------------------------- filters */

/* What stands behind "KEY=" in @filter, or NULL. */
static const char *value_of(const char *filter, const char *key) {
    size_t length = strlen(key);
    return strncmp(filter, key, length) == 0 && filter[length] == '=' && filter[length + 1] ? filter + length + 1 : NULL;
}

static bool is_filter(const char *filter) {
    for (size_t i = 0; i < ARRAY_LENGTH(filter_keys); i++) {
        if (value_of(filter, filter_keys[i]))
            return true;
    }
    return false;
}

static bool has_label(nb_strings labels, const char *wanted) {
    size_t length = strlen(wanted);
    for (size_t i = 0; i < labels.count; i++) {
        const char *label = labels.items[i];
        if (strcmp(label, wanted) == 0 || (!strchr(wanted, '=') && strncmp(label, wanted, length) == 0 && label[length] == '='))
            return true;
    }
    return false;
}

/* Whether the event's subject is the @kind called @name: by its name, its id, or the beginning of that, which must be no accident. */
static bool is_called(const nb_runtime_event *event, const char *kind, const char *name) {
    size_t length = strlen(name);
    return strcmp(event->kind, kind) == 0 &&
           (strcmp(event->name, name) == 0 || (length >= ID_PREFIX_MIN && strncmp(event->id, name, length) == 0));
}

/* An image's name, with its tag or without. */
static bool is_image_name(const char *name, const char *wanted) {
    size_t length = strlen(wanted);
    return strncmp(name, wanted, length) == 0 && (name[length] == '\0' || name[length] == ':');
}

static bool fits(const nb_runtime_event *event, const char *key, const char *value) {
    if (strcmp(key, "box") == 0)
        return is_called(event, "box", value);
    if (strcmp(key, "event") == 0)
        return strcmp(event->action, value) == 0;
    if (strcmp(key, "image") == 0)
        return is_image_name(event->image, value) ||
               (strcmp(event->kind, "image") == 0 && (is_image_name(event->name, value) || is_called(event, "image", value)));
    if (strcmp(key, "label") == 0)
        return has_label(event->labels, value);
    if (strcmp(key, "type") == 0)
        return strcmp(event->kind, value) == 0;
    return strcmp(event->kind, "volume") == 0 && strcmp(event->id, value) == 0;
}

/* One of the filters of each key that was given. */
static bool is_wanted(const struct events_args *args, const nb_runtime_event *event) {
    for (size_t k = 0; k < ARRAY_LENGTH(filter_keys); k++) {
        bool asked = false, found = false;
        for (size_t i = 0; i < args->filters.count; i++) {
            const char *value = value_of(args->filters.items[i], filter_keys[k]);
            asked = asked || value;
            found = found || (value && fits(event, filter_keys[k], value));
        }
        if (asked && !found)
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------------------- printing */

static void print_pair(const char *key, const char *text, bool *first) {
    CLEANUP(cleanup_free) char *shown = text_escape(text);
    (void) printf("%s%s%s", *first ? " (" : ", ", key, shown ? shown : "?");
    *first = false;
}

static void print_pairs(nb_strings pairs, bool *first) {
    for (size_t i = 0; i < pairs.count; i++)
        print_pair("", pairs.items[i], first);
}

/* As docker has it: the time, what, to what, and in parentheses what is known of it. */
static void print_line(const nb_runtime_event *event) {
    char time[WHEN_TEXT_SIZE];
    bool first = true;
    when_rfc3339(event->at_ms, time);
    (void) printf("%s %s %s %s", time, event->kind, event->action, event->id);
    print_pairs(event->attributes, &first);
    print_pairs(event->labels, &first);
    if (*event->image)
        print_pair("image=", event->image, &first);
    if (*event->name)
        print_pair("name=", event->name, &first);
    (void) puts(first ? "" : ")");
}

static int print_events(cli *c, const struct events_args *args, const nb_events_options *options, nb_error *err) {
    nb_events *events = NULL;
    const nb_runtime_event *event = NULL;
    int r = nb_events_open(c->runtime, options, &events, err);
    while (r == 0) {
        r = nb_events_next(events, -1, &event, err);
        if (r < 0 || !event)
            break;
        if (!is_wanted(args, event))
            continue;
        if (strcmp(args->format, "json") == 0)
            r = json_print_line(json_of_event(event), stdout, err);
        else
            print_line(event);
        if (fflush(stdout) < 0)
            break; /* whoever read it has gone */
    }
    nb_events_free(events);
    return r;
}

static int events_run(cli *c, void *command_args, int argc, char **argv) {
    const struct events_args *args = command_args;
    nb_events_options options = NB_EVENTS_OPTIONS_INIT;
    nb_error err = {0};
    uint64_t now_ms = clock_wall_ms();
    if (args->since && !when_parse(args->since, now_ms, &options.since_ms))
        return cli_usage(c, "--since '%s': want " WHEN_FORM, args->since);
    if (args->until && !when_parse(args->until, now_ms, &options.until_ms))
        return cli_usage(c, "--until '%s': want " WHEN_FORM, args->until);
    for (size_t i = 0; i < args->filters.count; i++) {
        if (!is_filter(args->filters.items[i]))
            return cli_usage(c, "--filter '%s': want " FILTER_FORM, args->filters.items[i]);
    }
    options.replay = args->since || args->until || args->no_stream;
    options.follow = !args->no_stream;
    int r = cli_open(c, &err);
    if (r == 0)
        r = print_events(c, args, &options, &err);
    return r < 0 ? cli_fail(c, &err) : STATUS_OK;
}

const command command_events = {
    .name = "events",
    .group = GROUP_OTHER,
    .usage = "[OPTIONS]",
    .summary = "Print what happens to boxes, images and volumes",
    .details =
        "As it happens, until interrupted. With --since, --until or --no-stream first what has happened, as far as the home's log of\n"
        "events goes back. Of filters with the same key one has to fit, of different keys all.",
    .example = "nestbox events --since 1h --filter box=web --filter event=die",
    .opts = events_opts,
    .args_size = sizeof(struct events_args),
    .min_args = 0,
    .max_args = 0,
    .order = OPT_ANYWHERE,
    .run = events_run,
};
