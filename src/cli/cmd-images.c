/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-images.c - nestbox images: list the images of this home
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/quantity.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/when.h"

#include <stdio.h>
#include <string.h>

#define DIGEST_PREFIX "sha256:"
#define SHORT_ID_LENGTH 12

struct images_args {
    bool quiet, no_trunc;
    const char *format;
};

static const opt images_opts[] = {
    OPT_FLAG('q', "quiet", struct images_args, quiet, "only ids"),
    OPT_CHOICE('\0', "format", struct images_args, format, "table|json", "table", "form of the list"),
    OPT_FLAG('\0', "no-trunc", struct images_args, no_trunc, "cut nothing"),
    OPT_UNSUPPORTED('a', "all", NULL),
    OPT_UNSUPPORTED('f', "filter", "KEY=VALUE"),
    OPT_END,
};

/* The first digits of the digest, or the whole id. */
static void id_text(const char *id, bool whole, char *ret_text, size_t size) {
    size_t prefix = strlen(DIGEST_PREFIX);
    if (whole || strncmp(id, DIGEST_PREFIX, prefix) != 0)
        (void) snprintf(ret_text, size, "%s", id);
    else
        (void) snprintf(ret_text, size, "%.*s", SHORT_ID_LENGTH, id + prefix);
}

#define ID_TEXT_SIZE 128 /* a digest takes 72 */

static int print_table(const struct images_args *args, const nb_image_list *list, nb_error *err) {
    static const char *const headings[] = {"NAME", "IMAGE ID", "CREATED", "SIZE"};
    table t;
    uint64_t now_ms = clock_wall_ms();
    table_init(&t, headings, sizeof(headings) / sizeof(headings[0]));
    for (size_t i = 0; i < list->count; i++) {
        const nb_image_info *image = &list->items[i];
        char id[ID_TEXT_SIZE], age[WHEN_TEXT_SIZE], created[WHEN_TEXT_SIZE + sizeof(" ago")], size[QUANTITY_SIZE_TEXT_SIZE];
        id_text(image->id, args->no_trunc, id, sizeof(id));
        when_span(when_since_ms(image->created_at_ms, now_ms), age);
        (void) snprintf(created, sizeof(created), "%s ago", age);
        quantity_size_text(image->size_bytes, size);
        table_add(&t, image->name);
        table_add(&t, id);
        table_add(&t, created);
        table_add(&t, size);
    }
    int r = table_print(&t, stdout, err);
    table_done(&t);
    return r;
}

static int print_json(const nb_image_list *list, nb_error *err) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < list->count; i++) {
        if (json_array_append_new(array, json_of_image(&list->items[i])) < 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return json_print(array, stdout, err);
}

static int print_ids(const struct images_args *args, const nb_image_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        char id[ID_TEXT_SIZE];
        id_text(list->items[i].id, args->no_trunc, id, sizeof(id));
        (void) printf("%s\n", id);
    }
    return 0;
}

static int images_run(cli *c, void *command_args, int argc, char **argv) {
    const struct images_args *args = command_args;
    CLEANUP(cleanup_image_list) nb_image_list *list = NULL;
    nb_error err = {0};
    bool as_json = strcmp(args->format, "json") == 0;
    if (args->quiet && as_json)
        return cli_usage(c, "--quiet and --format json exclude each other");
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_image_list_get(c->runtime, &list, &err);
    if (r == 0)
        r = args->quiet ? print_ids(args, list) : as_json ? print_json(list, &err) : print_table(args, list, &err);
    return r < 0 ? cli_fail(c, &err) : STATUS_OK;
}

const command command_images = {
    .name = "images",
    .alias = "image ls",
    .group = GROUP_IMAGE,
    .usage = "[OPTIONS]",
    .summary = "List images",
    .example = "nestbox images",
    .opts = images_opts,
    .args_size = sizeof(struct images_args),
    .min_args = 0,
    .max_args = 0,
    .order = OPT_ANYWHERE,
    .run = images_run,
};
