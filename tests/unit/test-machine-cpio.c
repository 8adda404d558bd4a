/* SPDX-License-Identifier: Apache-2.0
 *
 * test-machine-cpio.c - archives for the initramfs, and the initramfs itself, read back by libarchive
 */
#include "machine/cpio.h"
#include "machine/initramfs.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void fill(buf *b) {
    cpio_writer w = cpio_to_buf(b);
    assert_int_equal(cpio_add_folder(&w, "dev", 0755), 0);
    assert_int_equal(cpio_add_character_device(&w, "dev/console", 0600, 5, 1), 0);
    assert_int_equal(cpio_add_file(&w, "init", 0755, "12345", 5), 0);
    assert_int_equal(cpio_add_file(&w, "empty", 0644, NULL, 0), 0);
    assert_int_equal(cpio_end(&w), 0);
}

static void expect(struct archive *a, const char *path, mode_t mode, long long size) {
    struct archive_entry *entry;
    assert_int_equal(archive_read_next_header(a, &entry), ARCHIVE_OK);
    assert_string_equal(archive_entry_pathname(entry), path);
    assert_int_equal(archive_entry_mode(entry), mode);
    assert_int_equal(archive_entry_mtime(entry), 0);
    assert_int_equal(archive_entry_uid(entry), 0);
    if (S_ISREG(mode))
        assert_int_equal(archive_entry_size(entry), size);
    if (S_ISCHR(mode)) {
        assert_int_equal(archive_entry_rdevmajor(entry), 5);
        assert_int_equal(archive_entry_rdevminor(entry), 1);
    }
}

static void entries_read_back_as_written(void **state) {
    CLEANUP(buf_done) buf b;
    buf_init(&b, 1 << 20);
    fill(&b);
    assert_int_equal(buf_length(&b) % 4, 0);
    struct archive *a = archive_read_new();
    assert_int_equal(archive_read_support_format_cpio(a), ARCHIVE_OK);
    assert_int_equal(archive_read_open_memory(a, buf_bytes(&b), buf_length(&b)), ARCHIVE_OK);
    expect(a, "dev", S_IFDIR | 0755, 0);
    expect(a, "dev/console", S_IFCHR | 0600, 0);
    expect(a, "init", S_IFREG | 0755, 5);
    char bytes[8];
    assert_int_equal(archive_read_data(a, bytes, sizeof(bytes)), 5);
    assert_memory_equal(bytes, "12345", 5);
    expect(a, "empty", S_IFREG | 0644, 0);
    struct archive_entry *entry;
    assert_int_equal(archive_read_next_header(a, &entry), ARCHIVE_EOF);
    assert_int_equal(archive_read_free(a), ARCHIVE_OK);
}

static void the_same_input_gives_the_same_bytes(void **state) {
    CLEANUP(buf_done) buf one;
    CLEANUP(buf_done) buf two;
    buf_init(&one, 1 << 20);
    buf_init(&two, 1 << 20);
    fill(&one);
    fill(&two);
    assert_int_equal(buf_length(&one), buf_length(&two));
    assert_memory_equal(buf_bytes(&one), buf_bytes(&two), buf_length(&one));
}

static void limits_are_refused(void **state) {
    CLEANUP(buf_done) buf b;
    buf_init(&b, 100);
    cpio_writer w = cpio_to_buf(&b);
    assert_int_equal(cpio_add_folder(&w, "dev", 0755), -1);
    assert_int_equal(errno, ENOBUFS);
    char name[4200];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(cpio_add_folder(&w, name, 0755), -1);
    assert_int_equal(errno, ENAMETOOLONG);
    assert_int_equal(cpio_add_file(&w, "large", 0644, "", (size_t) UINT32_MAX + 1), -1);
    assert_int_equal(errno, EFBIG);
}

static void write_file(const char *path, const void *bytes, size_t length) {
    CLEANUP(cleanup_fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(fd_write_all(fd, bytes, length), 0);
}

static void initramfs_is_agent_then_modules_and_sealed(void **state) {
    char folder[] = "/tmp/nestbox-cpio-XXXXXX", agent[64], modules[64];
    assert_non_null(mkdtemp(folder));
    (void) snprintf(agent, sizeof(agent), "%s/agent", folder);
    (void) snprintf(modules, sizeof(modules), "%s/modules", folder);
    CLEANUP(buf_done) buf archive;
    buf_init(&archive, 1 << 20);
    fill(&archive);
    write_file(agent, "agent!!", 7);
    write_file(modules, buf_bytes(&archive), buf_length(&archive));
    CLEANUP(cleanup_fd) int fd = -1;
    nb_error error;
    assert_int_equal(initramfs_compose(agent, modules, &fd, &error), 0);

    CLEANUP(cleanup_free) char *bytes = NULL;
    size_t length;
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(fd_read_file(fd, 1 << 20, &bytes, &length), 0);
    assert_true(length > buf_length(&archive));
    size_t first = length - buf_length(&archive);
    assert_int_equal(first % 4, 0);
    assert_memory_equal(bytes + first, buf_bytes(&archive), buf_length(&archive));
    assert_non_null(memmem(bytes, first, "agent!!", 7));
    assert_non_null(memmem(bytes, first, "newroot", 7));
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(errno, EPERM);

    int other = -1;
    (void) unlink(modules);
    assert_int_equal(initramfs_compose(agent, modules, &other, &error), -NB_E_MACHINE);
    assert_int_equal(error.system_errno, ENOENT);
    assert_non_null(strstr(error.message, modules));
    (void) unlink(agent);
    assert_int_equal(initramfs_compose(agent, modules, &other, &error), -NB_E_MACHINE);
    assert_non_null(strstr(error.message, agent));
    assert_int_equal(other, -1);
    (void) rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_read_back_as_written),
        cmocka_unit_test(the_same_input_gives_the_same_bytes),
        cmocka_unit_test(limits_are_refused),
        cmocka_unit_test(initramfs_is_agent_then_modules_and_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
