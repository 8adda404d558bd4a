/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-template-ls.c - nestbox template ls: list the saved machines that boxes go on from
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/quantity.h"
#include "base/size.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/when.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A box's id is as long. */
#define SHORT_KEY_LENGTH 12

struct template_ls_args {
    bool quiet, no_trunc;
    const char *format;
};

static const opt template_ls_opts[] = {
    OPT_FLAG('q', "quiet", struct template_ls_args, quiet, "only keys"),
    OPT_FLAG('\0', "no-trunc", struct template_ls_args, no_trunc, "whole keys"),
    OPT_CHOICE('\0', "format", struct template_ls_args, format, "table|json", "table", "form of the list"),
    OPT_END,
};

static void add_row(table *t, const nb_template_info *info, uint64_t now_ms, int key_length) {
    char key[80], machine[QUANTITY_SIZE_TEXT_SIZE + 32], disk[QUANTITY_SIZE_TEXT_SIZE] = "any", size[QUANTITY_SIZE_TEXT_SIZE],
                                                         age[WHEN_TEXT_SIZE], used[WHEN_TEXT_SIZE + sizeof(" ago")], image[256];
    (void) snprintf(key, sizeof(key), "%.*s", key_length, info->key);
    quantity_size_text(info->memory_bytes, size);
    (void) snprintf(machine, sizeof(machine), "%s, %" PRIu32 " cpu%s", size, info->cpus, info->cpus == 1 ? "" : "s");
    if (info->disk_bytes)
        quantity_size_text(info->disk_bytes, disk);
    (void) snprintf(image, sizeof(image), "%s%s",
                    !*info->image_id ? "any"
                    : *info->image   ? info->image
                                     : info->image_id,
                    info->init ? ", with an init" : "");
    quantity_size_text(info->size_bytes, size);
    when_span(when_since_ms(info->used_at_ms, now_ms), age);
    (void) snprintf(used, sizeof(used), "%s ago", age);
    const char *const cells[] = {key, image, machine, disk, size, used};
    for (size_t i = 0; i < ARRAY_LENGTH(cells); i++)
        table_add(t, cells[i]);
}

static int print_table(const nb_template_list *list, bool no_trunc, nb_error *err) {
    static const char *const headings[] = {"KEY", "IMAGE", "MACHINE", "DISK", "SIZE", "USED"};
    table t;
    uint64_t now_ms = clock_wall_ms();
    table_init(&t, headings, ARRAY_LENGTH(headings));
    for (size_t i = 0; i < list->count; i++)
        add_row(&t, &list->items[i], now_ms, no_trunc ? 64 : SHORT_KEY_LENGTH);
    int r = table_print(&t, stdout, err);
    table_done(&t);
    return r;
}

static int print_json(const nb_template_list *list, nb_error *err) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < list->count; i++) {
        if (json_array_append_new(array, json_of_template(&list->items[i])) < 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return json_print(array, stdout, err);
}

static int print_keys(const nb_template_list *list, bool no_trunc) {
    for (size_t i = 0; i < list->count; i++)
        (void) printf("%.*s\n", no_trunc ? 64 : SHORT_KEY_LENGTH, list->items[i].key);
    return 0;
}

static int template_ls_run(cli *c, void *command_args, int argc, char **argv) {
    const struct template_ls_args *args = command_args;
    CLEANUP(cleanup_template_list) nb_template_list *list = NULL;
    nb_error err = {0};
    bool as_json = strcmp(args->format, "json") == 0;
    if (args->quiet && as_json)
        return cli_usage(c, "--quiet and --format json exclude each other");
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_template_list_get(c->runtime, &list, &err);
    if (r == 0)
        r = args->quiet ? print_keys(list, args->no_trunc) : as_json ? print_json(list, &err) : print_table(list, args->no_trunc, &err);
    return r < 0 ? cli_fail(c, &err) : STATUS_OK;
}

const command command_template_ls = {
    .name = "template ls",
    .alias = "template list",
    .group = GROUP_TEMPLATE,
    .usage = "[OPTIONS]",
    .summary = "List the saved machines that boxes go on from",
    .details = "What was used last comes first. DISK and IMAGE say which boxes one is for. SIZE is what it takes on the disk.",
    .example = "nestbox template ls",
    .opts = template_ls_opts,
    .args_size = sizeof(struct template_ls_args),
    .min_args = 0,
    .max_args = 0,
    .order = OPT_ANYWHERE,
    .run = template_ls_run,
};
