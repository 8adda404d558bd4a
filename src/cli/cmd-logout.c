/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-logout.c - nestbox logout: forget a login for a registry
 */
#include "cli/cli.h"

#include <stdio.h>

static int logout_run(cli *c, void *command_args, int argc, char **argv) {
    nb_error err = {0};
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_registry_logout(c->runtime, argv[0], &err);
    if (r < 0)
        return cli_fail(c, &err);
    (void) printf("Removed the login for %s\n", argv[0]);
    return STATUS_OK;
}

static const opt logout_opts[] = {OPT_END};

const command command_logout = {
    .name = "logout",
    .group = GROUP_IMAGE,
    .usage = "REGISTRY",
    .summary = "Forget a login for a registry",
    .example = "nestbox logout ghcr.io",
    .opts = logout_opts,
    .min_args = 1,
    .max_args = 1,
    .order = OPT_ANYWHERE,
    .run = logout_run,
};
