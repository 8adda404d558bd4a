/* SPDX-License-Identifier: Apache-2.0
 *
 * events.c - reading the home's log of events, and waiting for more
 *
 * Theory of operation
 *   The log's lines say little: a box's supervisor knows the box's id alone. What a reader wants to see of every event, the box's name,
 *   image and labels, is said once, by the box's "create", and the name again by each "rename"; so the log is read from its beginning whatever is
 *   asked for, and each box is remembered until its "remove". One that was made before the log's beginning is looked up in the database.
 *   The log that is read stays open when it is moved aside; nothing is added to it after that, because whoever adds holds its lock.
 *   inotify(7) tells of all that is added. It is read empty before the log is, so that nothing is missed.
 */
#include <nestbox/events.h>

#include "runtime/event.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/event-log.h"
#include "base/fd.h"
#include "runtime/logs.h"
#include "runtime/options.h"
#include "runtime/result.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define READ_BYTES ((size_t) 64 << 10)
/* A file system that tells nothing (some over a network) is looked at after this. */
#define LOOK_MS 10000
/* Boxes are spread over so many lists. */
#define BOX_LISTS 256u

/* A box that was met. */
typedef struct known_box {
    struct known_box *next;
    char id[ID_SIZE];
    buf attributes; /* name, image, labels, as its "create" said them */
} known_box;

struct nb_events {
    nb_runtime *runtime;
    nb_events_options options;
    int notify;        /* inotify's */
    int log;           /* what is read; -1: not there yet */
    int next_log;      /* the current log, while the one before it is read; else -1 */
    buf bytes;         /* read, and not yet understood */
    size_t line_bytes; /* of the line at their head that the event in hand stands in */
    bool over;
    buf attributes;
    known_box *boxes[BOX_LISTS];
    char leaving[ID_SIZE]; /* the box whose "remove" is in hand; "" for none */
    nb_runtime_event event;
    arena texts; /* the event's lists */
};

/* ----------------------------------------------------------------------------------------------------- boxes that were met */

static known_box **list_of(nb_events *e, const char *id) {
    unsigned hash = 0;
    for (; *id; id++)
        hash = hash * 31 + (unsigned char) *id;
    return &e->boxes[hash % BOX_LISTS];
}

static void forget_box(nb_events *e, const char *id) {
    for (known_box **at = list_of(e, id); *at; at = &(*at)->next) {
        known_box *box = *at;
        if (strcmp(box->id, id) != 0)
            continue;
        *at = box->next;
        buf_done(&box->attributes);
        free(box);
        return;
    }
}

static known_box *find_box(nb_events *e, const char *id) {
    known_box *box = *list_of(e, id);
    while (box && strcmp(box->id, id) != 0)
        box = box->next;
    return box;
}

static known_box *add_box(nb_events *e, const char *id) {
    known_box *box = calloc(1, sizeof(*box)), **list = list_of(e, id);
    if (!box)
        return NULL;
    (void) snprintf(box->id, sizeof(box->id), "%s", id);
    buf_init(&box->attributes, EVENT_LINE_MAX_BYTES);
    box->next = *list;
    *list = box;
    return box;
}

/* One whose "create" is not in the log any more. Where it has been removed as well, nothing is known of it. */
static known_box *look_up_box(nb_events *e, const char *id) {
    arena a = {0};
    box_record record;
    known_box *box = add_box(e, id);
    if (box && store_find_box(e->runtime->store, id, &a, &record, NULL) == 0 && strcmp(record.id, id) == 0)
        event_describe_box(&record, &box->attributes);
    arena_done(&a);
    return box;
}

