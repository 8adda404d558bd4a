/* SPDX-License-Identifier: Apache-2.0
 *
 * test-machine-qcow2.c - empty overlays, as we read them back and as qemu-img does
 */
#include "machine/qcow2.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/size.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

extern char **environ;

static int new_file(void) {
    int fd = memfd_create("overlay", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void header_and_tables_are_where_the_header_says(void **state) {
    CLEANUP(cleanup_fd) int fd = new_file();
    assert_int_equal(qcow2_create_overlay(fd, "/base", GIB(10), NULL), 0);
    uint8_t header[256];
    assert_int_equal(pread(fd, header, sizeof(header), 0), sizeof(header));
    assert_memory_equal(header, "QFI\xfb", 4);
    assert_int_equal(load_be32(header + 4), 3);
    assert_int_equal(load_be32(header + 16), 5);
    assert_memory_equal(header + load_be64(header + 8), "/base", 5);
    assert_int_equal(load_be64(header + 24), GIB(10));
    assert_int_equal(load_be32(header + 36), 20);
    uint8_t entry[8], counts[10];
    assert_int_equal(pread(fd, entry, sizeof(entry), (off_t) load_be64(header + 48)), sizeof(entry));
    assert_int_equal(pread(fd, counts, sizeof(counts), (off_t) load_be64(entry)), sizeof(counts));
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(counts[2 * i] << 8 | counts[2 * i + 1], 1);
    assert_int_equal(counts[8] << 8 | counts[9], 0);
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, 4 * 65536);
}

static void bad_sizes_and_names_are_refused(void **state) {
    CLEANUP(cleanup_fd) int fd = new_file();
    nb_error error;
    assert_int_equal(qcow2_create_overlay(fd, "/base", 0, &error), -NB_E_INVALID);
    assert_int_equal(qcow2_create_overlay(fd, "/base", 513, &error), -NB_E_INVALID);
    assert_int_equal(qcow2_create_overlay(fd, "/base", QCOW2_SIZE_MAX_BYTES + 512, &error), -NB_E_INVALID);
    assert_int_equal(qcow2_create_overlay(fd, "", 512, &error), -NB_E_INVALID);
    assert_int_equal(qcow2_create_overlay(fd, "a\nb", 512, &error), -NB_E_INVALID);
    char name[QCOW2_BACKING_MAX_BYTES + 2];
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(qcow2_create_overlay(fd, name, 512, &error), -NB_E_INVALID);
    assert_int_equal(lseek(fd, 0, SEEK_END), 0);
    name[QCOW2_BACKING_MAX_BYTES] = '\0';
    assert_int_equal(qcow2_create_overlay(fd, name, 512, &error), 0);
}

static void a_refused_write_is_reported(void **state) {
    CLEANUP(cleanup_fd) int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    nb_error error;
    assert_int_not_equal(qcow2_create_overlay(fd, "/base", GIB(1), &error), 0);
    assert_int_not_equal(error.system_errno, 0);
}

static void the_first_write_of_a_guest_shows(void **state) {
    CLEANUP(cleanup_fd) int fd = new_file();
    assert_false(qcow2_is_untouched(fd));
    assert_int_equal(qcow2_create_overlay(fd, "/base", GIB(1024), NULL), 0);
    assert_true(qcow2_is_untouched(fd));
    uint8_t header[104], entry[8] = {0};
    assert_int_equal(pread(fd, header, sizeof(header), 0), sizeof(header));
    uint64_t last = load_be64(header + 40) + 8 * (uint64_t) (load_be32(header + 36) - 1);
    store_be64(entry, UINT64_C(1) << 63 | 0x50000);
    assert_int_equal(fd_pwrite_all(fd, entry, sizeof(entry), last), 0);
    assert_false(qcow2_is_untouched(fd));
    assert_int_equal(fd_pwrite_all(fd, (uint8_t[8]){0}, 8, last), 0);
    assert_true(qcow2_is_untouched(fd));
    assert_int_equal(fd_pwrite_all(fd, "\0\0\0\1", 4, 60), 0); /* a snapshot */
    assert_false(qcow2_is_untouched(fd));
}

static void the_disk_below_is_named_as_the_other_names_it_and_nothing_else(void **state) {
    CLEANUP(cleanup_fd) int fd = new_file();
    CLEANUP(cleanup_fd) int other = new_file();
    static uint8_t bytes[4 * 65536], expected[4 * 65536];
    nb_error error;
    assert_int_equal(qcow2_create_overlay(other, "/a/longer/name", GIB(10), NULL), 0);
    assert_int_equal(qcow2_copy_backing(other, fd, &error), -NB_E_STORAGE);
    assert_int_equal(qcow2_create_overlay(fd, "/base", GIB(10), NULL), 0);
    assert_int_equal(qcow2_copy_backing(other, fd, &error), 0);
    assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    assert_int_equal(pread(other, expected, sizeof(expected), 0), sizeof(expected));
    assert_memory_equal(bytes, expected, sizeof(bytes));
    assert_int_equal(fd_pwrite_all(fd, "\0\0\0\0\0\0\1", 7, 8), 0); /* whoever wrote that header puts names elsewhere */
    assert_int_equal(qcow2_copy_backing(other, fd, &error), -NB_E_STORAGE);
    assert_int_equal(qcow2_copy_backing(fd, other, &error), -NB_E_STORAGE);
}

/* The exit status of qemu-img, or -1 when it is not installed. */
static int run_qemu_img(const char *verb, const char *path) {
    char *const argv[] = {(char *) "qemu-img", (char *) verb, (char *) "-f", (char *) "qcow2", (char *) path, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0), 0);
    int e = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    (void) posix_spawn_file_actions_destroy(&actions);
    if (e != 0)
        return -1;
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void qemu_img_agrees(void **state) {
    static const uint64_t sizes[] = {512, MIB(64), GIB(10), GIB(1024), QCOW2_SIZE_MAX_BYTES};
    char folder[] = "/tmp/nestbox-qcow2-XXXXXX", base[64], path[64];
    assert_non_null(mkdtemp(folder));
    (void) snprintf(base, sizeof(base), "%s/base", folder);
    (void) snprintf(path, sizeof(path), "%s/overlay", folder);
    int base_fd = open(base, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(base_fd >= 0 && ftruncate(base_fd, 4096) == 0);
    (void) fd_close(base_fd);
    int check = 0, info = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(sizes) && check == 0 && info == 0; i++) {
        CLEANUP(cleanup_fd) int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_int_equal(qcow2_create_overlay(fd, base, sizes[i], NULL), 0);
        check = run_qemu_img("check", path);
        info = run_qemu_img("info", path);
    }
    (void) unlink(path);
    (void) unlink(base);
    (void) rmdir(folder);
    if (check == -1 || info == -1) {
        print_message("skipped: qemu-img is not installed\n");
        skip();
    }
    assert_int_equal(check, 0);
    assert_int_equal(info, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_and_tables_are_where_the_header_says),
        cmocka_unit_test(bad_sizes_and_names_are_refused),
        cmocka_unit_test(a_refused_write_is_reported),
        cmocka_unit_test(the_first_write_of_a_guest_shows),
        cmocka_unit_test(the_disk_below_is_named_as_the_other_names_it_and_nothing_else),
        cmocka_unit_test(qemu_img_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
