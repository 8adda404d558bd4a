/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-system-prune.c - nestbox system prune: remove boxes that do not run, and images that nothing needs
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/quantity.h"
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct prune_args {
    bool all, force;
};

static const opt prune_opts[] = {
    OPT_FLAG('a', "all", struct prune_args, all, "images that have a name too, unless a box is made from them"),
    OPT_FLAG('f', "force", struct prune_args, force, "do not ask"),
    OPT_END,
};

static bool may_go(const nb_box_info *box) {
    return box->state == NB_BOX_CREATED || box->state == NB_BOX_STOPPED || box->state == NB_BOX_FAILED;
}

/* Whether somebody at a terminal wants it. */
static bool is_wanted(const nb_box_list *boxes, bool all) {
    size_t count = 0;
    char answer[8] = "";
    for (size_t i = 0; i < boxes->count; i++)
        count += may_go(&boxes->items[i]);
    (void) fprintf(stderr, "Remove %zu box%s, with what was written in %s, and all images that %s? [y/N] ", count, count == 1 ? "" : "es",
                   count == 1 ? "it" : "them", all ? "no other box is made from" : "have no name any more");
    return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* One that was started or removed since the list was made is left alone. */
static int remove_boxes(cli *c, const nb_box_list *boxes, nb_error *err) {
    for (size_t i = 0; i < boxes->count; i++) {
        CLEANUP(cleanup_box) nb_box *box = NULL;
        if (!may_go(&boxes->items[i]))
            continue;
        int r = nb_box_open(c->runtime, boxes->items[i].id, &box, err);
        if (r == 0)
            r = nb_box_remove(box, false, err);
        if (r == 0)
            (void) printf("%s\n", boxes->items[i].id);
        else if (r != -NB_E_INVALID_STATE && r != -NB_E_NOT_FOUND)
            return r;
    }
    return 0;
}

static int remove_images(cli *c, bool all, nb_error *err) {
    CLEANUP(cleanup_image_list) nb_image_list *removed = NULL;
    int r = nb_image_prune(c->runtime, all, &removed, err);
    for (size_t i = 0; r == 0 && i < removed->count; i++)
        (void) printf("%s\n", removed->items[i].id);
    return r;
}

static int measure(cli *c, uint64_t *ret_bytes, nb_error *err) {
    nb_disk_usage usage;
    int r = nb_runtime_disk_usage(c->runtime, &usage, err);
    *ret_bytes = r < 0 ? 0 : usage.boxes.size_bytes + usage.images.size_bytes + usage.blobs.size_bytes;
    return r;
}

static int prune_run(cli *c, void *command_args, int argc, char **argv) {
    const struct prune_args *args = command_args;
    CLEANUP(cleanup_box_list) nb_box_list *boxes = NULL;
    nb_error err = {0};
    uint64_t before = 0, after = 0;
    char text[QUANTITY_SIZE_TEXT_SIZE];
    if (!args->force && !isatty(STDIN_FILENO))
        return cli_usage(c, "there is nobody to ask: use --force");
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_box_list_get(c->runtime, &boxes, &err);
    if (r == 0 && !args->force && !is_wanted(boxes, args->all))
        return STATUS_FAILED;
    if (r == 0)
        r = measure(c, &before, &err);
    if (r == 0)
        r = remove_boxes(c, boxes, &err);
    if (r == 0)
        r = remove_images(c, args->all, &err);
    if (r == 0)
        r = measure(c, &after, &err);
    if (r < 0)
        return cli_fail(c, &err);
    quantity_size_text(before > after ? before - after : 0, text);
    (void) fprintf(stderr, "reclaimed %s\n", text);
    return STATUS_OK;
}

const command command_system_prune = {
    .name = "system prune",
    .group = GROUP_OTHER,
    .usage = "[OPTIONS]",
    .summary = "Remove boxes that do not run, and images that nothing needs",
    .details = "Boxes go with what was written in them. Prints the ids of what was removed; how much room that makes goes to stderr.",
    .example = "nestbox system prune -f",
    .opts = prune_opts,
    .args_size = sizeof(struct prune_args),
    .min_args = 0,
    .max_args = 0,
    .order = OPT_ANYWHERE,
    .run = prune_run,
};
