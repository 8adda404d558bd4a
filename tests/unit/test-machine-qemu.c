/* SPDX-License-Identifier: Apache-2.0
 *
 * test-machine-qemu.c - QEMU's command line, and the memory classes
 */
#include "machine/memory.h"
#include "machine/qemu.h"

#include "base/cleanup.h"
#include "base/size.h"
#include "base/strv.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The value behind the @nth (from 0) occurrence of an option, or NULL. */
static const char *value_of(const buf *command, const char *option, unsigned nth) {
    strv list = strv_of(command);
    for (const char *each = strv_next(list, NULL); each; each = strv_next(list, each)) {
        if (strcmp(each, option) == 0 && nth-- == 0)
            return strv_next(list, each);
    }
    return NULL;
}

static void build(buf *command, const char *architecture, const char *accelerator, uint64_t tsc_khz) {
    qemu_options o = {.target = qemu_target_find(architecture),
                      .program = "/usr/bin/qemu",
                      .accelerator = accelerator,
                      .memory_bytes = MIB(512),
                      .cpus = 2,
                      .has_disk = true,
                      .tsc_khz = tsc_khz};
    assert_non_null(o.target);
    buf_init(command, QEMU_COMMAND_MAX_BYTES);
    assert_int_equal(qemu_command(command, &o, NULL), 0);
}

static void a_translated_machine_is_told_the_counter(void **state) {
    CLEANUP(buf_done) buf c;
    build(&c, "x86_64", "tcg", 2600000);
    assert_string_equal(strv_next(strv_of(&c), NULL), "/usr/bin/qemu");
    assert_string_equal(value_of(&c, "-m", 0), "512M");
    assert_string_equal(value_of(&c, "-smp", 0), "2");
    assert_non_null(strstr(value_of(&c, "-M", 0), "microvm,"));
    assert_non_null(strstr(value_of(&c, "-accel", 0), "tcg,"));
    assert_string_equal(value_of(&c, "-cpu", 0), "max,-erms");
    assert_non_null(strstr(value_of(&c, "-append", 0), " tsc_early_khz=2600000"));
    assert_non_null(strstr(value_of(&c, "-sandbox", 0), "spawn=deny"));
}

static void kvm_changes_the_processor_and_an_unknown_counter_is_not_told(void **state) {
    CLEANUP(buf_done) buf c;
    build(&c, "x86_64", "kvm", 0);
    assert_string_equal(value_of(&c, "-accel", 0), "kvm");
    assert_non_null(strstr(value_of(&c, "-cpu", 0), "host"));
    assert_null(strstr(value_of(&c, "-append", 0), "tsc_early_khz"));
}

static void arm_is_another_row(void **state) {
    CLEANUP(buf_done) buf c;
    build(&c, "aarch64", "tcg", 2600000);
    assert_string_equal(value_of(&c, "-cpu", 0), "cortex-a72");
    assert_non_null(strstr(value_of(&c, "-append", 0), "console=ttyAMA0"));
    assert_null(strstr(value_of(&c, "-append", 0), "tsc_early_khz"));
    assert_null(qemu_target_find("mips"));
}

static void disks_are_descriptors_and_both_layers_are_named(void **state) {
    CLEANUP(buf_done) buf c;
    build(&c, "x86_64", "tcg", 0);
    unsigned count = 0;
    for (const char *node; (node = value_of(&c, "-blockdev", count)); count++) {
        if (strstr(node, "\"driver\":\"file\"")) {
            assert_non_null(strstr(node, "\"filename\":\"/dev/fdset/"));
            assert_non_null(strstr(node, "\"locking\":\"on\""));
        }
    }
    assert_int_equal(count, 4);
    assert_non_null(strstr(value_of(&c, "-blockdev", 3), "\"backing\":\"base\""));
    assert_non_null(strstr(value_of(&c, "-blockdev", 0), "\"read-only\":true"));
    assert_null(value_of(&c, "-drive", 0));
}

