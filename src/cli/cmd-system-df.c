/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-system-df.c - nestbox system df: what the home takes on its file system
 */
#include "base/quantity.h"
#include "base/size.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/table.h"

#include <stdio.h>
#include <string.h>

struct df_args {
    const char *format;
};

static const opt df_opts[] = {
    OPT_CHOICE('\0', "format", struct df_args, format, "table|json", "table", "form of the list"),
    OPT_END,
};

static void add_row(table *t, const char *kind, const nb_usage *usage) {
    char text[QUANTITY_SIZE_TEXT_SIZE];
    table_add(t, kind);
    (void) snprintf(text, sizeof(text), "%zu", usage->count);
    table_add(t, text);
    (void) snprintf(text, sizeof(text), "%zu", usage->active);
    table_add(t, text);
    quantity_size_text(usage->size_bytes, text);
    table_add(t, text);
    quantity_size_text(usage->reclaimable_bytes, text);
    table_add(t, text);
}

static int print_table(const nb_disk_usage *usage, nb_error *err) {
    static const char *const headings[] = {"TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"};
    table t;
    table_init(&t, headings, ARRAY_LENGTH(headings));
    add_row(&t, "Images", &usage->images);
    add_row(&t, "Boxes", &usage->boxes);
    add_row(&t, "Blobs", &usage->blobs);
    add_row(&t, "Volumes", &usage->volumes);
    add_row(&t, "Templates", &usage->templates);
    add_row(&t, "Cache", &usage->cache);
    int r = table_print(&t, stdout, err);
    table_done(&t);
    return r;
}

static int df_run(cli *c, void *command_args, int argc, char **argv) {
    const struct df_args *args = command_args;
    nb_disk_usage usage;
    nb_error err = {0};
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_runtime_disk_usage(c->runtime, &usage, &err);
    if (r == 0)
        r = strcmp(args->format, "json") == 0 ? json_print(json_of_disk_usage(&usage), stdout, &err) : print_table(&usage, &err);
    return r < 0 ? cli_fail(c, &err) : STATUS_OK;
}

const command command_system_df = {
    .name = "system df",
    .group = GROUP_OTHER,
    .usage = "[OPTIONS]",
    .summary = "Tell what the home takes on its file system",
    .details =
        "Images that no box is made from, boxes that do not run, and volumes that no box mounts could be removed: nestbox image prune,\n"
        "nestbox rm, nestbox volume rm; templates too, nestbox template rm: starts make them anew.\n"
        "Blobs are what registries sent; they go with the last image that has them.",
    .example = "nestbox system df",
    .opts = df_opts,
    .args_size = sizeof(struct df_args),
    .min_args = 0,
    .max_args = 0,
    .order = OPT_ANYWHERE,
    .run = df_run,
};
