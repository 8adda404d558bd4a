/* SPDX-License-Identifier: Apache-2.0
 *
 * test-machine-modules.c - the order in which kernel modules are loaded
 */
#include "machine/modules.h"

#include "base/cleanup.h"
#include "base/strv.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char dep[] = "kernel/drivers/virtio/virtio_mmio.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko\n"
                          "kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko\n"
                          "kernel/drivers/virtio/virtio_ring.ko:\n"
                          "kernel/drivers/char/hw_random/virtio-rng.ko: kernel/drivers/virtio/virtio.ko\n"
                          "kernel/net/packed.ko.xz:\n"
                          "kernel/net/needs_packed.ko: kernel/net/packed.ko.xz\n"
                          "kernel/a.ko: kernel/b.ko\n"
                          "kernel/b.ko: kernel/a.ko\n"
                          "kernel/lost.ko: kernel/nowhere.ko\n";

static int add(buf *packed, const char *name, nb_error *err) {
    return modules_add(packed, dep, sizeof(dep) - 1, name, err);
}

static void needs_come_first_and_once(void **state) {
    CLEANUP(buf_done) buf packed;
    buf_init(&packed, 4096);
    assert_int_equal(add(&packed, "virtio_mmio", NULL), 0);
    assert_int_equal(add(&packed, "virtio_rng", NULL), 0);
    assert_int_equal(add(&packed, "virtio_ring", NULL), 0);
    static const char *const expected[] = {"kernel/drivers/virtio/virtio_ring.ko", "kernel/drivers/virtio/virtio.ko",
                                           "kernel/drivers/virtio/virtio_mmio.ko", "kernel/drivers/char/hw_random/virtio-rng.ko"};
    strv list = strv_of(&packed);
    assert_int_equal(strv_count(list), 4);
    const char *at = NULL;
    for (unsigned i = 0; i < 4; i++) {
        at = strv_next(list, at);
        assert_string_equal(at, expected[i]);
    }
}

static void what_cannot_be_loaded_is_refused_by_name(void **state) {
    CLEANUP(buf_done) buf packed;
    buf_init(&packed, 4096);
    nb_error error;
    assert_int_equal(add(&packed, "absent", &error), -NB_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "absent"));
    assert_int_equal(add(&packed, "virtio_mmi", &error), -NB_E_NOT_FOUND);
    assert_int_equal(add(&packed, "packed", &error), -NB_E_UNSUPPORTED);
    assert_non_null(strstr(error.message, "compressed"));
    assert_int_equal(add(&packed, "needs_packed", &error), -NB_E_UNSUPPORTED);
    assert_int_equal(add(&packed, "lost", &error), -NB_E_NOT_FOUND);
    assert_int_equal(add(&packed, "a", &error), -NB_E_INVALID);
    assert_int_equal(buf_length(&packed), 0);
}

static void what_is_no_modules_dep_is_refused(void **state) {
    CLEANUP(buf_done) buf packed;
    buf_init(&packed, 16);
    assert_int_equal(modules_add(&packed, "no colon\n", 9, "x", NULL), -NB_E_INVALID);
    assert_int_equal(modules_add(&packed, ":\n", 2, "x", NULL), -NB_E_INVALID);
    assert_int_equal(modules_add(&packed, "", 0, "x", NULL), -NB_E_NOT_FOUND);
    assert_int_equal(modules_add(&packed, "kernel/long/path/x.ko:", 22, "x", NULL), -NB_E_NO_MEMORY);
    assert_int_equal(modules_add(&packed, "k/x.ko:", 7, "x", NULL), 0);
    assert_string_equal(strv_next(strv_of(&packed), NULL), "k/x.ko");
}

static void builtin_names_match_whole_names(void **state) {
    static const char builtin[] = "kernel/fs/ext4/ext4.ko\nkernel/drivers/a-b.ko\n";
    assert_true(modules_is_builtin(builtin, sizeof(builtin) - 1, "ext4"));
    assert_true(modules_is_builtin(builtin, sizeof(builtin) - 1, "a_b"));
    assert_false(modules_is_builtin(builtin, sizeof(builtin) - 1, "ext"));
    assert_false(modules_is_builtin(builtin, 0, "ext4"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(needs_come_first_and_once),
        cmocka_unit_test(what_cannot_be_loaded_is_refused_by_name),
        cmocka_unit_test(what_is_no_modules_dep_is_refused),
        cmocka_unit_test(builtin_names_match_whole_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