static bool begins_with(const char *text, const char *beginning) {
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* Gives the box the name that a "rename" tells. */
static bool rename_box(known_box *box, strv said) {
    CLEANUP(buf_done) buf renamed;
    buf_init(&renamed, EVENT_LINE_MAX_BYTES);
    for (const char *text = NULL; (text = strv_next(said, text));) {
        if (begins_with(text, EVENT_NAME) && !strv_add(&renamed, text))
            return false;
    }
    for (const char *text = NULL; (text = strv_next(strv_of(&box->attributes), text));) {
        if (!begins_with(text, EVENT_NAME) && !strv_add(&renamed, text))
            return false;
    }
    buf_clear(&box->attributes);
    return buf_append(&box->attributes, buf_bytes(&renamed), buf_length(&renamed));
}

/* What the event says of its box, remembered; and the box. NULL: memory is out. */
static const known_box *meet_box(nb_events *e, const event_record *record) {
    known_box *box = find_box(e, record->subject);
    bool created = strcmp(record->action, "create") == 0;
    if (!box)
        box = created ? add_box(e, record->subject) : look_up_box(e, record->subject);
    if (!box)
        return NULL;
    if (created) {
        buf_clear(&box->attributes);
        if (!buf_append(&box->attributes, record->attributes.at, record->attributes.bytes))
            return NULL;
    }
    if (strcmp(record->action, "rename") == 0 && !rename_box(box, record->attributes))
        return NULL;
    if (strcmp(record->action, "remove") == 0)
        (void) snprintf(e->leaving, sizeof(e->leaving), "%s", box->id);
    return box;
}

/* --------------------------------------------------------------------------------------------------------- the event */

/* Adds what has the beginning @of to a list, without it; or with NULL what has none of those that are the box's own. */
static bool pick(strv from, const char *of, buf *to) {
    for (const char *text = NULL; (text = strv_next(from, text));) {
        bool own = begins_with(text, EVENT_NAME) || begins_with(text, EVENT_IMAGE_NAME) || begins_with(text, EVENT_LABEL);
        if (of ? begins_with(text, of) && !strv_add(to, text + strlen(of)) : !own && !strv_add(to, text))
            return false;
    }
    return true;
}

static bool pick_list(nb_events *e, strv from, const char *of, nb_strings *ret_list) {
    CLEANUP(buf_done) buf picked;
    buf_init(&picked, EVENT_LINE_MAX_BYTES);
    if (!pick(from, of, &picked))
        return false;
    *ret_list = result_strings(&e->texts, strv_of(&picked));
    return !e->texts.failed;
}

static const char *pick_text(nb_events *e, strv from, const char *of) {
    nb_strings list = {0};
    return pick_list(e, from, of, &list) && list.count > 0 ? list.items[list.count - 1] : "";
}

/* False: memory is out. */
static bool fill_event(nb_events *e, const event_record *record) {
    bool is_box = strcmp(record->kind, EVENT_BOX) == 0 && id_is_valid(record->subject);
    const known_box *box = is_box ? meet_box(e, record) : NULL;
    if (is_box && !box)
        return false;
    strv own = box ? strv_of(&box->attributes) : record->attributes;
    e->event = (nb_runtime_event){
        .at_ms = record->at_ms,
        .kind = record->kind,
        .action = record->action,
        .id = record->subject,
        .name = pick_text(e, own, EVENT_NAME),
        .image = pick_text(e, own, EVENT_IMAGE_NAME),
    };
    return pick_list(e, own, EVENT_LABEL, &e->event.labels) && pick_list(e, record->attributes, NULL, &e->event.attributes) &&
           !e->texts.failed;
}

static void drop_event(nb_events *e) {
    buf_consume(&e->bytes, e->line_bytes);
    e->line_bytes = 0;
    arena_done(&e->texts);
    e->texts = (arena){0};
    if (e->leaving[0])
        forget_box(e, e->leaving);
    e->leaving[0] = '\0';
}

/* Takes the next whole line, and what it tells. 1: an event; 0: there is no whole line; -NB_E_NO_MEMORY. */
static int take_event(nb_events *e, nb_error *err) {
    for (;;) {
        event_record record;
        char *line = (char *) buf_bytes(&e->bytes);
        char *newline = line ? memchr(line, '\n', buf_length(&e->bytes)) : NULL;
        if (!newline)
            return 0;
        e->line_bytes = (size_t) (newline - line) + 1;
        bool understood = event_line_parse(line, e->line_bytes - 1, &e->attributes, &record);
        if (understood && !fill_event(e, &record))
            return nb_fail_oom(err);
        if (understood)
            return 1;
        drop_event(e);
    }
}

/* ------------------------------------------------------------------------------------------------------------ the log */

/* Keeps the log that has taken the place of the one that is read, if one has: it might be moved aside in turn before we come to it. */
static int notice_next(nb_events *e, nb_error *err) {
    CLEANUP(cleanup_fd) int current = -1;
    int result = e->next_log < 0 ? log_open(e->runtime->folder, EVENT_LOG_FILE, &current, err) : 0;
    if (current >= 0 && !log_is_same_file(current, e->log))
        e->next_log = take_fd(&current);
    return result;
}

/* 1: there is more; 0: this was the end of all that there is; or -NB_E_.... */
static int read_on(nb_events *e, nb_error *err) {
    int result = notice_next(e, err); /* first, so that the end of a log that was replaced is its end for ever */
    if (result < 0)
        return result;
    if (e->log >= 0) {
        if (buf_length(&e->bytes) > EVENT_LINE_MAX_BYTES) /* no line of ours is as long: it is damaged */
            buf_clear(&e->bytes);
        uint8_t *to = buf_reserve(&e->bytes, READ_BYTES);
        ssize_t n = to ? read(e->log, to, READ_BYTES) : -1;
        if (n < 0)
            return to ? nb_fail(err, NB_E_STORAGE, errno, "read the log of events") : nb_fail_oom(err);
        buf_added(&e->bytes, (size_t) n);
        if (n > 0)
            return 1;
    }
    if (e->next_log < 0)
        return 0;
    (void) fd_close(e->log);
    e->log = take_fd(&e->next_log);
    buf_clear(&e->bytes);
    return 1;
}

/* The newer first: should it be moved aside meanwhile, it is read whole, and once. */
static int open_logs(nb_events *e, nb_error *err) {
    int result = log_open(e->runtime->folder, EVENT_LOG_FILE, &e->next_log, err);
    if (result == 0)
        result = log_open(e->runtime->folder, EVENT_LOG_OLD_FILE, &e->log, err);
    if (e->log < 0 || log_is_same_file(e->log, e->next_log)) {
        (void) fd_close(e->log);
        e->log = take_fd(&e->next_log);
    }
    return result;
}

/* The next event that there is by now. 1: in hand; 0: none; or -NB_E_.... */
static int next_logged(nb_events *e, nb_error *err) {
    drop_event(e);
    for (;;) {
        int result = take_event(e, err);
        if (result != 0)
            return result;
        result = read_on(e, err);
        if (result <= 0)
            return result;
    }
}

static void drain(nb_events *e) {
    _Alignas(struct inotify_event) char drop[sizeof(struct inotify_event) + NAME_MAX + 1];
    while (read(e->notify, drop, sizeof(drop)) > 0)
        ;
}

/* What was there before is not the caller's, but its boxes are remembered. */
static int pass_over_past(nb_events *e, nb_error *err) {
    int result;
    do {
        result = next_logged(e, err);
    } while (result > 0);
    return result;
}

/* ---------------------------------------------------------------------------------------------------------- the calls */

int nb_events_open(nb_runtime *rt, const nb_events_options *options, nb_events **ret_events, nb_error *err) {
    nb_events_options o;
    if (!rt || !ret_events)
        return nb_fail(err, NB_E_INVALID, 0, "read events: an argument is NULL");
    int result = options_take(&o, sizeof(o), options, "nb_events_options", err);
    if (result == 0 && o.since_ms > 0 && !o.replay)
        result = nb_fail(err, NB_E_INVALID, 0, "read events: since_ms is for a replay");
    if (result < 0)
        return result;
    nb_events *e = calloc(1, sizeof(*e));
    if (!e)
        return nb_fail_oom(err);
    *e = (nb_events){.runtime = rt, .options = o, .log = -1, .next_log = -1, .notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
    buf_init(&e->bytes, EVENT_LINE_MAX_BYTES + READ_BYTES);
    buf_init(&e->attributes, EVENT_LINE_MAX_BYTES);
    if (e->notify < 0 || inotify_add_watch(e->notify, rt->home, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
        result = nb_fail(err, NB_E_INTERNAL, errno, "watch the home '%s'", rt->home);
    if (result == 0)
        result = open_logs(e, err);
    if (result == 0 && !o.replay)
        result = pass_over_past(e, err);
    if (result < 0)
        nb_events_free(e);
    else
        *ret_events = e;
    return result;
}

void nb_events_free(nb_events *e) {
    if (!e)
        return;
    for (size_t i = 0; i < BOX_LISTS; i++) {
        while (e->boxes[i])
            forget_box(e, e->boxes[i]->id);
    }
    arena_done(&e->texts);
    buf_done(&e->bytes);
    buf_done(&e->attributes);
    (void) fd_close(e->log);
    (void) fd_close(e->next_log);
    (void) fd_close(e->notify);
    free(e);
}

static bool until_has_passed(const nb_events *e) {
    return e->options.until_ms > 0 && clock_wall_ms() > e->options.until_ms;
}

static void wait_for_more(const nb_events *e, deadline until) {
    struct pollfd readable = {.fd = e->notify, .events = POLLIN};
    int left = deadline_left_ms(until);
    int64_t most = LOOK_MS;
    if (e->options.until_ms > 0) {
        uint64_t now = clock_wall_ms(), to_end = e->options.until_ms >= now ? e->options.until_ms - now + 1 : 0;
        most = to_end < LOOK_MS ? (int64_t) to_end : LOOK_MS;
    }
    (void) poll(&readable, 1, left < 0 || left > most ? (int) most : left);
}

int nb_events_next(nb_events *e, int64_t timeout_ms, const nb_runtime_event **ret_event, nb_error *err) {
    if (!e || !ret_event)
        return nb_fail(err, NB_E_INVALID, 0, "read an event: an argument is NULL");
    deadline until = deadline_in(timeout_ms);
    while (!e->over) {
        bool last = !e->options.follow || until_has_passed(e);
        drain(e);
        int result = next_logged(e, err);
        if (result < 0)
            return result;
        if (result > 0 && e->options.until_ms > 0 && e->event.at_ms > e->options.until_ms) {
            e->over = true;
        } else if (result > 0 && e->event.at_ms >= e->options.since_ms) {
            *ret_event = &e->event;
            return 0;
        } else if (result == 0 && last) {
            e->over = true;
        } else if (result == 0 && deadline_passed(until)) {
            break;
        } else if (result == 0) {
            wait_for_more(e, until);
        }
    }
    *ret_event = NULL;
    return 0;
}

int nb_events_fd(nb_events *e) {
    return e ? e->notify : -1;
}
