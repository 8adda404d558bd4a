/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-image-inspect.c - nestbox image inspect: all that is known of images, as JSON
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/json.h"

static const opt image_inspect_opts[] = {OPT_END};

static int inspect_one(cli *c, const char *name, void *args, nb_error *err) {
    json_t *array = args;
    CLEANUP(cleanup_image) nb_image_info *image = NULL;
    int r = nb_image_inspect(c->runtime, name, &image, err);
    if (r < 0)
        return r;
    return json_array_append_new(array, json_of_image(image)) < 0 ? nb_fail_oom(err) : 0;
}

static int image_inspect_run(cli *c, void *args, int argc, char **argv) {
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

const command command_image_inspect = {
    .name = "image inspect",
    .group = GROUP_IMAGE,
    .usage = "IMAGE...",
    .summary = "Print all that is known of images, as JSON",
    .details = "An array with an object for each image that was found; docs/json.md tells its keys.",
    .example = "nestbox image inspect busybox",
    .opts = image_inspect_opts,
    .min_args = 1,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_ANYWHERE,
    .run = image_inspect_run,
};
