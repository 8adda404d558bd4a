/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-ps.c - nestbox ps: list boxes
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/box-filter.h"
#include "cli/box-text.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/when.h"

#include <stdio.h>
#include <string.h>

struct ps_args {
    bool all, quiet, no_trunc;
    opt_list filters;
    const char *format;
};

static const opt ps_opts[] = {
    OPT_FLAG('a', "all", struct ps_args, all, "also boxes that do not run"),
    OPT_FLAG('q', "quiet", struct ps_args, quiet, "only ids"),
    OPT_LIST('f', "filter", struct ps_args, filters, "KEY=VALUE", "only boxes with name=PART, status=STATE or label=KEY[=VALUE]"),
    OPT_CHOICE('\0', "format", struct ps_args, format, "table|json", "table", "form of the list"),
    OPT_FLAG('\0', "no-trunc", struct ps_args, no_trunc, "cut nothing"),
    OPT_END,
};

static bool is_shown(const struct ps_args *args, const nb_box_info *box) {
    bool runs = box->state == NB_BOX_STARTING || box->state == NB_BOX_RUNNING || box->state == NB_BOX_STOPPING;
    return (runs || args->all || box_filter_names_status(&args->filters)) && box_filter_matches(&args->filters, box);
}

static int print_table(const struct ps_args *args, const nb_box_list *list, nb_error *err) {
    static const char *const headings[] = {"BOX ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAME"};
    table t;
    uint64_t now_ms = clock_wall_ms();
    table_init(&t, headings, sizeof(headings) / sizeof(headings[0]));
    for (size_t i = 0; i < list->count; i++) {
        const nb_box_info *box = &list->items[i];
        char age[WHEN_TEXT_SIZE], created[WHEN_TEXT_SIZE + sizeof(" ago")];
        if (!is_shown(args, box))
            continue;
        CLEANUP(cleanup_free) char *words = box_command_text(box->command, args->no_trunc);
        CLEANUP(cleanup_free) char *status = box_status_text(box, now_ms, args->no_trunc);
        when_span(when_since_ms(box->created_at_ms, now_ms), age);
        (void) snprintf(created, sizeof(created), "%s ago", age);
        t.out_of_memory = t.out_of_memory || !words || !status;
        table_add(&t, box->id);
        table_add(&t, box->image);
        table_add(&t, words ? words : "");
        table_add(&t, created);
        table_add(&t, status ? status : "");
        table_add(&t, box->name);
    }
    int r = table_print(&t, stdout, err);
    table_done(&t);
    return r;
}

static int print_json(const struct ps_args *args, const nb_box_list *list, nb_error *err) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < list->count; i++) {
        if (is_shown(args, &list->items[i]) && json_array_append_new(array, json_of_box(&list->items[i])) < 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return json_print(array, stdout, err);
}

static int print_ids(const struct ps_args *args, const nb_box_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        if (is_shown(args, &list->items[i]))
            (void) printf("%s\n", list->items[i].id);
    }
    return 0;
}

static int ps_run(cli *c, void *command_args, int argc, char **argv) {
    const struct ps_args *args = command_args;
    CLEANUP(cleanup_box_list) nb_box_list *list = NULL;
    nb_error err = {0};
    bool as_json = strcmp(args->format, "json") == 0;
    if (args->quiet && as_json)
        return cli_usage(c, "--quiet and --format json exclude each other");
    if (box_filter_check(&args->filters, &err) < 0)
        return cli_usage(c, "%s", err.message);
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_box_list_get(c->runtime, &list, &err);
    if (r == 0)
        r = args->quiet ? print_ids(args, list) : as_json ? print_json(args, list, &err) : print_table(args, list, &err);
    return r < 0 ? cli_fail(c, &err) : STATUS_OK;
}

const command command_ps = {
    .name = "ps",
    .alias = "ls",
    .group = GROUP_BOX,
    .usage = "[OPTIONS]",
    .summary = "List boxes, those that run or all",
    .details = "Filters with the same key widen the list, labels narrow it; a filter by status looks at all boxes.",
    .example = "nestbox ps -a --filter status=failed",
    .opts = ps_opts,
    .args_size = sizeof(struct ps_args),
    .min_args = 0,
    .max_args = 0,
    .order = OPT_ANYWHERE,
    .run = ps_run,
};
