/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-stats.c - nestbox stats: what running boxes use
 *
 * A share of a processor is the difference of two measurements, so the first line comes an interval after the first of them.
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/quantity.h"
#include "base/size.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_S 1

struct stats_args {
    bool no_stream;
    const char *format;
};

static const opt stats_opts[] = {
    OPT_FLAG('\0', "no-stream", struct stats_args, no_stream, "print once, instead of every second until interrupted"),
    OPT_CHOICE('\0', "format", struct stats_args, format, "table|json", "table", "form of the list"),
    OPT_END,
};

/* One box, with its last measurement. */
typedef struct measured {
    nb_box *box;
    nb_box_info *info;
    nb_box_stats stats;
    double cpu_percent;
    bool gone; /* it does not run any more */
} measured;

typedef struct watch {
    measured *items;
    size_t count;
} watch;

static void watch_done(watch *w) {
    for (size_t i = 0; i < w->count; i++) {
        nb_box_info_free(w->items[i].info);
        nb_box_free(w->items[i].box);
    }
    free(w->items);
}

static int watch_add(cli *c, watch *w, const char *name, nb_error *err) {
    measured *m = &w->items[w->count];
    *m = (measured){0};
    int r = nb_box_open(c->runtime, name, &m->box, err);
    if (r < 0)
        return r;
    w->count++;
    r = nb_box_inspect(m->box, &m->info, err);
    return r < 0 ? r : nb_box_stats_get(m->box, &m->stats, err);
}

/* The named boxes, which have to run; without names, those that do. */
static int watch_begin(cli *c, watch *w, int argc, char **argv, nb_error *err) {
    CLEANUP(cleanup_box_list) nb_box_list *list = NULL;
    int r = argc == 0 ? nb_box_list_get(c->runtime, &list, err) : 0;
    if (r < 0)
        return r;
    size_t wanted = list ? list->count : (size_t) argc;
    w->items = calloc(wanted + 1, sizeof(*w->items));
    if (!w->items)
        return nb_fail_oom(err);
    for (size_t i = 0; i < wanted && r == 0; i++) {
        if (list && list->items[i].state != NB_BOX_RUNNING)
            continue;
        size_t before = w->count;
        r = watch_add(c, w, list ? list->items[i].id : argv[i], err);
        if (list && (r == -NB_E_STOPPED || r == -NB_E_NOT_FOUND || r == -NB_E_BOX_GONE)) { /* it ended since the list was made */
            w->items[before].gone = w->count > before;
            r = 0;
        }
    }
    return r;
}

static bool measure_again(watch *w) {
    bool any = false;
    for (size_t i = 0; i < w->count; i++) {
        measured *m = &w->items[i];
        nb_box_stats now;
        nb_error why;
        m->gone = m->gone || nb_box_stats_get(m->box, &now, &why) < 0;
        if (m->gone)
            continue;
        uint64_t elapsed_us = now.at_us - m->stats.at_us;
        m->cpu_percent = elapsed_us > 0 ? 100.0 * (double) (now.cpu_time_us - m->stats.cpu_time_us) / (double) elapsed_us : 0;
        m->stats = now;
        any = true;
    }
    return any;
}

static void add_share(table *t, uint64_t used, uint64_t limit) {
    char first[QUANTITY_SIZE_TEXT_SIZE], second[QUANTITY_SIZE_TEXT_SIZE], text[2 * QUANTITY_SIZE_TEXT_SIZE + 8];
    quantity_size_text(used, first);
    quantity_size_text(limit, second);
    (void) snprintf(text, sizeof(text), "%s / %s", first, second);
    table_add(t, text);
    (void) snprintf(text, sizeof(text), "%.2f%%", limit > 0 ? 100.0 * (double) used / (double) limit : 0);
    table_add(t, text);
}

static int print_table(const watch *w, nb_error *err) {
    static const char *const headings[] = {"BOX ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "PIDS", "EXECS", "MACHINE"};
    table t;
    table_init(&t, headings, ARRAY_LENGTH(headings));
    for (size_t i = 0; i < w->count; i++) {
        const measured *m = &w->items[i];
        char text[QUANTITY_SIZE_TEXT_SIZE + 32];
        if (m->gone)
            continue;
        table_add(&t, m->info->id);
        table_add(&t, m->info->name);
        (void) snprintf(text, sizeof(text), "%.2f%%", m->cpu_percent);
        table_add(&t, text);
        add_share(&t, m->stats.memory_bytes, m->stats.memory_limit_bytes);
        (void) snprintf(text, sizeof(text), "%u", m->stats.processes);
        table_add(&t, text);
        (void) snprintf(text, sizeof(text), "%llu", (unsigned long long) m->stats.commands_executed);
        table_add(&t, text);
        quantity_size_text(m->stats.machine_memory_bytes, text);
        table_add(&t, text);
    }
    if (isatty(STDOUT_FILENO) && w->count > 0)
        (void) fputs("\033[H\033[J", stdout); /* upper left corner, and nothing below it */
    int r = table_print(&t, stdout, err);
    table_done(&t);
    return r;
}

static int print_json(const watch *w, nb_error *err) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < w->count; i++) {
        const measured *m = &w->items[i];
        if (!m->gone && json_array_append_new(array, json_of_stats(m->info, &m->stats, m->cpu_percent)) < 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return json_print(array, stdout, err);
}

static int stats_run(cli *c, void *command_args, int argc, char **argv) {
    const struct stats_args *args = command_args;
    CLEANUP(watch_done) watch w = {0};
    nb_error err = {0};
    int r = cli_open(c, &err);
    if (r == 0)
        r = watch_begin(c, &w, argc, argv, &err);
    bool more = true;
    while (r == 0 && more) {
        (void) nanosleep(&(struct timespec){.tv_sec = w.count > 0 ? INTERVAL_S : 0}, NULL);
        more = measure_again(&w) && !args->no_stream;
        if (!more && !args->no_stream)
            break;
        r = strcmp(args->format, "json") == 0 ? print_json(&w, &err) : print_table(&w, &err);
        if (fflush(stdout) < 0)
            break; /* whoever read it has gone */
    }
    return r < 0 ? cli_fail(c, &err) : STATUS_OK;
}

const command command_stats = {
    .name = "stats",
    .group = GROUP_BOX,
    .usage = "[OPTIONS] [BOX...]",
    .summary = "Show what running boxes use",
    .details = "Of processor and memory, as the guest's kernel accounts for all of a box's processes; 100% is one processor.\n"
               "MACHINE is the memory that the box's machine takes of this host. Ends when none of the boxes runs any more.",
    .example = "nestbox stats --no-stream web",
    .opts = stats_opts,
    .args_size = sizeof(struct stats_args),
    .min_args = 0,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_ANYWHERE,
    .run = stats_run,
};
