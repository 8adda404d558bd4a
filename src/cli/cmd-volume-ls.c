/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-volume-ls.c - nestbox volume ls: list named volumes
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/size.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/when.h"

#include <stdio.h>
#include <string.h>

struct volume_ls_args {
    bool quiet;
    const char *format;
};

static const opt volume_ls_opts[] = {
    OPT_FLAG('q', "quiet", struct volume_ls_args, quiet, "only names"),
    OPT_CHOICE('\0', "format", struct volume_ls_args, format, "table|json", "table", "form of the list"),
    OPT_UNSUPPORTED('f', "filter", "KEY=VALUE"),
    OPT_END,
};

static int print_table(const nb_volume_list *list, nb_error *err) {
    static const char *const headings[] = {"NAME", "CREATED", "BOXES"};
    table t;
    uint64_t now_ms = clock_wall_ms();
    table_init(&t, headings, ARRAY_LENGTH(headings));
    for (size_t i = 0; i < list->count; i++) {
        char age[WHEN_TEXT_SIZE], created[WHEN_TEXT_SIZE + sizeof(" ago")], boxes[32];
        when_span(when_since_ms(list->items[i].created_at_ms, now_ms), age);
        (void) snprintf(created, sizeof(created), "%s ago", age);
        (void) snprintf(boxes, sizeof(boxes), "%zu", list->items[i].boxes);
        table_add(&t, list->items[i].name);
        table_add(&t, created);
        table_add(&t, boxes);
    }
    int r = table_print(&t, stdout, err);
    table_done(&t);
    return r;
}

static int print_json(const nb_volume_list *list, nb_error *err) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < list->count; i++) {
        if (json_array_append_new(array, json_of_volume(&list->items[i])) < 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return json_print(array, stdout, err);
}

static int print_names(const nb_volume_list *list) {
    for (size_t i = 0; i < list->count; i++)
        (void) printf("%s\n", list->items[i].name);
    return 0;
}

static int volume_ls_run(cli *c, void *command_args, int argc, char **argv) {
    const struct volume_ls_args *args = command_args;
    CLEANUP(cleanup_volume_list) nb_volume_list *list = NULL;
    nb_error err = {0};
    bool as_json = strcmp(args->format, "json") == 0;
    if (args->quiet && as_json)
        return cli_usage(c, "--quiet and --format json exclude each other");
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_volume_list_get(c->runtime, &list, &err);
    if (r == 0)
        r = args->quiet ? print_names(list) : as_json ? print_json(list, &err) : print_table(list, &err);
    return r < 0 ? cli_fail(c, &err) : STATUS_OK;
}

const command command_volume_ls = {
    .name = "volume ls",
    .alias = "volume list",
    .group = GROUP_VOLUME,
    .usage = "[OPTIONS]",
    .summary = "List named volumes",
    .details = "BOXES are those that mount it, running or not.",
    .example = "nestbox volume ls",
    .opts = volume_ls_opts,
    .args_size = sizeof(struct volume_ls_args),
    .min_args = 0,
    .max_args = 0,
    .order = OPT_ANYWHERE,
    .run = volume_ls_run,
};
