/* SPDX-License-Identifier: Apache-2.0
 *
 * test-image-changes.c - a Dockerfile's instructions, and the text of the configuration that they make
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/size.h"
#include "image/changes.h"
#include "wire/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static image_config config_make(void) {
    image_config config;
    image_config_init(&config);
    config.os = strdup("linux");
    config.architecture = strdup("amd64");
    config.cwd = strdup("/srv");
    config.user = strdup("");
    config.stop_signal = strdup("");
    assert_true(strv_add(&config.env, "PATH=/bin") && strv_add(&config.env, "A=old") && strv_add(&config.command, "old"));
    return config;
}

/* @changes  "X\0Y\0": instructions, packed */
static int change(image_config *config, const char *changes, size_t length, nb_error *err) {
    return image_config_change(config, (strv){changes, length}, err);
}

static void change_well(image_config *config, const char *changes, size_t length) {
    nb_error err;
    if (change(config, changes, length, &err) < 0)
        fail_msg("%s", err.message);
}
#define CHANGE(config, changes) change_well(&(config), (changes), sizeof(changes))

static void assert_list(const buf *list, const char *packed, size_t length) {
    assert_int_equal(buf_length(list), length);
    if (length > 0)
        assert_memory_equal(buf_bytes(list), packed, length);
}
#define ASSERT_LIST(list, packed) assert_list(&(list), (packed), sizeof(packed) - 1)

static void a_command_is_words_or_a_line_for_the_shell(void **state) {
    CLEANUP(image_config_done) image_config config = config_make();
    CHANGE(config, "CMD [\"/bin/app\", \"-x\", \"\"]");
    ASSERT_LIST(config.command, "/bin/app\0-x\0\0");
    CHANGE(config, "cmd echo $HOME  'a b' ");
    ASSERT_LIST(config.command, "/bin/sh\0-c\0echo $HOME  'a b'\0");
    assert_true(strv_add(&config.shell, "/bin/bash") && strv_add(&config.shell, "-ec"));
    CHANGE(config, " \tENTRYPOINT\texec top");
    ASSERT_LIST(config.entrypoint, "/bin/bash\0-ec\0exec top\0");
    CHANGE(config, "CMD []");
    ASSERT_LIST(config.command, "");
    CHANGE(config, "CMD [1, 2]"); /* as Docker has it: what is no array of strings is a line */
    ASSERT_LIST(config.command, "/bin/bash\0-ec\0[1, 2]\0");
}

static void an_entrypoint_takes_the_command_away_unless_it_is_given_too(void **state) {
    CLEANUP(image_config_done) image_config alone = config_make(), both = config_make();
    CHANGE(alone, "ENTRYPOINT [\"e\"]");
    ASSERT_LIST(alone.command, "");
    CHANGE(both, "CMD [\"c\"]\0ENTRYPOINT [\"e\"]");
    ASSERT_LIST(both.command, "c\0");
    ASSERT_LIST(both.entrypoint, "e\0");
}

static void variables_and_labels_take_the_place_of_their_namesakes(void **state) {
    CLEANUP(image_config_done) image_config config = config_make();
    CHANGE(config, "ENV A=1 B=\"two words\" C=a\\ b D='$x' E=\"\\\"q\\\"\" F=");
    ASSERT_LIST(config.env, "PATH=/bin\0A=1\0B=two words\0C=a b\0D=$x\0E=\"q\"\0F=\0");
    CHANGE(config, "ENV A the rest  of it");
    ASSERT_LIST(config.env, "PATH=/bin\0B=two words\0C=a b\0D=$x\0E=\"q\"\0F=\0A=the rest  of it\0");
    CHANGE(config, "LABEL x=1\0LABEL x=2 y=3");
    ASSERT_LIST(config.labels, "x=2\0y=3\0");
}

