/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-top.c - nestbox top: what runs in a box
 */
#include "base/cleanup.h"
#include "base/size.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/when.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct top_args {
    const char *format;
};

static const opt top_opts[] = {
    OPT_CHOICE('\0', "format", struct top_args, format, "table|json", "table", "form of the list"),
    OPT_END,
};

static void add_number(table *t, int64_t number) {
    char text[32];
    (void) snprintf(text, sizeof(text), "%" PRId64, number);
    table_add(t, text);
}

/* "1:02:03", as ps has it. */
static void add_time(table *t, uint64_t ms) {
    char text[48];
    uint64_t s = ms / 1000;
    (void) snprintf(text, sizeof(text), "%" PRIu64 ":%02u:%02u", s / 3600, (unsigned) (s / 60 % 60), (unsigned) (s % 60));
    table_add(t, text);
}

static int print_table(const nb_process_list *list, nb_error *err) {
    static const char *const headings[] = {"UID", "PID", "PPID", "S", "ELAPSED", "TIME", "COMMAND"};
    table t;
    table_init(&t, headings, ARRAY_LENGTH(headings));
    for (size_t i = 0; i < list->count; i++) {
        const nb_process *p = &list->items[i];
        add_number(&t, p->user);
        add_number(&t, p->pid);
        add_number(&t, p->parent);
        table_add(&t, (char[]){p->state, '\0'});
        add_time(&t, p->age_ms);
        add_time(&t, p->cpu_time_us / 1000);
        table_add(&t, p->command);
    }
    int r = table_print(&t, stdout, err);
    table_done(&t);
    return r;
}

static int top_run(cli *c, void *command_args, int argc, char **argv) {
    const struct top_args *args = command_args;
    CLEANUP(cleanup_box) nb_box *box = NULL;
    nb_process_list *list = NULL;
    nb_error err = {0};
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_box_open(c->runtime, argv[0], &box, &err);
    if (r == 0)
        r = nb_process_list_get(box, &list, &err);
    if (r == 0)
        r = strcmp(args->format, "json") == 0 ? json_print(json_of_processes(list), stdout, &err) : print_table(list, &err);
    nb_process_list_free(list);
    return r < 0 ? cli_fail(c, &err) : STATUS_OK;
}

const command command_top = {
    .name = "top",
    .group = GROUP_BOX,
    .usage = "[OPTIONS] BOX",
    .summary = "List the processes of a running box",
    .details = "As the box sees them, with its numbers. The image needs no ps for it. S is the state, as ps has it: R runs, S sleeps, D "
               "waits for a\n"
               "disk or a volume, T was stopped, Z has ended and was not waited for.",
    .example = "nestbox top web",
    .opts = top_opts,
    .args_size = sizeof(struct top_args),
    .min_args = 1,
    .max_args = 1,
    .order = OPT_ANYWHERE,
    .run = top_run,
};
