/* SPDX-License-Identifier: Apache-2.0
 *
 * test-machine-accel.c - what the host offers: accelerator, time stamp counter, QEMU
 */
#include "machine/accel.h"
#include "machine/find.h"
#include "machine/tsc.h"

#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_choice_always_has_its_reason(void **state) {
    accel_choice choice;
    assert_int_equal(accel_choose(NULL, &choice, NULL), 0);
    assert_true(strcmp(choice.name, "kvm") == 0 || strcmp(choice.name, "tcg") == 0);
    assert_true(strlen(choice.reason) > 5);
    assert_int_equal(accel_choose("tcg", &choice, NULL), 0);
    assert_string_equal(choice.name, "tcg");
}

static void insisting_on_kvm_works_exactly_where_it_would_be_chosen(void **state) {
    accel_choice chosen, insisted = {.name = "untouched"};
    nb_error error;
    assert_int_equal(accel_choose(NULL, &chosen, NULL), 0);
    int r = accel_choose("kvm", &insisted, &error);
    if (strcmp(chosen.name, "kvm") == 0) {
        assert_int_equal(r, 0);
        assert_string_equal(insisted.name, "kvm");
        return;
    }
    assert_int_equal(r, -NB_E_MACHINE);
    assert_string_equal(insisted.name, "untouched");
    assert_non_null(strstr(error.message, "use KVM: "));
    assert_true(error.hint[0] != '\0');
    /* The same reason in both places. */
    assert_non_null(strstr(chosen.reason, error.message + strlen("use KVM: ")));
}

static void other_names_are_invalid(void **state) {
    accel_choice choice;
    nb_error error;
    assert_int_equal(accel_choose("KVM", &choice, &error), -NB_E_INVALID);
    assert_int_equal(accel_choose("", &choice, &error), -NB_E_INVALID);
}

static void two_measurements_agree(void **state) {
    uint64_t one = tsc_host_khz(), two = tsc_host_khz();
#if defined(__x86_64__)
    assert_in_range(one, 200000, 20000000);
    /* One in a thousand: a test machine may be busy; the guest's clock is finer than that in practice. */
    assert_in_range(one > two ? one - two : two - one, 0, one / 1000);
#else
    assert_int_equal(one, 0);
    assert_int_equal(two, 0);
#endif
}

static void the_named_program_wins_and_must_be_one(void **state) {
    CLEANUP(cleanup_free) char *path = NULL;
    nb_error error;
    assert_int_equal(setenv("NESTBOX_QEMU", "/bin/sh", 1), 0);
    assert_int_equal(machine_find_program("x86_64", &path, &error), 0);
    assert_string_equal(path, "/bin/sh");
    static const char *const bad[] = {"/nowhere/qemu", "sh", "/etc/passwd", "/etc"};
    for (unsigned i = 0; i < 4; i++) {
        char *other = NULL;
        assert_int_equal(setenv("NESTBOX_QEMU", bad[i], 1), 0);
        assert_int_equal(machine_find_program("x86_64", &other, &error), -NB_E_MACHINE);
        assert_non_null(strstr(error.message, bad[i]));
        assert_null(other);
    }
    assert_int_equal(unsetenv("NESTBOX_QEMU"), 0);
}

static void a_missing_program_says_what_to_install(void **state) {
    char *path = NULL;
    nb_error error;
    assert_int_equal(setenv("PATH", "relative:/proc", 1), 0);
    assert_int_equal(machine_find_program("aarch64", &path, &error), -NB_E_MACHINE);
    assert_non_null(strstr(error.message, "qemu-system-aarch64"));
    assert_non_null(strstr(error.hint, "qemu-system-arm"));
    assert_null(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_choice_always_has_its_reason),
        cmocka_unit_test(insisting_on_kvm_works_exactly_where_it_would_be_chosen),
        cmocka_unit_test(other_names_are_invalid),
        cmocka_unit_test(two_measurements_agree),
        cmocka_unit_test(the_named_program_wins_and_must_be_one),
        cmocka_unit_test(a_missing_program_says_what_to_install),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
