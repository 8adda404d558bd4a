/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-inspect.c - nestbox inspect: all that is known of boxes, as JSON
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/json.h"

static const opt inspect_opts[] = {OPT_END};

static int inspect_one(cli *c, const char *name, void *args, nb_error *err) {
    json_t *array = args;
    CLEANUP(cleanup_box) nb_box *box = NULL;
    CLEANUP(cleanup_box_info) nb_box_info *info = NULL;
    CLEANUP(cleanup_exec_list) nb_exec_list *execs = NULL;
    CLEANUP(cleanup_health_results) nb_health_results *results = NULL;
    int r = nb_box_open(c->runtime, name, &box, err);
    if (r == 0)
        r = nb_box_inspect(box, &info, err);
    if (r == 0)
        r = nb_exec_list_get(box, &execs, err);
    if (r == 0)
        r = nb_box_health_get(box, &results, err);
    if (r < 0)
        return r;
    return json_array_append_new(array, json_of_box_details(info, execs, results)) < 0 ? nb_fail_oom(err) : 0;
}

static int inspect_run(cli *c, void *args, int argc, char **argv) {
    nb_error err = {0};
    if (cli_open(c, &err) < 0)
        return cli_fail(c, &err);
    json_t *array = json_array();
    if (!array) {
        (void) nb_fail_oom(&err);
        return cli_fail(c, &err);
    }
    int status = cli_each(c, argc, argv, inspect_one, array, false);
    return json_print(array, stdout, &err) < 0 ? cli_fail(c, &err) : status;
}

const command command_inspect = {
    .name = "inspect",
    .group = GROUP_BOX,
    .usage = "BOX...",
    .summary = "Print all that is known of boxes, as JSON",
    .details = "An array with an object for each box that was found; docs/json.md tells its keys.",
    .example = "nestbox inspect web",
    .opts = inspect_opts,
    .min_args = 1,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_ANYWHERE,
    .run = inspect_run,
};
