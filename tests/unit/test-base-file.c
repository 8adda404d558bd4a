/* SPDX-License-Identifier: Apache-2.0
 *
 * test-base-file.c - files written whole or not at all, trees removed without leaving them
 */
#include "base/cleanup.h"
#include "base/id.h"
#include "test-folder.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void folders_are_made_with_their_parents(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    char path[PATH_MAX];
    struct stat status;
    (void) snprintf(path, sizeof(path), "%s/a/b//c/", folder.path);
    assert_int_equal(file_make_folders(path, 0700), 0);
    assert_int_equal(file_make_folders(path, 0700), 0);
    assert_int_equal(fstatat(folder.fd, "a/b/c", &status, 0), 0);
    assert_true(S_ISDIR(status.st_mode));
    assert_int_equal(status.st_mode & 0777, 0700);
    test_folder_write(&folder, "file", "", 0);
    (void) snprintf(path, sizeof(path), "%s/file", folder.path);
    assert_int_equal(file_make_folders(path, 0700), -1);
    assert_int_equal(errno, ENOTDIR);
    (void) snprintf(path, sizeof(path), "%s/file/a", folder.path);
    assert_int_equal(file_make_folders(path, 0700), -1);
    assert_int_equal(errno, ENOTDIR);
    assert_int_equal(file_make_folders("", 0700), -1);
    assert_int_equal(errno, ENOENT);
}

static void a_new_content_replaces_the_old_whole(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    static const char long_text[] = "a first content that is longer";
    assert_int_equal(file_write_atomic(folder.fd, "name", long_text, strlen(long_text), true), 0);
    assert_int_equal(file_write_atomic(folder.fd, "name", "short", 5, false), 0);
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length;
    assert_int_equal(file_read(folder.fd, "name", 100, &text, &length), 0);
    assert_string_equal(text, "short");
    assert_int_equal(test_folder_count(&folder, "."), 1);
}

static void a_link_in_the_way_is_replaced_not_followed(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    struct stat status;
    test_folder_write(&folder, "victim", "old", 3);
    assert_int_equal(symlinkat("victim", folder.fd, "name"), 0);
    assert_int_equal(file_write_atomic(folder.fd, "name", "new", 3, false), 0);
    assert_int_equal(fstatat(folder.fd, "name", &status, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISREG(status.st_mode));
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length;
    assert_int_equal(file_read(folder.fd, "victim", 100, &text, &length), 0);
    assert_string_equal(text, "old");
    assert_int_equal(symlinkat("victim", folder.fd, "link"), 0);
    assert_int_equal(file_read(folder.fd, "link", 100, &text, &length), -1);
    assert_int_equal(errno, ELOOP);
}

/* A file may have 1000 bytes: the 2000 of the second write do not get through. */
static int write_beyond_the_limit(const test_folder *folder) {
    static const char bytes[2000];
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void) sigaction(SIGXFSZ, &ignore, NULL);
    (void) setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, 1000});
    if (file_write_atomic(folder->fd, "name", "old", 3, true) < 0)
        return 1;
    if (file_write_atomic(folder->fd, "name", bytes, sizeof(bytes), true) == 0 || errno != EFBIG)
        return 2;
    return test_folder_count(folder, ".") == 1 ? 0 : 3;
}

static void a_write_that_fails_leaves_the_old_content_alone(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    pid_t pid = fork();
    if (pid == 0)
        _exit(write_beyond_the_limit(&folder));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length;
    assert_int_equal(file_read(folder.fd, "name", 100, &text, &length), 0);
    assert_string_equal(text, "old");
}

