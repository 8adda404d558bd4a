/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-info.c - nestbox info: what this installation is and would use
 */
#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/text.h"

#include <stdio.h>
#include <string.h>

struct info_args {
    const char *format;
};

static const opt info_opts[] = {
    OPT_CHOICE('\0', "format", struct info_args, format, "table|json", "table", "form of the answer"),
    OPT_END,
};

/* NULL is what was not found. */
static void print_line(const char *key, const char *value) {
    CLEANUP(cleanup_free) char *escaped = text_escape(value ? value : "not found");
    (void) printf("%s: %s\n", key, escaped ? escaped : "");
}

static void print_lines(const nb_info *info) {
    print_line("version", info->version);
    print_line("home", info->home);
    print_line("accelerator", info->accelerator);
    print_line("accelerator reason", info->accelerator_reason);
    print_line("qemu", info->qemu);
    print_line("kernel", info->kernel);
    print_line("kernel version", info->kernel_version);
    print_line("architecture", info->architecture);
    (void) printf("boxes: %zu\nboxes running: %zu\nimages: %zu\n", info->boxes, info->boxes_running, info->images);
}

static int info_run(cli *c, void *command_args, int argc, char **argv) {
    const struct info_args *args = command_args;
    nb_info *info = NULL;
    nb_error err = {0};
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_runtime_info(c->runtime, &info, &err);
    if (r < 0)
        return cli_fail(c, &err);
    if (strcmp(args->format, "json") == 0)
        r = json_print(json_of_info(info), stdout, &err);
    else
        print_lines(info);
    nb_info_free(info);
    return r < 0 ? cli_fail(c, &err) : STATUS_OK;
}

const command command_info = {
    .name = "info",
    .group = GROUP_OTHER,
    .usage = "[OPTIONS]",
    .summary = "Tell what this installation is and would use, and why",
    .example = "nestbox info --format json",
    .opts = info_opts,
    .args_size = sizeof(struct info_args),
    .min_args = 0,
    .max_args = 0,
    .order = OPT_ANYWHERE,
    .run = info_run,
};
