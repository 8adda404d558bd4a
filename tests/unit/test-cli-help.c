/* SPDX-License-Identifier: Apache-2.0
 *
 * test-cli-help.c - --help comes from the option table; command names
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/help.h"

struct sample_args {
    bool all;
    opt_list labels;
    int64_t time_ms;
};

static const opt sample_opts[] = {
    OPT_FLAG('a', "all", struct sample_args, all, "every one"),
    OPT_LIST('\0', "label", struct sample_args, labels, "KEY=VALUE", "a label"),
    OPT_DURATION('t', "time-that-is-very-long", struct sample_args, time_ms, 0, 1000, "1s", "wait"),
    OPT_UNSUPPORTED('p', "publish", "PORT"),
    OPT_END,
};

static const command sample = {
    .name = "image sample",
    .alias = "sm",
    .group = GROUP_IMAGE,
    .usage = "[OPTIONS] X",
    .summary = "Do a sample",
    .details = "Details.",
    .example = "nestbox image sample x",
    .opts = sample_opts,
    .args_size = sizeof(struct sample_args),
};

/* What help_overview() lists, in place of the program's own. */
const command *const commands[] = {&sample, NULL};

static void command_help_is_the_table(void **state) {
    char *text = NULL;
    size_t length;
    FILE *to = open_memstream(&text, &length);
    help_command(&sample, to);
    fclose(to);
    assert_string_equal(text, "Usage: nestbox image sample [OPTIONS] X\n"
                              "       nestbox sm [OPTIONS] X\n"
                              "\n"
                              "Do a sample.\n"
                              "\n"
                              "Details.\n"
                              "\n"
                              "Options:\n"
                              "  -a, --all                       every one\n"
                              "      --label KEY=VALUE           a label; may be repeated\n"
                              "  -t, --time-that-is-very-long DURATION\n"
                              "                                  wait (default: 1s)\n"
                              "      --help                      show this\n"
                              "\n"
                              "Known but not supported yet: --publish\n"
                              "\n"
                              "Example:\n"
                              "  nestbox image sample x\n");
    free(text);
}

static void overview_lists_the_commands(void **state) {
    static const opt none[] = {OPT_END};
    char *text = NULL;
    size_t length;
    FILE *to = open_memstream(&text, &length);
    help_overview(none, to);
    fclose(to);
    assert_non_null(strstr(text, "\nImages:\n  image sample    Do a sample\n"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_help_is_the_table),
        cmocka_unit_test(overview_lists_the_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
