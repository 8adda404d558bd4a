/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-volume-inspect.c - nestbox volume inspect: all that is known of named volumes, as JSON
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/json.h"

#include <stdio.h>

static const opt volume_inspect_opts[] = {OPT_END};

static int inspect_one(cli *c, const char *name, void *args, nb_error *err) {
    json_t *array = args;
    CLEANUP(cleanup_volume) nb_volume_info *volume = NULL;
    int r = nb_volume_inspect(c->runtime, name, &volume, err);
    if (r < 0)
        return r;
    return json_array_append_new(array, json_of_volume(volume)) < 0 ? nb_fail_oom(err) : 0;
}

static int volume_inspect_run(cli *c, void *args, int argc, char **argv) {
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

const command command_volume_inspect = {
    .name = "volume inspect",
    .group = GROUP_VOLUME,
    .usage = "NAME...",
    .summary = "Print all that is known of named volumes, as JSON",
    .details = "An array with an object for each volume that was found; docs/json.md tells its keys.",
    .example = "nestbox volume inspect data",
    .opts = volume_inspect_opts,
    .min_args = 1,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_ANYWHERE,
    .run = volume_inspect_run,
};
