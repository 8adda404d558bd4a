/* SPDX-License-Identifier: Apache-2.0
 *
 * test-machine-template.c - a template's folder: sealed, opened, verified, and refused
 */
#include "machine/template.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/size.h"
#include "machine/qcow2.h"
#include "machine/template-digest.h"
#include "test-folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MEMORY_BYTES MIB(4)

static int new_file(const test_folder *folder, const char *name) {
    int fd = openat(folder->fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void seal(const test_folder *folder, bool with_disk) {
    template_files files = {new_file(folder, "memory"), new_file(folder, "state"), with_disk ? new_file(folder, "disk") : -1};
    nb_error err;
    assert_int_equal(ftruncate(files.memory_fd, MEMORY_BYTES), 0);
    assert_int_equal(fd_pwrite_all(files.memory_fd, "memory", 6, MIB(1) + 5), 0);
    assert_int_equal(fd_pwrite_all(files.state_fd, "state", 5, 0), 0);
    if (with_disk)
        assert_int_equal(qcow2_create_overlay(files.disk_fd, "/template", GIB(1), NULL), 0);
    if (template_seal(folder->fd, &files, &err) < 0)
        fail_msg("%s", err.message);
    template_files_close(&files);
}

static void write_to(const test_folder *folder, const char *name, const char *bytes, uint64_t at) {
    assert_int_equal(fchmodat(folder->fd, name, 0600, 0), 0);
    CLEANUP(cleanup_fd) int fd = openat(folder->fd, name, O_WRONLY | O_CLOEXEC);
    assert_int_equal(fd_pwrite_all(fd, bytes, strlen(bytes), at), 0);
    assert_int_equal(fchmodat(folder->fd, name, 0400, 0), 0);
}

static void what_is_sealed_can_be_opened_and_holds_what_it_held(void **state) {
    for (int with_disk = 0; with_disk < 2; with_disk++) {
        CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
        template_files files;
        struct stat status;
        seal(&folder, with_disk);
        assert_int_equal(template_open(folder.path, MEMORY_BYTES, &files, NULL), 0);
        assert_int_equal(files.disk_fd >= 0, with_disk);
        assert_int_equal(fcntl(files.memory_fd, F_GETFL) & O_ACCMODE, O_RDONLY);
        assert_int_equal(fstat(files.memory_fd, &status), 0);
        assert_int_equal(status.st_mode & 0777, 0400);
        template_files_close(&files);
        assert_int_equal(template_verify(folder.path, NULL), 0);
        nb_error err;
        assert_int_equal(template_open(folder.path, MEMORY_BYTES * 2, &files, &err), -NB_E_STORAGE);
    }
}

static void damage_is_found(void **state) {
    static const struct {
        const char *name, *bytes;
        uint64_t at;
    } damages[] = {
        {"memory", "x", MIB(1) + 6}, {"memory", "x", MIB(3)}, {"memory", "memory", MIB(2) + 5}, {"state", "S", 0}, {"disk", "x", 70000}};
    for (size_t i = 0; i < ARRAY_LENGTH(damages); i++) {
        CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
        template_files files;
        nb_error err;
        seal(&folder, true);
        write_to(&folder, damages[i].name, damages[i].bytes, damages[i].at);
        assert_int_equal(template_open(folder.path, MEMORY_BYTES, &files, NULL), 0); /* a start does not read them */
        template_files_close(&files);
        assert_int_equal(template_verify(folder.path, &err), -NB_E_STORAGE);
    }
}

static void zeros_and_a_hole_are_the_same(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    static const char zeros[100000];
    seal(&folder, false);
    assert_int_equal(fchmodat(folder.fd, "memory", 0600, 0), 0);
    CLEANUP(cleanup_fd) int fd = openat(folder.fd, "memory", O_WRONLY | O_CLOEXEC);
    assert_int_equal(fd_pwrite_all(fd, zeros, sizeof(zeros), MIB(2)), 0);
    assert_int_equal(fchmodat(folder.fd, "memory", 0400, 0), 0);
    assert_int_equal(template_verify(folder.path, NULL), 0);
}

static void which_file_holds_it_counts(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    uint8_t one[TEMPLATE_DIGEST_BYTES], other[TEMPLATE_DIGEST_BYTES];
    CLEANUP(cleanup_fd) int full = new_file(&folder, "full");
    CLEANUP(cleanup_fd) int empty = new_file(&folder, "empty");
    assert_int_equal(fd_pwrite_all(full, "bytes", 5, 0), 0);
    assert_int_equal(template_digest((const int[]){full, empty}, 2, one), 0);
    assert_int_equal(template_digest((const int[]){empty, full}, 2, other), 0);
    assert_memory_not_equal(one, other, sizeof(one));
    assert_int_equal(template_digest((const int[]){full, -1}, 2, other), 0);
    assert_memory_not_equal(one, other, sizeof(one));
    CLEANUP(cleanup_fd) int write_only = openat(folder.fd, "full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(template_digest(&write_only, 1, one), -1);
}

static void a_box_is_given_the_disk_in_the_place_of_its_own(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    CLEANUP(test_folder_remove) test_folder box = test_folder_make();
    template_files files;
    nb_error err;
    char name[16] = "";
    seal(&folder, true);
    assert_int_equal(template_open(folder.path, 0, &files, NULL), 0);
    CLEANUP(cleanup_fd) int own = new_file(&box, "own");
    assert_int_equal(template_give_disk(&files, box.fd, "own", &err), -NB_E_STORAGE); /* empty: none */
    assert_int_equal(qcow2_create_overlay(own, "/box", MIB(512), NULL), 0);
    assert_int_equal(template_give_disk(&files, box.fd, "own", &err), -NB_E_INVALID_STATE); /* of another size */
    assert_int_equal(ftruncate(own, 0), 0);
    assert_int_equal(qcow2_create_overlay(own, "/box", GIB(1), NULL), 0);
    assert_int_equal(template_give_disk(&files, box.fd, "own", &err), 0);
    CLEANUP(cleanup_fd) int now = openat(box.fd, "own", O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(now, name, 4, 128), 4);
    assert_string_equal(name, "/box");
    assert_int_equal(test_folder_count(&box, "."), 1);
    assert_int_equal(fd_pwrite_all(now, "x", 1, 3 * 65536), 0); /* a guest has written */
    assert_int_equal(template_give_disk(&files, box.fd, "own", &err), -NB_E_INVALID_STATE);
    template_files_close(&files);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_can_be_opened_and_holds_what_it_held),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(zeros_and_a_hole_are_the_same),
        cmocka_unit_test(which_file_holds_it_counts),
        cmocka_unit_test(a_box_is_given_the_disk_in_the_place_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
