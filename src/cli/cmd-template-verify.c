/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-template-verify.c - nestbox template verify: read saved machines and say whether they are as they were made
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

static const opt template_verify_opts[] = {OPT_END};

static int verify_one(cli *c, const char *key, void *command_args, nb_error *err) {
    return nb_template_verify(c->runtime, key, err);
}

static int verify_all(cli *c) {
    CLEANUP(cleanup_template_list) nb_template_list *list = NULL;
    nb_error err = {0};
    if (nb_template_list_get(c->runtime, &list, &err) < 0)
        return cli_fail(c, &err);
    CLEANUP(cleanup_free) char **keys = calloc(list->count + 1, sizeof(*keys));
    if (!keys) {
        (void) nb_fail_oom(&err);
        return cli_fail(c, &err);
    }
    for (size_t i = 0; i < list->count; i++)
        keys[i] = (char *) list->items[i].key;
    return cli_each(c, (int) list->count, keys, verify_one, NULL, true);
}

static int template_verify_run(cli *c, void *command_args, int argc, char **argv) {
    nb_error err = {0};
    if (cli_open(c, &err) < 0)
        return cli_fail(c, &err);
    return argc > 0 ? cli_each(c, argc, argv, verify_one, NULL, true) : verify_all(c);
}

const command command_template_verify = {
    .name = "template verify",
    .group = GROUP_TEMPLATE,
    .usage = "[KEY...]",
    .summary = "Read saved machines and say whether they are as they were made",
    .details = "All of them without KEY, which is a key of nestbox template ls, or its beginning. A start looks at their owner, modes and "
               "lengths; this reads\n"
               "all that they hold. Prints the key of each that is good.",
    .example = "nestbox template verify",
    .opts = template_verify_opts,
    .min_args = 0,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_ANYWHERE,
    .run = template_verify_run,
};