static void ports_and_volumes_are_added_once(void **state) {
    CLEANUP(image_config_done) image_config config = config_make();
    CHANGE(config, "EXPOSE 80 443/TCP 80/tcp 8000-8010/udp");
    ASSERT_LIST(config.exposed_ports, "80/tcp\000443/tcp\0008000-8010/udp\0");
    CHANGE(config, "VOLUME [\"/data\", \"/a b\"]\0VOLUME /data /log");
    ASSERT_LIST(config.volumes, "/data\0/a b\0/log\0");
}

static void a_relative_working_directory_goes_on_from_the_one_before(void **state) {
    CLEANUP(image_config_done) image_config config = config_make();
    CHANGE(config, "WORKDIR app");
    assert_string_equal(config.cwd, "/srv/app");
    CHANGE(config, "WORKDIR /\0WORKDIR x");
    assert_string_equal(config.cwd, "/x");
    CHANGE(config, "USER me:them\0STOPSIGNAL SIGUSR1");
    assert_string_equal(config.user, "me:them");
    assert_string_equal(config.stop_signal, "SIGUSR1");
}

static void what_is_no_instruction_is_named(void **state) {
    static const struct {
        const char *change, *word;
    } wrong[] = {
        {"", "no such instruction"}, {"RUN make", "RUN make"},    {"FROM x", "no such"},   {"CMDX y", "no such"},
        {"CMD", "argument"},         {"USER  ", "argument"},      {"ENV A", "no value"},   {"ENV =x", "names nothing"},
        {"ENV A=1 B", "KEY=VALUE"},  {"ENV A=1 =2", "KEY=VALUE"}, {"ENV A=\"1", "quote"},  {"LABEL a='x", "quote"},
        {"EXPOSE web", "web"},       {"EXPOSE 0", "'0'"},         {"VOLUME data", "data"}, {"VOLUME [\"data\"]", "data"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        CLEANUP(image_config_done) image_config config = config_make();
        nb_error err;
        if (change(&config, wrong[i].change, strlen(wrong[i].change) + 1, &err) != -NB_E_INVALID)
            fail_msg("taken: %s", wrong[i].change);
        if (!strstr(err.message, wrong[i].word))
            fail_msg("no '%s' in: %s", wrong[i].word, err.message);
    }
}

static void lengths_have_bounds(void **state) {
    static char text[WIRE_PATH_MAX_BYTES + 64];
    for (size_t length = WIRE_PATH_MAX_BYTES - 1; length <= WIRE_PATH_MAX_BYTES + 1; length++) {
        CLEANUP(image_config_done) image_config config = config_make();
        nb_error err;
        (void) snprintf(text, sizeof(text), "WORKDIR /%0*d", (int) length - 1, 0);
        assert_int_equal(change(&config, text, strlen(text) + 1, &err), length > WIRE_PATH_MAX_BYTES ? -NB_E_INVALID : 0);
    }
}

/* ----------------------------------------------------------------------------------------------------------------- text */

static digest layer_of(const char *text) {
    digest d;
    assert_true(digest_of(text, strlen(text), &d));
    return d;
}

static void the_text_says_all_that_was_said_and_is_read_back(void **state) {
    CLEANUP(image_config_done) image_config config = config_make(), again = {0};
    CLEANUP(cleanup_free) char *text = NULL, *same = NULL;
    digest layer = layer_of("layer");
    nb_error err;
    CHANGE(config, "ENTRYPOINT [\"/e\"]\0CMD [\"c \\u00e4\"]\0EXPOSE 80\0VOLUME /v\0LABEL b=2 a=1 c=\0USER u\0STOPSIGNAL 9");
    assert_true(strv_add(&config.shell, "/bin/bash") && strv_add(&config.health.test, "CMD") && strv_add(&config.health.test, "true"));
    config.health.interval_ns = 5;
    config.health.retries = 3;
    assert_int_equal(image_config_text(&config, &layer, &text, &err), 0);
    assert_int_equal(image_config_parse(text, strlen(text), &again, &err), 0);
    assert_int_equal(again.diff_id_count, 1);
    assert_true(digest_equal(&again.diff_ids[0], &layer));
    ASSERT_LIST(again.entrypoint, "/e\0");
    ASSERT_LIST(again.command, "c \xc3\xa4\0");
    ASSERT_LIST(again.env, "PATH=/bin\0A=old\0");
    ASSERT_LIST(again.labels, "a=1\0b=2\0c=\0");
    ASSERT_LIST(again.exposed_ports, "80/tcp\0");
    ASSERT_LIST(again.volumes, "/v\0");
    ASSERT_LIST(again.shell, "/bin/bash\0");
    ASSERT_LIST(again.health.test, "CMD\0true\0");
    assert_int_equal(again.health.interval_ns, 5);
    assert_int_equal(again.health.retries, 3);
    assert_string_equal(again.user, "u");
    assert_string_equal(again.cwd, "/srv");
    assert_string_equal(again.stop_signal, "9");
    assert_int_equal(image_config_text(&again, &layer, &same, &err), 0);
    assert_string_equal(text, same);
}

static void the_text_says_nothing_that_was_not_said(void **state) {
    CLEANUP(image_config_done) image_config config;
    CLEANUP(cleanup_free) char *text = NULL;
    digest layer = layer_of("");
    nb_error err;
    image_config_init(&config);
    config.os = strdup("linux");
    config.architecture = strdup("arm64");
    config.cwd = strdup("");
    config.user = strdup("");
    config.stop_signal = strdup("");
    assert_int_equal(image_config_text(&config, &layer, &text, &err), 0);
    assert_string_equal(text, "{\"architecture\":\"arm64\",\"config\":{},\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[\"sha256:"
                              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"],\"type\":\"layers\"}}");
}

static void what_is_no_utf_8_cannot_be_said(void **state) {
    CLEANUP(image_config_done) image_config config = config_make();
    char *text = NULL;
    digest layer = layer_of("");
    nb_error err;
    assert_true(strv_add(&config.env, "X=\xff"));
    assert_int_equal(image_config_text(&config, &layer, &text, &err), -NB_E_INVALID);
    assert_non_null(strstr(err.message, "UTF-8"));
}

static void a_message_carries_all_of_it(void **state) {
    CLEANUP(image_config_done) image_config config = config_make(), again = {0};
    CLEANUP(cleanup_free) char *text = NULL, *same = NULL;
    CLEANUP(buf_done) buf bytes;
    digest layer = layer_of("layer");
    nb_error err;
    buf_init(&bytes, WIRE_IMAGE_CONFIG_MAX_BYTES);
    CHANGE(config, "ENTRYPOINT [\"/e\"]\0EXPOSE 80\0VOLUME /v\0LABEL b=2\0USER u");
    assert_true(strv_add(&config.health.test, "NONE"));
    assert_true(image_config_encode(&config, &bytes));
    assert_int_equal(image_config_decode(buf_bytes(&bytes), buf_length(&bytes), &again, &err), 0);
    assert_int_equal(image_config_text(&config, &layer, &text, &err) | image_config_text(&again, &layer, &same, &err), 0);
    assert_string_equal(text, same);
    image_config none;
    assert_int_equal(image_config_decode(buf_bytes(&bytes), buf_length(&bytes) - 1, &none, &err), -NB_E_INVALID);
    assert_int_equal(image_config_decode(NULL, 0, &none, &err), -NB_E_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_is_words_or_a_line_for_the_shell),
        cmocka_unit_test(an_entrypoint_takes_the_command_away_unless_it_is_given_too),
        cmocka_unit_test(variables_and_labels_take_the_place_of_their_namesakes),
        cmocka_unit_test(ports_and_volumes_are_added_once),
        cmocka_unit_test(a_relative_working_directory_goes_on_from_the_one_before),
        cmocka_unit_test(what_is_no_instruction_is_named),
        cmocka_unit_test(lengths_have_bounds),
        cmocka_unit_test(the_text_says_all_that_was_said_and_is_read_back),
        cmocka_unit_test(the_text_says_nothing_that_was_not_said),
        cmocka_unit_test(what_is_no_utf_8_cannot_be_said),
        cmocka_unit_test(a_message_carries_all_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
