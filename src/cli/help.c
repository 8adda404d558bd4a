/* SPDX-License-Identifier: Apache-2.0
 *
 * help.c - --help, printed from the same tables that parse the options
 */
#include "cli/help.h"

#include <string.h>

/* Where help texts begin: the longest options of any table still fit before it, those that do not take a line of their own. */
#define HELP_COLUMN 34
#define HELP_OPTION_SIZE 80

static void print_option(const opt *o, FILE *to) {
    char form[HELP_OPTION_SIZE];
    int length = snprintf(form, sizeof(form), "  %c%c%c --%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                          o->letter ? ',' : ' ', o->name, o->value ? " " : "", o->value ? o->value : "");
    (void) fputs(form, to);
    if (length >= HELP_COLUMN) {
        (void) fputc('\n', to);
        length = 0;
    }
    (void) fprintf(to, "%*s%s", HELP_COLUMN - length, "", o->help);
    if (o->standard)
        (void) fprintf(to, " (default: %s)", o->standard);
    if (o->kind == OPT_KIND_LIST)
        (void) fputs("; may be repeated", to);
    (void) fputc('\n', to);
}

static void print_options(const opt *opts, FILE *to) {
    bool any_unsupported = false;
    for (const opt *o = opts; o->kind != OPT_KIND_END; o++) {
        if (o->kind != OPT_KIND_UNSUPPORTED)
            print_option(o, to);
        any_unsupported = any_unsupported || o->kind == OPT_KIND_UNSUPPORTED;
    }
    (void) fprintf(to, "      --help%*sshow this\n", HELP_COLUMN - 12, "");
    if (!any_unsupported)
        return;
    (void) fputs("\nKnown but not supported yet:", to);
    size_t column = HELP_COLUMN;
    for (const opt *o = opts; o->kind != OPT_KIND_END; o++) {
        const size_t line_width = 78;
        if (o->kind != OPT_KIND_UNSUPPORTED)
            continue;
        if (column + strlen(o->name) + 3 > line_width) {
            (void) fputs("\n ", to);
            column = 1;
        }
        (void) fprintf(to, " --%s", o->name);
        column += strlen(o->name) + 3;
    }
    (void) fputc('\n', to);
}

void help_command(const command *c, FILE *to) {
    (void) fprintf(to, "Usage: nestbox %s%s%s\n", c->name, *c->usage ? " " : "", c->usage);
    if (c->alias)
        (void) fprintf(to, "       nestbox %s%s%s\n", c->alias, *c->usage ? " " : "", c->usage);
    (void) fprintf(to, "\n%s.\n", c->summary);
    if (c->details)
        (void) fprintf(to, "\n%s\n", c->details);
    (void) fputs("\nOptions:\n", to);
    print_options(c->opts, to);
    (void) fprintf(to, "\nExample:\n  %s\n", c->example);
}

const char *help_group_title(command_group group) {
    static const char *const titles[GROUP_COUNT] = {[GROUP_RUN] = "Running",    [GROUP_BOX] = "Boxes",          [GROUP_IMAGE] = "Images",
                                                    [GROUP_VOLUME] = "Volumes", [GROUP_TEMPLATE] = "Templates", [GROUP_OTHER] = "Other"};
    return titles[group];
}

void help_overview(const opt *global_options, FILE *to) {
    const int name_width = 16;
    (void) fputs("Usage: nestbox [OPTIONS] COMMAND [ARG...]\n\nRuns untrusted code in boxes: one image in one micro-VM each.\n", to);
    for (command_group group = 0; group < GROUP_COUNT; group++) {
        (void) fprintf(to, "\n%s:\n", help_group_title(group));
        for (const command *const *c = commands; *c; c++) {
            if ((*c)->group == group)
                (void) fprintf(to, "  %-*s%s\n", name_width, (*c)->name, (*c)->summary);
        }
    }
    (void) fputs("\nOptions, before the command:\n", to);
    print_options(global_options, to);
    (void) fputs("\nnestbox COMMAND --help tells more about a command.\n", to);
}