static void removing_a_tree_does_not_leave_it(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    assert_int_equal(mkdirat(folder.fd, "outside", 0700), 0);
    test_folder_write(&folder, "outside/keep", "x", 1);
    assert_int_equal(mkdirat(folder.fd, "tree", 0700), 0);
    assert_int_equal(mkdirat(folder.fd, "tree/deep", 0700), 0);
    test_folder_write(&folder, "tree/deep/file", "x", 1);
    assert_int_equal(symlinkat("../../outside", folder.fd, "tree/deep/link"), 0);
    assert_int_equal(symlinkat("../outside", folder.fd, "tree/link"), 0);
    assert_int_equal(mkfifoat(folder.fd, "tree/fifo", 0600), 0);
    assert_int_equal(file_remove_tree(folder.fd, "tree"), 0);
    assert_int_equal(test_folder_count(&folder, "."), 1);
    assert_int_equal(test_folder_count(&folder, "outside"), 1);
    assert_int_equal(symlinkat("outside", folder.fd, "link"), 0);
    assert_int_equal(file_remove_tree(folder.fd, "link"), 0);
    assert_int_equal(test_folder_count(&folder, "outside"), 1);
    assert_int_equal(file_remove_tree(folder.fd, "nothing"), 0);
}

static void a_copy_has_what_was_left_to_read(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    static char content[200000];
    memset(content, 'c', sizeof(content));
    test_folder_write(&folder, "from", content, sizeof(content));
    CLEANUP(cleanup_fd) int from = openat(folder.fd, "from", O_RDONLY | O_CLOEXEC);
    CLEANUP(cleanup_fd) int to = openat(folder.fd, "to", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(lseek(from, 1, SEEK_SET), 1);
    assert_int_equal(file_copy(from, to), 0);
    assert_int_equal(lseek(to, 0, SEEK_END), sizeof(content) - 1);
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(write(pipes[1], "piped", 5), 5);
    (void) fd_close(pipes[1]);
    assert_int_equal(file_copy(pipes[0], to), 0);
    assert_int_equal(lseek(to, 0, SEEK_END), sizeof(content) - 1 + 5);
    (void) fd_close(pipes[0]);
}

static void a_copy_leaves_out_the_holes(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    CLEANUP(cleanup_fd) int from = openat(folder.fd, "from", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CLEANUP(cleanup_fd) int to = openat(folder.fd, "to", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    static const off_t length = (off_t) 64 << 20, places[] = {0, 12345678, 40000000};
    char text[8];
    struct stat status;
    assert_int_equal(ftruncate(from, length), 0);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        assert_int_equal(fd_pwrite_all(from, "content", 7, (uint64_t) places[i]), 0);
    assert_int_equal(file_copy_sparse(from, to), 0);
    assert_int_equal(fstat(to, &status), 0);
    assert_int_equal(status.st_size, length);
    assert_true(status.st_blocks * 512 < (off_t) 1 << 20);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        assert_int_equal(pread(to, text, 7, places[i]), 7);
        assert_memory_equal(text, "content", 7);
    }
    CLEANUP(cleanup_fd) int read_only = openat(folder.fd, "to", O_RDONLY | O_CLOEXEC);
    assert_int_equal(file_copy_sparse(from, read_only), -1);
}

static void ids_are_valid_and_differ(void **state) {
    char a[ID_SIZE], b[ID_SIZE], hex[7];
    assert_int_equal(id_generate(a), 0);
    assert_int_equal(id_generate(b), 0);
    assert_true(id_is_valid(a));
    assert_true(id_is_valid(b));
    assert_string_not_equal(a, b);
    assert_false(id_is_valid("abcdefghijk"));
    assert_false(id_is_valid("abcdefghijklm"));
    assert_false(id_is_valid("abcdefghijk1"));
    assert_false(id_is_valid("../../../etc"));
    assert_false(id_is_valid("ABCDEFGHIJKL"));
    hex_encode("\x00\x7f\xff", 3, hex);
    assert_string_equal(hex, "007fff");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_are_made_with_their_parents),
        cmocka_unit_test(a_new_content_replaces_the_old_whole),
        cmocka_unit_test(a_link_in_the_way_is_replaced_not_followed),
        cmocka_unit_test(a_write_that_fails_leaves_the_old_content_alone),
        cmocka_unit_test(removing_a_tree_does_not_leave_it),
        cmocka_unit_test(a_copy_has_what_was_left_to_read),
        cmocka_unit_test(a_copy_leaves_out_the_holes),
        cmocka_unit_test(ids_are_valid_and_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
