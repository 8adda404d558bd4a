/* SPDX-License-Identifier: Apache-2.0
 *
 * man.c - manual pages, printed from the same tables that --help is printed from
 *
 * The macros are man(7)'s, which every renderer knows. In text a backslash and a hyphen have to be escaped, and so has a full stop at the beginning
 * of a line.
 */
#include "cli/man.h"

#include "cli/help.h"

#include <nestbox/nestbox.h>

#include <string.h>

static void put_text(const char *text, FILE *to) {
    for (const char *at = text; *at; at++) {
        bool begins_line = at == text || at[-1] == '\n';
        if (begins_line && (*at == '.' || *at == '\''))
            (void) fputs("\\&", to);
        if (*at == '\\')
            (void) fputs("\\e", to);
        else if (*at == '-')
            (void) fputs("\\-", to);
        else
            (void) fputc(*at, to);
    }
}

/* "volume ls" is the page nestbox-volume-ls. */
static void put_page_name(const char *command_name, FILE *to) {
    (void) fputs("nestbox\\-", to);
    for (const char *at = command_name; *at; at++)
        (void) fputs(*at == ' ' || *at == '-' ? "\\-" : (char[]){*at, '\0'}, to);
}

static void put_title(const char *page, FILE *to) {
    (void) fprintf(to, ".TH \"%s\" 1 \"\" \"nestbox " NB_VERSION "\" \"Nestbox\"\n.SH NAME\n", page);
}

static void put_option(const opt *o, FILE *to) {
    (void) fputs(".TP\n.B ", to);
    if (o->letter)
        (void) fprintf(to, "\\-%c, ", o->letter);
    (void) fputs("\\-\\-", to);
    put_text(o->name, to);
    if (o->value) {
        (void) fputc(' ', to);
        put_text(o->value, to);
    }
    (void) fputc('\n', to);
    put_text(o->help, to);
    if (o->standard) {
        (void) fputs(" (default: ", to);
        put_text(o->standard, to);
        (void) fputc(')', to);
    }
    (void) fputs(o->kind == OPT_KIND_LIST ? "; may be repeated\n" : "\n", to);
}

static void put_options(const opt *opts, FILE *to) {
    (void) fputs(".SH OPTIONS\n", to);
    for (const opt *o = opts; o->kind != OPT_KIND_END; o++) {
        if (o->kind != OPT_KIND_UNSUPPORTED)
            put_option(o, to);
    }
    (void) fputs(".TP\n.B \\-\\-help\nshow how it is used\n", to);
}

static void put_usage(const char *name, const char *usage, FILE *to) {
    (void) fputs(".B nestbox ", to);
    put_text(name, to);
    if (*usage) {
        (void) fputs("\n", to);
        put_text(usage, to);
    }
    (void) fputc('\n', to);
}

void man_command(const command *c, FILE *to) {
    char page[64];
    (void) snprintf(page, sizeof(page), "NESTBOX-%s", c->name);
    for (char *at = page; *at; at++)
        *at = *at == ' ' ? '-' : *at >= 'a' && *at <= 'z' ? (char) (*at - 'a' + 'A') : *at;
    put_title(page, to);
    put_page_name(c->name, to);
    (void) fputs(" \\- ", to);
    put_text(c->summary, to);
    (void) fputs("\n.SH SYNOPSIS\n", to);
    put_usage(c->name, c->usage, to);
    if (c->alias) {
        (void) fputs(".br\n", to);
        put_usage(c->alias, c->usage, to);
    }
    if (c->details) {
        (void) fputs(".SH DESCRIPTION\n", to);
        put_text(c->details, to);
        (void) fputc('\n', to);
    }
    put_options(c->opts, to);
    (void) fputs(".SH EXAMPLES\n.nf\n", to);
    put_text(c->example, to);
    (void) fputs("\n.fi\n.SH SEE ALSO\n.BR nestbox (1)\n", to);
}

static const struct {
    const char *name, *meaning;
} variables[] = {
    {"NESTBOX_HOME", "the home, where --home does not name one; otherwise $XDG_DATA_HOME/nestbox, or ~/.local/share/nestbox"},
    {"NESTBOX_ACCEL", "kvm or tcg, where --accel names none"},
    {"NESTBOX_QEMU", "the machine program, instead of qemu-system-x86_64 in PATH"},
    {"NESTBOX_GUEST_DIR", "the folder of the guest kernel"},
    {"NESTBOX_REGISTRIES", "the settings of registries, instead of registries.json in the home"},
    {"http_proxy, https_proxy, all_proxy, no_proxy", "proxies for registries"},
};

static const struct {
    const char *status, *meaning;
} statuses[] = {
    {"0", "done; or the status of the command in the box, for run, exec, attach and start -a"},
    {"1", "it failed"},
    {"2", "it was used wrongly"},
    {"124", "the command in the box was ended by --timeout"},
    {"125", "run, exec, attach, start -a: Nestbox itself failed, or was used wrongly"},
    {"126, 127", "the command in the box could not be executed; was not found"},
    {"128 + N", "signal N ended the command in the box"},
};

void man_overview(const opt *global_options, FILE *to) {
    put_title("NESTBOX", to);
    (void) fputs("nestbox \\- run untrusted code in micro\\-VMs\n.SH SYNOPSIS\n.B nestbox\n[OPTIONS] COMMAND [ARG...]\n.SH DESCRIPTION\n"
                 "Each box is one OCI image in one micro\\-VM of its own. There is no daemon, and no root is needed.\n.SH COMMANDS\n",
                 to);
    for (command_group group = 0; group < GROUP_COUNT; group++) {
        (void) fprintf(to, ".SS %s\n", help_group_title(group));
        for (const command *const *c = commands; *c; c++) {
            if ((*c)->group != group)
                continue;
            (void) fputs(".TP\n.BR ", to);
            put_page_name((*c)->name, to);
            (void) fputs(" (1)\n", to);
            put_text((*c)->summary, to);
            (void) fputc('\n', to);
        }
    }
    put_options(global_options, to);
    (void) fputs(".SH EXIT STATUS\n", to);
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        (void) fprintf(to, ".TP\n.B %s\n", statuses[i].status);
        put_text(statuses[i].meaning, to);
        (void) fputc('\n', to);
    }
    (void) fputs(".SH ENVIRONMENT\n", to);
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        (void) fprintf(to, ".TP\n.B %s\n", variables[i].name);
        put_text(variables[i].meaning, to);
        (void) fputc('\n', to);
    }
}
