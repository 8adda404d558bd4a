/* SPDX-License-Identifier: Apache-2.0
 *
 * option.h - a command's options as a table, and the parser that fills the command's argument struct from it
 *
 * One table per command is the only place where an option's name, type, default and help stand; --help is printed from it. The
 * macros do not compile when an option has no help text, or a field of another type than its kind stores.
 *
 * Forms: --name value, --name=value, -n value, -nvalue, -n=value, clusters of flags (-it), -- to end the options. A flag may be given as
 * --name=true or =false. Given twice, the last counts, except for lists. Anything else that begins with '-' is refused.
 */
#ifndef CLI_OPTION_H
#define CLI_OPTION_H

#include <nestbox/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum opt_kind {
    OPT_KIND_END = 0,
    OPT_KIND_FLAG,        /* bool */
    OPT_KIND_STRING,      /* const char *, NULL when not given */
    OPT_KIND_LIST,        /* opt_list */
    OPT_KIND_CHOICE,      /* const char *, one of the words between the bars of .value */
    OPT_KIND_COUNT,       /* uint32_t, min to max */
    OPT_KIND_MILLIS,      /* uint32_t thousandths, 0 when not given */
    OPT_KIND_SIZE,        /* uint64_t bytes, 0 when not given */
    OPT_KIND_DURATION,    /* int64_t milliseconds, -1 when not given */
    OPT_KIND_UNSUPPORTED, /* known, and refused by name: nothing is stored */
} opt_kind;

typedef struct opt_list {
    const char **items; /* owned by options_done(); the strings are argv's */
    size_t count;
} opt_list;

typedef struct opt {
    opt_kind kind;
    char letter; /* '\0': none */
    const char *name;
    size_t offset;
    const char *value;    /* what its value is called, "SIZE"; NULL: it takes none */
    const char *standard; /* the default, as one would type it; NULL: none */
    const char *help;
    uint64_t min, max; /* of counts, sizes (bytes) and durations (milliseconds) */
} opt;

/* The array has a negative size, which no compiler takes, for an empty text or a field of the wrong type. */
#define OPT_HELP(text) (&("" text)[0 * sizeof(char[sizeof("" text) > 1 ? 1 : -1])])
#define OPT_FIELD(type, field, expected) \
    (offsetof(type, field) + 0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((type *) 0)->field), expected) ? 1 : -1]))

#define OPT_FLAG(letter, name, type, field, help) \
    { OPT_KIND_FLAG, letter, name, OPT_FIELD(type, field, bool), NULL, NULL, OPT_HELP(help), 0, 0 }
#define OPT_STRING(letter, name, type, field, value, standard, help) \
    { OPT_KIND_STRING, letter, name, OPT_FIELD(type, field, const char *), value, standard, OPT_HELP(help), 0, 0 }
#define OPT_LIST(letter, name, type, field, value, help) \
    { OPT_KIND_LIST, letter, name, OPT_FIELD(type, field, opt_list), value, NULL, OPT_HELP(help), 0, 0 }
/* @choices  "table|json" */
#define OPT_CHOICE(letter, name, type, field, choices, standard, help) \
    { OPT_KIND_CHOICE, letter, name, OPT_FIELD(type, field, const char *), choices, standard, OPT_HELP(help), 0, 0 }
#define OPT_COUNT(letter, name, type, field, min, max, standard, help) \
    { OPT_KIND_COUNT, letter, name, OPT_FIELD(type, field, uint32_t), "N", standard, OPT_HELP(help), min, max }
/* A number with up to three decimals; @min and @max in thousandths. */
#define OPT_MILLIS(letter, name, type, field, min, max, standard, help) \
    { OPT_KIND_MILLIS, letter, name, OPT_FIELD(type, field, uint32_t), "N", standard, OPT_HELP(help), min, max }
#define OPT_SIZE(letter, name, type, field, min, max, standard, help) \
    { OPT_KIND_SIZE, letter, name, OPT_FIELD(type, field, uint64_t), "SIZE", standard, OPT_HELP(help), min, max }
#define OPT_DURATION(letter, name, type, field, min, max, standard, help) \
    { OPT_KIND_DURATION, letter, name, OPT_FIELD(type, field, int64_t), "DURATION", standard, OPT_HELP(help), min, max }
/* @value  NULL where it will be a flag */
#define OPT_UNSUPPORTED(letter, name, value) \
    { OPT_KIND_UNSUPPORTED, letter, name, 0, value, NULL, NULL, 0, 0 }
#define OPT_END \
    { OPT_KIND_END, '\0', NULL, 0, NULL, NULL, NULL, 0, 0 }

typedef enum opt_order {
    OPT_ANYWHERE,  /* options may stand between and after the positional arguments */
    OPT_FIRST_ONLY /* the first positional argument ends them: what follows belongs to a command in the box */
} opt_order;

typedef struct opt_parsed {
    int positional_count; /* they are moved to the front of argv, in their order */
    bool help;            /* --help or -h was there; parsing ended with it */
} opt_parsed;

/* Fills @args, which is zeroed by the caller, with the defaults of the table and then with what @argv says.
 *
 * @argv        without the command's own name; borrowed for as long as @args is used, and reordered
 * @ret_parsed  set on success only; @args is for options_done() in any case
 * Errors, naming the option: -NB_E_INVALID, -NB_E_UNSUPPORTED (known, but not there yet), -NB_E_NO_MEMORY. */
int options_parse(const opt *opts, void *args, opt_order order, int argc, char **argv, opt_parsed *ret_parsed, nb_error *err);

/* Frees the lists. */
void options_done(const opt *opts, void *args);

#endif
