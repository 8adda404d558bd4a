/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-login.c - nestbox login: keep a login for a registry
 */
#include "cli/cli.h"
#include "cli/password.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct login_args {
    const char *user;
    bool password_stdin;
};

static const opt login_opts[] = {
    OPT_STRING('u', "username", struct login_args, user, "USER", NULL, "the user's name there"),
    OPT_FLAG('\0', "password-stdin", struct login_args, password_stdin, "read the password from stdin; otherwise it is asked for"),
    OPT_END,
};

static int login_run(cli *c, void *command_args, int argc, char **argv) {
    const struct login_args *args = command_args;
    char password[PASSWORD_SIZE] = "";
    nb_error err = {0};
    if (!args->user)
        return cli_usage(c, "--username is missing");
    if (!args->password_stdin && !isatty(STDIN_FILENO))
        return cli_usage(c, "without a terminal to ask on, the password comes with --password-stdin");
    int r = args->password_stdin ? password_read(STDIN_FILENO, password, &err) : password_ask(STDIN_FILENO, STDERR_FILENO, password, &err);
    if (r == 0)
        r = cli_open(c, &err);
    if (r == 0)
        r = nb_registry_login(c->runtime, argv[0], args->user, password, &err);
    explicit_bzero(password, sizeof(password));
    if (r < 0)
        return cli_fail(c, &err);
    (void) printf("Login Succeeded\n");
    return STATUS_OK;
}

const command command_login = {
    .name = "login",
    .group = GROUP_IMAGE,
    .usage = "[OPTIONS] REGISTRY",
    .summary = "Log in to a registry",
    .details = "The login is kept in the home, in a file that only its owner can read, when the registry takes it. What docker login\n"
               "and podman login keep is used too.",
    .example = "echo \"$TOKEN\" | nestbox login -u me --password-stdin ghcr.io",
    .opts = login_opts,
    .args_size = sizeof(struct login_args),
    .min_args = 1,
    .max_args = 1,
    .order = OPT_ANYWHERE,
    .run = login_run,
};
