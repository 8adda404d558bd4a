/* SPDX-License-Identifier: Apache-2.0
 *
 * test-cli-option.c - the option parser, and the defaults of run and create
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "cli/box-options.h"
#include "cli/option.h"

struct sample_args {
    bool interactive, tty;
    const char *name, *format;
    opt_list variables;
    uint32_t cpus;
    uint64_t memory_bytes;
    int64_t timeout_ms;
};

static const opt sample[] = {
    OPT_FLAG('i', "interactive", struct sample_args, interactive, "flag"),
    OPT_FLAG('t', "tty", struct sample_args, tty, "flag"),
    OPT_STRING('n', "name", struct sample_args, name, "NAME", NULL, "string"),
    OPT_CHOICE('\0', "format", struct sample_args, format, "table|json", "table", "choice"),
    OPT_LIST('e', "env", struct sample_args, variables, "NAME=VALUE", "list"),
    OPT_COUNT('\0', "cpus", struct sample_args, cpus, 1, 64, "1", "count"),
    OPT_SIZE('m', "memory", struct sample_args, memory_bytes, 1024, 1048576, NULL, "size"),
    OPT_DURATION('\0', "timeout", struct sample_args, timeout_ms, 1, 60000, NULL, "duration"),
    OPT_UNSUPPORTED('p', "publish", "PORT"),
    OPT_END,
};

#define WORDS_MAX 16

/* Parses a copy of the words up to NULL; the copy stays in @words. */
static int parse(opt_order order, const char *const *from, char *words[WORDS_MAX], struct sample_args *args, opt_parsed *parsed,
                 nb_error *err) {
    int count = 0;
    for (; from[count]; count++)
        words[count] = (char *) from[count];
    memset(args, 0, sizeof(*args));
    return options_parse(sample, args, order, count, words, parsed, err);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void forms_of_values(void **state) {
    static const char *const forms[][3] = {{"--name", "web", NULL}, {"--name=web", NULL}, {"-n", "web", NULL},
                                           {"-nweb", NULL},         {"-n=web", NULL},     {"-itnweb", NULL}};
    for (size_t i = 0; i < ARRAY_LENGTH(forms); i++) {
        struct sample_args args;
        char *words[WORDS_MAX];
        opt_parsed parsed;
        assert_int_equal(parse(OPT_ANYWHERE, forms[i], words, &args, &parsed, NULL), 0);
        assert_string_equal(args.name, "web");
        assert_int_equal(parsed.positional_count, 0);
    }
}

static void defaults_are_those_of_the_table(void **state) {
    struct sample_args args;
    char *words[WORDS_MAX];
    opt_parsed parsed;
    assert_int_equal(parse(OPT_ANYWHERE, WORDS("x"), words, &args, &parsed, NULL), 0);
    assert_false(args.interactive);
    assert_null(args.name);
    assert_string_equal(args.format, "table");
    assert_int_equal(args.cpus, 1);
    assert_int_equal(args.memory_bytes, 0);
    assert_int_equal(args.timeout_ms, -1);
    assert_int_equal(args.variables.count, 0);
}

static void clusters_and_lists(void **state) {
    struct sample_args args;
    char *words[WORDS_MAX];
    opt_parsed parsed;
    const char *const *line = WORDS("-it", "-eA=1", "-e", "B=2=3", "--env=C=", "--env", "D", "-m512k", "--timeout", "500ms");
    assert_int_equal(parse(OPT_ANYWHERE, line, words, &args, &parsed, NULL), 0);
    assert_true(args.interactive && args.tty);
    assert_int_equal(args.variables.count, 4);
    assert_string_equal(args.variables.items[0], "A=1");
    assert_string_equal(args.variables.items[1], "B=2=3");
    assert_string_equal(args.variables.items[2], "C=");
    assert_string_equal(args.variables.items[3], "D");
    assert_int_equal(args.memory_bytes, 512 * 1024);
    assert_int_equal(args.timeout_ms, 500);
    options_done(sample, &args);
    assert_int_equal(args.variables.count, 0);
}

static void options_end_at_the_first_positional(void **state) {
    struct sample_args args;
    char *words[WORDS_MAX];
    opt_parsed parsed;
    assert_int_equal(parse(OPT_FIRST_ONLY, WORDS("-i", "busybox", "sh", "-t", "--", "--nope"), words, &args, &parsed, NULL), 0);
    assert_true(args.interactive);
    assert_false(args.tty);
    assert_int_equal(parsed.positional_count, 5);
    assert_string_equal(words[0], "busybox");
    assert_string_equal(words[3], "--");
    assert_string_equal(words[4], "--nope");
}

static void options_stand_anywhere_until_dashes(void **state) {
    struct sample_args args;
    char *words[WORDS_MAX];
    opt_parsed parsed;
    assert_int_equal(parse(OPT_ANYWHERE, WORDS("a", "-t", "-", "--", "-i", "--"), words, &args, &parsed, NULL), 0);
    assert_true(args.tty);
    assert_false(args.interactive);
    assert_int_equal(parsed.positional_count, 4);
    assert_string_equal(words[0], "a");
    assert_string_equal(words[1], "-");
    assert_string_equal(words[2], "-i");
    assert_string_equal(words[3], "--");
}

static void help_is_known_to_every_table(void **state) {
    struct sample_args args;
    char *words[WORDS_MAX];
    opt_parsed parsed;
    assert_int_equal(parse(OPT_ANYWHERE, WORDS("a", "--help"), words, &args, &parsed, NULL), 0);
    assert_true(parsed.help);
    assert_int_equal(parse(OPT_FIRST_ONLY, WORDS("-h"), words, &args, &parsed, NULL), 0);
    assert_true(parsed.help);
    assert_int_equal(parse(OPT_FIRST_ONLY, WORDS("busybox", "--help"), words, &args, &parsed, NULL), 0);
    assert_false(parsed.help);
}

static void refusals_name_the_option(void **state) {
    static const struct {
        const char *words[3];
        int code;
        const char *message;
    } refused[] = {
        {{"--nope"}, NB_E_INVALID, "unknown option '--nope'"},
        {{"--nam=x"}, NB_E_INVALID, "unknown option '--nam'"},
        {{"-ix"}, NB_E_INVALID, "unknown option '-x'"},
        {{"--name"}, NB_E_INVALID, "--name needs a value: NAME"},
        {{"-n"}, NB_E_INVALID, "--name needs a value: NAME"},
        {{"--tty=yes"}, NB_E_INVALID, "--tty 'yes': want no value, true or false"},
        {{"--format", "yaml"}, NB_E_INVALID, "--format 'yaml': want one of table|json"},
        {{"--format", "table|json"}, NB_E_INVALID, "--format 'table|json': want one of table|json"},
        {{"--format="}, NB_E_INVALID, "--format '': want one of table|json"},
        {{"--cpus", "1.5"}, NB_E_INVALID, "--cpus '1.5': want a whole number from 1 to 64"},
        {{"--cpus", "65"}, NB_E_INVALID, "--cpus '65': want a whole number from 1 to 64"},
        {{"-m", "1023"}, NB_E_INVALID, "--memory '1023': want a size from 1.0 KiB to 1.0 MiB"},
        {{"-m", "1048577"}, NB_E_INVALID, "--memory '1048577': want a size from 1.0 KiB to 1.0 MiB"},
        {{"-m", "x"}, NB_E_INVALID, "--memory 'x': want bytes, or a whole number with k, m or g (powers of 1024), such as 512m"},
        {{"--timeout", "0"}, NB_E_INVALID, "--timeout '0': want a duration from 1ms to 60s"},
        {{"--timeout", "-1"},
         NB_E_INVALID,
         "--timeout '-1': want plain seconds, or a whole number with ms, s, m or h, such as 500ms or 30s"},
        {{"--publish", "80"}, NB_E_UNSUPPORTED, "--publish: not supported yet"},
        {{"-ip80"}, NB_E_UNSUPPORTED, "--publish: not supported yet"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++) {
        struct sample_args args;
        char *words[WORDS_MAX];
        opt_parsed parsed;
        nb_error err = {0};
        const char *const line[] = {refused[i].words[0], refused[i].words[1], NULL};
        assert_int_equal(parse(OPT_ANYWHERE, line, words, &args, &parsed, &err), -refused[i].code);
        assert_string_equal(err.message, refused[i].message);
        options_done(sample, &args);
    }
}

static void last_one_counts(void **state) {
    struct sample_args args;
    char *words[WORDS_MAX];
    opt_parsed parsed;
    assert_int_equal(parse(OPT_ANYWHERE, WORDS("--name=a", "-t", "--name=b", "--tty=false"), words, &args, &parsed, NULL), 0);
    assert_string_equal(args.name, "b");
    assert_false(args.tty);
}

struct create_args {
    box_arguments box;
};

/* The table of run and create writes defaults out for --help; the library has them too. */
static void box_defaults_are_the_library_s(void **state) {
    static const opt opts[] = {BOX_OPTIONS(struct create_args), OPT_END};
    struct create_args args = {0};
    opt_parsed parsed;
    assert_int_equal(options_parse(opts, &args, OPT_FIRST_ONLY, 0, NULL, &parsed, NULL), 0);
    assert_int_equal(args.box.memory_bytes, NB_MEMORY_DEFAULT_BYTES);
    assert_int_equal(args.box.disk_bytes, NB_DISK_DEFAULT_BYTES);
    assert_int_equal(args.box.cpu_millis, 0);
    assert_int_equal(args.box.pids_max, NB_PIDS_DEFAULT);
    assert_int_equal(args.box.stop_timeout_ms, NB_STOP_TIMEOUT_DEFAULT_MS);
    options_done(opts, &args);
}

/* Two options with one letter or name would hide each other. */
static void box_options_are_distinct(void **state) {
    static const opt opts[] = {BOX_OPTIONS(struct create_args), OPT_END};
    for (const opt *a = opts; a->kind != OPT_KIND_END; a++) {
        for (const opt *b = a + 1; b->kind != OPT_KIND_END; b++) {
            assert_string_not_equal(a->name, b->name);
            assert_true(a->letter == '\0' || a->letter != b->letter);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_of_values),
        cmocka_unit_test(defaults_are_those_of_the_table),
        cmocka_unit_test(clusters_and_lists),
        cmocka_unit_test(options_end_at_the_first_positional),
        cmocka_unit_test(options_stand_anywhere_until_dashes),
        cmocka_unit_test(help_is_known_to_every_table),
        cmocka_unit_test(refusals_name_the_option),
        cmocka_unit_test(last_one_counts),
        cmocka_unit_test(box_defaults_are_the_library_s),
        cmocka_unit_test(box_options_are_distinct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
