/* SPDX-License-Identifier: Apache-2.0
 *
 * complete.c - what may stand next on a command line
 *
 * Theory of operation
 *   The shells' scripts (cmd-completion.c) know nothing of our commands: they ask here at each tab. What is asked is answered from the tables that
 *   --help is printed from: a command's options, the choices of an option, and the names in its usage line, BOX, IMAGE or NAME.
 */
#include "cli/complete.h"

#include "base/cleanup.h"
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

/* Longer words of a usage line are none of those that are looked for. */
#define PLACE_SIZE 32u

static void offer(const char *typed, const char *word) {
    if (*word && strncmp(word, typed, strlen(typed)) == 0)
        (void) printf("%s\n", word);
}

/* ------------------------------------------------------------------------------------------------------------- options */

static void offer_options(const opt *opts, const char *typed) {
    char text[128];
    for (const opt *o = opts; o->kind != OPT_KIND_END; o++) {
        if (o->kind == OPT_KIND_UNSUPPORTED)
            continue;
        (void) snprintf(text, sizeof(text), "--%s", o->name);
        offer(typed, text);
    }
    offer(typed, "--help");
}

/* The option that @word names and whose value is the next word; NULL: none. */
static const opt *awaits_value(const opt *opts, const char *word) {
    size_t length = strlen(word);
    if (length < 2 || word[0] != '-' || strchr(word, '='))
        return NULL;
    for (const opt *o = opts; o->kind != OPT_KIND_END; o++) {
        bool named = word[1] == '-' ? strcmp(word + 2, o->name) == 0 : o->letter && word[length - 1] == o->letter;
        if (named)
            return o->value && o->kind != OPT_KIND_FLAG ? o : NULL;
    }
    return NULL;
}

static void offer_choices(const opt *o, const char *typed) {
    char word[PLACE_SIZE];
    for (const char *at = o->kind == OPT_KIND_CHOICE ? o->value : ""; *at;) {
        size_t length = strcspn(at, "|");
        (void) snprintf(word, sizeof(word), "%.*s", (int) length, at);
        offer(typed, word);
        at += length + (at[length] == '|');
    }
}

/* --------------------------------------------------------------------------------------------------------------- names */

/* "BOX:" where a path in it may follow. */
static void offer_boxes(cli *c, const char *typed, const char *suffix) {
    CLEANUP(cleanup_box_list) nb_box_list *list = NULL;
    char word[256];
    if (nb_box_list_get(c->runtime, &list, NULL) < 0)
        return;
    for (size_t i = 0; i < list->count; i++) {
        (void) snprintf(word, sizeof(word), "%s%s", list->items[i].name, suffix);
        if (list->items[i].name[0])
            offer(typed, word);
        (void) snprintf(word, sizeof(word), "%s%s", list->items[i].id, suffix);
        if (!list->items[i].name[0] || *typed)
            offer(typed, word);
    }
}

static void offer_images(cli *c, const char *typed) {
    CLEANUP(cleanup_image_list) nb_image_list *list = NULL;
    offer(typed, "busybox");
    if (nb_image_list_get(c->runtime, &list, NULL) < 0)
        return;
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].name, "busybox") != 0)
            offer(typed, list->items[i].name);
    }
}

static void offer_volumes(cli *c, const char *typed) {
    CLEANUP(cleanup_volume_list) nb_volume_list *list = NULL;
    if (nb_volume_list_get(c->runtime, &list, NULL) < 0)
        return;
    for (size_t i = 0; i < list->count; i++)
        offer(typed, list->items[i].name);
}

static void offer_templates(cli *c, const char *typed) {
    CLEANUP(cleanup_template_list) nb_template_list *list = NULL;
    if (nb_template_list_get(c->runtime, &list, NULL) < 0)
        return;
    for (size_t i = 0; i < list->count; i++)
        offer(typed, list->items[i].key);
}