static void a_bounded_disk_has_its_bounds_above_all_its_layers(void **state) {
    CLEANUP(buf_done) buf c;
    qemu_options o = {.target = qemu_target_find("x86_64"),
                      .program = "/q",
                      .accelerator = "tcg",
                      .memory_bytes = MIB(512),
                      .cpus = 1,
                      .has_disk = true,
                      .is_disk_bounded = true};
    buf_init(&c, QEMU_COMMAND_MAX_BYTES);
    assert_int_equal(qemu_command(&c, &o, NULL), 0);
    assert_non_null(strstr(value_of(&c, "-object", 0), "\"id\":\"disk-bounds\""));
    assert_non_null(strstr(value_of(&c, "-blockdev", 4), "\"driver\":\"throttle\""));
    assert_non_null(strstr(value_of(&c, "-device", 0), "drive=bounded-disk"));
}

static void memory_is_shared_with_its_file_only_to_be_saved(void **state) {
    static const struct {
        qemu_mode mode;
        bool is_saved_later;
        const char *share;
    } cases[] = {{QEMU_TO_SAVE, true, "share=on"}, {QEMU_RESTORED, false, "share=off"}, {QEMU_RESTORED, true, "share=on"}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        CLEANUP(buf_done) buf c;
        qemu_options o = {.mode = cases[i].mode,
                          .target = qemu_target_find("x86_64"),
                          .program = "/q",
                          .accelerator = "tcg",
                          .memory_bytes = MIB(512),
                          .cpus = 1,
                          .is_saved_later = cases[i].is_saved_later};
        buf_init(&c, QEMU_COMMAND_MAX_BYTES);
        assert_int_equal(qemu_command(&c, &o, NULL), 0);
        assert_non_null(strstr(value_of(&c, "-object", 0), cases[i].share));
        assert_non_null(strstr(value_of(&c, "-blockdev", 0), "null-co"));
        assert_int_equal(value_of(&c, "-incoming", 0) != NULL, cases[i].mode == QEMU_RESTORED);
        assert_int_equal(value_of(&c, "-kernel", 0) != NULL, cases[i].mode != QEMU_RESTORED);
    }
}

static void a_command_beyond_its_bound_is_refused(void **state) {
    CLEANUP(buf_done) buf c;
    buf_init(&c, 100);
    qemu_options o = {.target = qemu_target_find("x86_64"), .program = "/q", .accelerator = "tcg", .memory_bytes = MIB(512), .cpus = 1};
    assert_int_equal(qemu_command(&c, &o, NULL), -NB_E_NO_MEMORY);
}

static void memory_classes_leave_the_container_its_own(void **state) {
    assert_int_equal(machine_memory_class(MIB(16)), MIB(256));
    assert_int_equal(machine_memory_class(MIB(128)), MIB(256));
    assert_int_equal(machine_memory_class(MIB(256)), MIB(512));
    assert_int_equal(machine_memory_class(MIB(512)), GIB(1));
    assert_int_equal(machine_memory_class(GIB(1)), GIB(2));
    assert_int_equal(machine_memory_class(GIB(3)), GIB(4));
    assert_int_equal(machine_memory_class(GIB(4)), GIB(8));
    assert_int_equal(machine_memory_class(GIB(64)), GIB(68));
    for (uint64_t size = MIB(16); size <= GIB(64); size += MIB(16))
        assert_true(machine_memory_class(size) >= size + MIB(96));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_translated_machine_is_told_the_counter),
        cmocka_unit_test(kvm_changes_the_processor_and_an_unknown_counter_is_not_told),
        cmocka_unit_test(arm_is_another_row),
        cmocka_unit_test(disks_are_descriptors_and_both_layers_are_named),
        cmocka_unit_test(a_bounded_disk_has_its_bounds_above_all_its_layers),
        cmocka_unit_test(memory_is_shared_with_its_file_only_to_be_saved),
        cmocka_unit_test(a_command_beyond_its_bound_is_refused),
        cmocka_unit_test(memory_classes_leave_the_container_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
