/* SPDX-License-Identifier: Apache-2.0
 *
 * option.c - a command's options as a table, and the parser that fills the command's argument struct from it
 */
#include "cli/option.h"

#include "base/error.h"
#include "base/quantity.h"
#include "base/size.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void *field_of(const opt *o, void *args) {
    return (char *) args + o->offset;
}

static const opt *find_by_name(const opt *opts, const char *name, size_t length) {
    for (const opt *o = opts; o->kind != OPT_KIND_END; o++) {
        if (strlen(o->name) == length && memcmp(o->name, name, length) == 0)
            return o;
    }
    return NULL;
}

static const opt *find_by_letter(const opt *opts, char letter) {
    for (const opt *o = opts; o->kind != OPT_KIND_END; o++) {
        if (o->letter == letter && letter != '\0')
            return o;
    }
    return NULL;
}

static int refuse(const opt *o, const char *value, const char *want, nb_error *err) {
    return nb_fail(err, NB_E_INVALID, 0, "--%s '%s': want %s", o->name, value, want);
}

static int store_flag(const opt *o, bool *field, const char *value, nb_error *err) {
    if (value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        return refuse(o, value, "no value, true or false", err);
    *field = !value || strcmp(value, "true") == 0;
    return 0;
}

static int store_list(opt_list *field, const char *value, nb_error *err) {
    size_t bytes;
    if (!mul_size(field->count + 1, sizeof(*field->items), &bytes))
        return nb_fail_oom(err);
    const char **grown = realloc(field->items, bytes);
    if (!grown)
        return nb_fail_oom(err);
    grown[field->count] = value;
    field->items = grown;
    field->count++;
    return 0;
}

static int store_choice(const opt *o, const char **field, const char *value, nb_error *err) {
    size_t length = strlen(value);
    for (const char *at = o->value; *at;) {
        size_t choice = strcspn(at, "|");
        if (choice == length && memcmp(at, value, length) == 0) {
            *field = value;
            return 0;
        }
        at += choice + (at[choice] == '|');
    }
    return nb_fail(err, NB_E_INVALID, 0, "--%s '%s': want one of %s", o->name, value, o->value);
}

static int store_count(const opt *o, uint32_t *field, const char *value, nb_error *err) {
    uint64_t count;
    assert(o->max <= UINT32_MAX);
    if (!quantity_count(value, o->min, o->max, &count))
        return nb_fail(err, NB_E_INVALID, 0, "--%s '%s': want a whole number from %llu to %llu", o->name, value,
                       (unsigned long long) o->min, (unsigned long long) o->max);
    *field = (uint32_t) count;
    return 0;
}

static int store_millis(const opt *o, uint32_t *field, const char *value, nb_error *err) {
    uint64_t millis;
    if (!quantity_millis(value, &millis) || millis < o->min || millis > o->max)
        return nb_fail(err, NB_E_INVALID, 0, "--%s '%s': want a number from %.2f to %.0f, such as 0.5", o->name, value,
                       (double) o->min / 1000, (double) o->max / 1000);
    *field = (uint32_t) millis;
    return 0;
}

static int store_size(const opt *o, uint64_t *field, const char *value, nb_error *err) {
    char min[QUANTITY_SIZE_TEXT_SIZE], max[QUANTITY_SIZE_TEXT_SIZE];
    uint64_t bytes;
    if (!quantity_size(value, &bytes))
        return refuse(o, value, QUANTITY_SIZE_FORM, err);
    quantity_size_text(o->min, min);
    quantity_size_text(o->max, max);
    if (bytes < o->min || bytes > o->max)
        return nb_fail(err, NB_E_INVALID, 0, "--%s '%s': want a size from %s to %s", o->name, value, min, max);
    *field = bytes;
    return 0;
}

static int store_duration(const opt *o, int64_t *field, const char *value, nb_error *err) {
    int64_t ms;
    if (!quantity_duration(value, &ms))
        return refuse(o, value, QUANTITY_DURATION_FORM, err);
    if ((uint64_t) ms < o->min || (uint64_t) ms > o->max)
        return nb_fail(err, NB_E_INVALID, 0, "--%s '%s': want a duration from %llums to %llus", o->name, value, (unsigned long long) o->min,
                       (unsigned long long) o->max / 1000);
    *field = ms;
    return 0;
}

/* @value  NULL for a flag without one */
static int store(const opt *o, void *args, const char *value, nb_error *err) {
    void *field = field_of(o, args);
    switch (o->kind) {
    case OPT_KIND_END:
        break;
    case OPT_KIND_FLAG:
        return store_flag(o, field, value, err);
    case OPT_KIND_STRING:
        *(const char **) field = value;
        return 0;
    case OPT_KIND_LIST:
        return store_list(field, value, err);
    case OPT_KIND_CHOICE:
        return store_choice(o, field, value, err);
    case OPT_KIND_COUNT:
        return store_count(o, field, value, err);
    case OPT_KIND_MILLIS:
        return store_millis(o, field, value, err);
    case OPT_KIND_SIZE:
        return store_size(o, field, value, err);
    case OPT_KIND_DURATION:
        return store_duration(o, field, value, err);
    case OPT_KIND_UNSUPPORTED:
        return nb_fail(err, NB_E_UNSUPPORTED, 0, "--%s: not supported yet", o->name);
    }
    assert(!"an option of a known kind");
    return -NB_E_INTERNAL;
}

static int store_defaults(const opt *opts, void *args, nb_error *err) {
    for (const opt *o = opts; o->kind != OPT_KIND_END; o++) {
        if (o->kind == OPT_KIND_DURATION)
            *(int64_t *) field_of(o, args) = -1;
        int r = o->standard ? store(o, args, o->standard, err) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static bool wants_value(const opt *o) {
    return o->value != NULL;
}

/* What is left to read of the command line. */
typedef struct arguments {
    const opt *opts;
    void *args;
    int argc;
    char **argv;
    int next; /* the first not yet looked at */
} arguments;

static int take_value(arguments *a, const opt *o, const char **ret_value, nb_error *err) {
    if (a->next >= a->argc)
        return nb_fail(err, NB_E_INVALID, 0, "--%s needs a value: %s", o->name, o->value);
    *ret_value = a->argv[a->next++];
    return 0;
}

/* "--name", "--name=value"; @word is what follows the dashes. */
static int parse_long(arguments *a, const char *word, nb_error *err) {
    size_t length = strcspn(word, "=");
    const char *value = word[length] == '=' ? word + length + 1 : NULL;
    const opt *o = find_by_name(a->opts, word, length);
    if (!o)
        return nb_fail(err, NB_E_INVALID, 0, "unknown option '--%.*s'", (int) length, word);
    if (o->kind != OPT_KIND_UNSUPPORTED && wants_value(o) && !value) {
        int r = take_value(a, o, &value, err);
        if (r < 0)
            return r;
    }
    return store(o, a->args, value, err);
}

/* "-it", "-eNAME=value"; @word is what follows the dash. */
static int parse_letters(arguments *a, const char *word, nb_error *err) {
    for (const char *at = word; *at; at++) {
        const opt *o = find_by_letter(a->opts, *at);
        const char *value = NULL;
        if (!o)
            return nb_fail(err, NB_E_INVALID, 0, "unknown option '-%c'", *at);
        bool has_value = wants_value(o) && o->kind != OPT_KIND_UNSUPPORTED;
        if (has_value && at[1] != '\0') {
            value = at + 1 + (at[1] == '=');
        } else if (has_value) {
            int r = take_value(a, o, &value, err);
            if (r < 0)
                return r;
        }
        int r = store(o, a->args, value, err);
        if (r < 0 || has_value)
            return r;
    }
    return 0;
}

int options_parse(const opt *opts, void *args, opt_order order, int argc, char **argv, opt_parsed *ret_parsed, nb_error *err) {
    arguments a = {opts, args, argc, argv, 0};
    int positional = 0;
    bool ended = false;
    int r = store_defaults(opts, args, err);
    while (r == 0 && a.next < argc) {
        char *word = argv[a.next++];
        bool is_option = !ended && word[0] == '-' && word[1] != '\0';
        if (is_option && strcmp(word, "--") == 0) {
            ended = true;
        } else if (is_option && (strcmp(word, "--help") == 0 || (strcmp(word, "-h") == 0 && !find_by_letter(opts, 'h')))) {
            *ret_parsed = (opt_parsed){.help = true};
            return 0;
        } else if (is_option) {
            r = word[1] == '-' ? parse_long(&a, word + 2, err) : parse_letters(&a, word + 1, err);
        } else {
            argv[positional++] = word;
            ended = ended || order == OPT_FIRST_ONLY;
        }
    }
    if (r < 0)
        return r;
    *ret_parsed = (opt_parsed){.positional_count = positional};
    return 0;
}

void options_done(const opt *opts, void *args) {
    for (const opt *o = opts; o->kind != OPT_KIND_END; o++) {
        opt_list *list = field_of(o, args);
        if (o->kind == OPT_KIND_LIST) {
            free((void *) list->items);
            *list = (opt_list){0};
        }
    }
}