/* The commands that begin with @first, or all: those of a family by their first word, and with it by their second. */
static void offer_commands(const char *first, const char *typed) {
    char before[PLACE_SIZE] = "";
    for (const command *const *each = commands; *each; each++) {
        const char *name = (*each)->name, *space = strchr(name, ' ');
        char word[PLACE_SIZE];
        (void) snprintf(word, sizeof(word), "%.*s", (int) strcspn(name, " "), name);
        if (first && space && strcmp(word, first) == 0)
            offer(typed, space + 1);
        else if (!first && strcmp(word, before) != 0)
            offer(typed, word);
        (void) snprintf(before, sizeof(before), "%s", word);
    }
}

/* ---------------------------------------------------------------------------------------------------------- the place */

/* What the usage line has at the @index-th positional argument: "BOX" of "[BOX...]". Empty: nothing. */
static void find_place(const char *usage, int index, char ret_place[PLACE_SIZE]) {
    bool repeats = false;
    ret_place[0] = '\0';
    for (const char *at = usage; *at && index >= 0;) {
        size_t length = strcspn(at, " ");
        size_t open = at[0] == '[';
        size_t name = strspn(at + open, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        if (strncmp(at + open, "OPTIONS", 7) != 0) {
            (void) snprintf(ret_place, PLACE_SIZE, "%.*s", (int) name, at + open);
            repeats = strncmp(at + open + name, "...", 3) == 0;
            index--;
        }
        at += length + (at[length] == ' ');
    }
    if (index >= 0 && !repeats)
        ret_place[0] = '\0';
}

static void offer_place(cli *c, const command *wanted, int index, const char *typed) {
    char place[PLACE_SIZE];
    find_place(wanted->usage, index, place);
    if (wanted == &command_help) {
        offer_commands(NULL, typed);
        return;
    }
    if (!*place || cli_open(c, NULL) < 0)
        return;
    if (strcmp(place, "BOX") == 0)
        offer_boxes(c, typed, "");
    else if (strcmp(place, "SRC") == 0 || strcmp(place, "DST") == 0)
        offer_boxes(c, typed, ":");
    else if (strcmp(place, "IMAGE") == 0)
        offer_images(c, typed);
    else if (strcmp(place, "NAME") == 0 && wanted != &command_volume_create && wanted->group == GROUP_VOLUME)
        offer_volumes(c, typed);
    else if (strcmp(place, "KEY") == 0)
        offer_templates(c, typed);
}

/* The words behind a command's name. */
static void complete_arguments(cli *c, const command *wanted, int argc, char **argv) {
    const char *typed = argv[argc - 1];
    int positional = 0;
    bool ended = false;
    for (int i = 0; i + 1 < argc; i++) {
        const opt *o = ended ? NULL : awaits_value(wanted->opts, argv[i]);
        if (o && i + 2 == argc) {
            offer_choices(o, typed);
            return;
        }
        if (o)
            i++;
        else if (!ended && strcmp(argv[i], "--") == 0)
            ended = true;
        else if (ended || argv[i][0] != '-' || argv[i][1] == '\0')
            positional++;
        ended = ended || (positional > 0 && wanted->order == OPT_FIRST_ONLY);
    }
    if (!ended && typed[0] == '-')
        offer_options(wanted->opts, typed);
    else
        offer_place(c, wanted, positional, typed);
}

void complete_print(cli *c, int argc, char **argv) {
    int at = 0, words;
    while (at + 1 < argc && argv[at][0] == '-')
        at += awaits_value(cli_global_options, argv[at]) ? 2 : 1;
    if (argc == 0 || at >= argc) {
        if (argc >= 2)
            offer_choices(awaits_value(cli_global_options, argv[argc - 2]), argv[argc - 1]);
        return;
    }
    const char *typed = argv[argc - 1];
    const command *wanted = command_find(argc - at - 1, argv + at, &words);
    if (wanted)
        complete_arguments(c, wanted, argc - at - words, argv + at + words);
    else if (at + 1 == argc && typed[0] == '-')
        offer_options(cli_global_options, typed);
    else if (at + 1 == argc)
        offer_commands(NULL, typed);
    else if (at + 2 == argc)
        offer_commands(argv[at], typed);
}
