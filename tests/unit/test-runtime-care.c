/* SPDX-License-Identifier: Apache-2.0
 *
 * test-runtime-care.c - what a box's supervisor is to see to: options that contradict each other, and who has the last word on health
 */
#include "base/cleanup.h"
#include "fail.h"
#include "runtime/care.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LIST(text) ((strv){(text), sizeof(text) - 1})
#define MS UINT64_C(1000000)

static const char *const curl[] = {"CMD", "curl", "-f", "localhost"};

static image_record image_with_check(void) {
    return (image_record){
        .health_test = LIST("CMD-SHELL\0wget -q localhost\0"),
        .health_interval_ns = 5000 * MS,
        .health_timeout_ns = 1,
        .health_start_period_ns = 7000 * MS,
        .health_retries = 8,
    };
}

static box_care merge(const nb_box_options *options, const image_record *image, buf *command) {
    box_care care;
    nb_error err;
    buf_init(command, 1 << 16);
    if (care_merge(options, image, command, &care, &err) < 0)
        fail_msg("%s", err.message);
    return care;
}

static void expect_command(const box_care *care, strv words) {
    assert_int_equal(care->health_command.bytes, words.bytes);
    assert_memory_equal(care->health_command.at, words.at, words.bytes);
}

static void an_image_without_a_check_has_none(void **state) {
    CLEANUP(buf_done) buf command;
    nb_health_check times = {.interval_ns = 1000 * MS, .retries = 4};
    box_care care = merge(&(nb_box_options){.health = &times, .auto_stop_ms = 1}, &(image_record){0}, &command);
    assert_int_equal(care.health_command.bytes, 0);
    assert_int_equal(care.health_interval_ms + care.health_retries, 0);
    assert_int_equal(care.auto_stop_ms, 1);
}

static void an_image_s_check_is_taken(void **state) {
    CLEANUP(buf_done) buf command;
    image_record image = image_with_check();
    box_care care = merge(&(nb_box_options){0}, &image, &command);
    expect_command(&care, LIST("/bin/sh\0-c\0wget -q localhost\0"));
    assert_int_equal(care.health_interval_ms, 5000);
    assert_int_equal(care.health_timeout_ms, 1); /* a nanosecond is not for ever */
    assert_int_equal(care.health_start_period_ms, 7000);
    assert_int_equal(care.health_retries, 8);
}

static void the_image_s_shell_runs_its_line(void **state) {
    CLEANUP(buf_done) buf command;
    image_record image = image_with_check();
    image.shell = LIST("/bin/bash\0-ec\0");
    box_care care = merge(&(nb_box_options){0}, &image, &command);
    expect_command(&care, LIST("/bin/bash\0-ec\0wget -q localhost\0"));
}

static void the_box_has_the_last_word_on_each(void **state) {
    CLEANUP(buf_done) buf command;
    image_record image = image_with_check();
    nb_health_check own = {.test = {curl, 4}, .retries = 1};
    box_care care = merge(&(nb_box_options){.health = &own}, &image, &command);
    expect_command(&care, LIST("curl\0-f\0localhost\0"));
    assert_int_equal(care.health_interval_ms, 5000);
    assert_int_equal(care.health_retries, 1);
}

static void what_nobody_says_is_the_default(void **state) {
    CLEANUP(buf_done) buf command;
    nb_health_check own = {.test = {curl, 4}};
    box_care care = merge(&(nb_box_options){.health = &own}, &(image_record){0}, &command);
    assert_int_equal(care.health_interval_ms, NB_HEALTH_INTERVAL_DEFAULT_MS);
    assert_int_equal(care.health_timeout_ms, NB_HEALTH_TIMEOUT_DEFAULT_MS);
    assert_int_equal(care.health_start_period_ms, 0);
    assert_int_equal(care.health_retries, NB_HEALTH_RETRIES_DEFAULT);
}

static void none_switches_it_off(void **state) {
    CLEANUP(buf_done) buf command, other;
    image_record image = image_with_check();
    const char *const words[] = {"NONE"};
    nb_health_check none = {.test = {words, 1}};
    box_care care = merge(&(nb_box_options){.health = &none}, &image, &command);
    assert_int_equal(care.health_command.bytes, 0);
    image.health_test = LIST("NONE\0");
    care = merge(&(nb_box_options){0}, &image, &other);
    assert_int_equal(care.health_command.bytes, 0);
}

static void expect_refused(nb_box_options options, const char *named) {
    nb_error err = {0};
    assert_int_equal(care_check(&options, &err), -NB_E_INVALID);
    if (!strstr(err.message, named))
        fail_msg("'%s' does not name '%s'", err.message, named);
}

static void contradictions_are_refused(void **state) {
    const uint64_t century_ms = UINT64_C(100) * 366 * 24 * 3600 * 1000;
    expect_refused((nb_box_options){.restart = (nb_restart_policy) 4}, "policy 4");
    expect_refused((nb_box_options){.restart = NB_RESTART_ALWAYS, .restart_retries = 1}, "on-failure");
    expect_refused((nb_box_options){.restart = NB_RESTART_ALWAYS, .auto_remove = true}, "removed");
    expect_refused((nb_box_options){.restart = NB_RESTART_ALWAYS, .keep = true}, "main command");
    expect_refused((nb_box_options){.auto_stop_ms = century_ms}, "auto-stop");
    expect_refused((nb_box_options){.max_lifetime_ms = century_ms}, "lifetime");
    expect_refused((nb_box_options){.auto_delete_ms = century_ms}, "auto-delete");
    assert_int_equal(care_check(&(nb_box_options){.restart = NB_RESTART_ON_FAILURE, .restart_retries = 1}, NULL), 0);
}

static void expect_test_refused(const char *const *words, size_t count, const char *named) {
    nb_health_check check = {.test = {words, count}};
    expect_refused((nb_box_options){.health = &check}, named);
}

static void a_check_of_another_form_is_refused(void **state) {
    expect_test_refused((const char *const[]){"curl", "-f"}, 2, "'curl'");
    expect_test_refused((const char *const[]){"CMD"}, 1, "CMD wants");
    expect_test_refused((const char *const[]){"CMD-SHELL"}, 1, "CMD-SHELL wants");
    expect_test_refused((const char *const[]){"CMD-SHELL", "a", "b"}, 3, "CMD-SHELL wants");
    expect_test_refused((const char *const[]){"NONE", "a"}, 2, "NONE");
    nb_health_check late = {.interval_ns = UINT64_MAX};
    expect_refused((nb_box_options){.health = &late}, "interval");
}

static void memory_may_run_out(void **state) {
    image_record image = image_with_check();
    nb_health_check own = {.test = {curl, 4}};
    bool failed = true;
    for (unsigned n = 0; failed; n++) {
        CLEANUP(buf_done) buf command;
        box_care care;
        buf_init(&command, 1 << 16);
        fail_alloc_at(n);
        int result = care_merge(&(nb_box_options){.health = n % 2 ? &own : NULL}, &image, &command, &care, NULL);
        failed = fail_alloc_fired();
        assert_true(failed ? result < 0 : result == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_without_a_check_has_none),
        cmocka_unit_test(an_image_s_check_is_taken),
        cmocka_unit_test(the_image_s_shell_runs_its_line),
        cmocka_unit_test(the_box_has_the_last_word_on_each),
        cmocka_unit_test(what_nobody_says_is_the_default),
        cmocka_unit_test(none_switches_it_off),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(a_check_of_another_form_is_refused),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
