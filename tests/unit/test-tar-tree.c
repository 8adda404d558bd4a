/* SPDX-License-Identifier: Apache-2.0
 *
 * test-tar-tree.c - trees of files through an archive, cp's table, and archives that mean harm
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/size.h"
#include "tar/large.h"
#include "tar/pack.h"
#include "tar/place.h"
#include "tar/unpack.h"
#include "test-folder.h"
#include "test-tar-archive.h"

#include <errno.h>
#include <sys/xattr.h>
#include <unistd.h>

static int keep(void *user, const void *bytes, size_t length, nb_error *err) {
    return buf_append(user, bytes, length) ? 0 : -NB_E_NO_MEMORY;
}

static char path_text[256];

static const char *in(const test_folder *folder, const char *name) {
    (void) snprintf(path_text, sizeof(path_text), "%s/%s", folder->path, name);
    return path_text;
}

static int pack(const char *path, bool follow, buf *archive, nb_error *err) {
    return tar_pack((tar_output){keep, archive}, path, &(tar_pack_options){.follow = follow}, err);
}

typedef struct wish {
    const char *destination, *name;
} wish;

static int place(void *user, const tar_entry *first, tar_place *ret_place, nb_error *err) {
    const wish *w = user;
    char name[256];
    tar_place_base_name(w->name ? w->name : first->name, name, sizeof(name));
    return tar_place_find(w->destination, name, first->kind == TAR_FOLDER, ret_place, err);
}

/* @name  that the first entry is given; NULL: its own */
static int unpack(const buf *archive, const char *destination, const char *name, bool confined, nb_error *err) {
    archive_feed feed = {buf_bytes(archive), buf_length(archive), 7000};
    wish w = {destination, name};
    tar_reader *reader = tar_reader_new((tar_input){.read = archive_feed_read, .user = &feed});
    int result = tar_unpack(reader, &(tar_unpack_options){.place = place, .user = &w, .confined = confined}, err);
    tar_reader_free(reader);
    return result;
}

static struct stat status_of(const test_folder *folder, const char *name) {
    struct stat status;
    if (fstatat(folder->fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        fail_msg("%s: %s", name, strerror(errno));
    return status;
}

static void assert_content(const test_folder *folder, const char *name, const char *content) {
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length;
    if (file_read(folder->fd, name, 1 << 20, &text, &length) < 0)
        fail_msg("%s: %s", name, strerror(errno));
    assert_string_equal(text, content);
}

static bool exists(const test_folder *folder, const char *name) {
    return faccessat(folder->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ------------------------------------------------------------------------------------------------------------ there and back */

static void a_tree_comes_out_as_it_went_in(void **state) {
    CLEANUP(test_folder_remove) test_folder a = test_folder_make(), b = test_folder_make();
    CLEANUP(buf_done) buf archive;
    buf_init(&archive, ARCHIVE_MAX_BYTES);
    assert_int_equal(mkdirat(a.fd, "tree", 0750) | mkdirat(a.fd, "tree/sub", 0500) | mkdirat(a.fd, "tree/empty", 0777), 0);
    test_folder_write(&a, "tree/file", "content", 7);
    assert_int_equal(linkat(a.fd, "tree/file", a.fd, "tree/same", 0), 0);
    assert_int_equal(symlinkat("/no/where", a.fd, "tree/link"), 0);
    assert_int_equal(mkfifoat(a.fd, "tree/fifo", 0600), 0);
    assert_int_equal(fchmodat(a.fd, "tree/file", 04751, 0), 0);
    bool attributes = setxattr(in(&a, "tree/file"), "user.note", "x\0y", 3, 0) == 0;
    const struct timespec times[2] = {{.tv_sec = 5}, {.tv_sec = 1000000000, .tv_nsec = 123456789}};
    assert_int_equal(utimensat(a.fd, "tree/file", times, 0) | utimensat(a.fd, "tree/sub", times, 0), 0);
    int fd = openat(a.fd, "tree/holes", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(pwrite(fd, "end", 3, 8 << 20), 3);
    assert_int_equal(close(fd), 0);

    nb_error err = {0};
    assert_int_equal(pack(in(&a, "tree"), false, &archive, &err), 0);
    assert_true(buf_length(&archive) < 1 << 20);
    if (unpack(&archive, in(&b, "copy"), NULL, false, &err) < 0)
        fail_msg("%s", err.message);
    assert_content(&b, "copy/file", "content");
    struct stat file = status_of(&b, "copy/file"), same = status_of(&b, "copy/same");
    assert_int_equal(file.st_ino, same.st_ino);
    assert_int_equal(file.st_mode & 07777, 04751);
    assert_int_equal(file.st_mtim.tv_sec, 1000000000);
    assert_int_equal(file.st_mtim.tv_nsec, 123456789);
    assert_int_equal(status_of(&b, "copy").st_mode & 07777, 0750);
    assert_int_equal(status_of(&b, "copy/sub").st_mode & 07777, 0500);
    assert_int_equal(status_of(&b, "copy/sub").st_mtim.tv_sec, 1000000000);
    assert_true(S_ISFIFO(status_of(&b, "copy/fifo").st_mode));
    assert_true(S_ISLNK(status_of(&b, "copy/link").st_mode));
    struct stat holes = status_of(&b, "copy/holes");
    assert_int_equal(holes.st_size, (8 << 20) + 3);
    assert_true(holes.st_blocks * 512 < 1 << 20);
    char value[8];
    if (attributes)
        assert_int_equal(getxattr(in(&b, "copy/file"), "user.note", value, sizeof(value)), 3);
}

static void write_pattern(const test_folder *folder, const char *name, size_t size) {
    CLEANUP(cleanup_free) uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t) (i * 2654435761u >> 24);
    test_folder_write(folder, name, (const char *) bytes, size);
}

static void assert_same(const test_folder *a, const test_folder *b, const char *name, size_t size) {
    CLEANUP(cleanup_free) char *one = NULL, *other = NULL;
    size_t length, other_length;
    assert_int_equal(
        file_read(a->fd, name, ARCHIVE_MAX_BYTES, &one, &length) | file_read(b->fd, name, ARCHIVE_MAX_BYTES, &other, &other_length), 0);
    assert_int_equal(length, size);
    assert_int_equal(other_length, size);
    assert_memory_equal(one, other, size);
}

/* Where the folder is on no disk they take the ordinary way, which is to be the same. */
static void large_files_come_through_whole_past_the_cache(void **state) {
    static const size_t sizes[] = {LARGE_FILE_MIN_BYTES - 1,
                                   LARGE_FILE_MIN_BYTES,
                                   LARGE_FILE_MIN_BYTES + 1,
                                   LARGE_FILE_MIN_BYTES + 4095,
                                   LARGE_FILE_MIN_BYTES + 4096,
                                   LARGE_FILE_MIN_BYTES + LARGE_BLOCK_BYTES - 1,
                                   7654321};
    CLEANUP(test_folder_remove) test_folder a = test_folder_make(), b = test_folder_make();
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        CLEANUP(buf_done) buf archive;
        nb_error err = {0};
        buf_init(&archive, ARCHIVE_MAX_BYTES);
        write_pattern(&a, "file", sizes[i]);
        if (tar_pack((tar_output){keep, &archive}, in(&a, "file"), &(tar_pack_options){.past_cache = true}, &err) < 0)
            fail_msg("%s", err.message);
        archive_feed feed = {buf_bytes(&archive), buf_length(&archive), 7000};
        wish w = {b.path, NULL};
        tar_reader *reader = tar_reader_new((tar_input){.read = archive_feed_read, .user = &feed});
        if (tar_unpack(reader, &(tar_unpack_options){.place = place, .user = &w, .past_cache = true}, &err) < 0)
            fail_msg("%s", err.message);
        tar_reader_free(reader);
        assert_same(&a, &b, "file", sizes[i]);
        assert_int_equal(status_of(&b, "file").st_mode, status_of(&a, "file").st_mode);
    }
}

/* A file that becomes shorter while it is read is filled up, and one that has nothing left too. */
static void a_large_read_ends_where_the_file_does(void **state) {
    CLEANUP(test_folder_remove) test_folder a = test_folder_make();
    write_pattern(&a, "file", LARGE_FILE_MIN_BYTES + 10);
    CLEANUP(cleanup_free) uint8_t *block = large_block_new();
    struct stat status = status_of(&a, "file");
    CLEANUP(cleanup_fd) int fd = openat(a.fd, "file", O_RDONLY | O_CLOEXEC);
    (void) large_begin(fd, &status, (uint64_t) status.st_size);
    assert_int_equal(large_read(fd, block, LARGE_BLOCK_BYTES, 0), LARGE_BLOCK_BYTES);
    assert_int_equal(large_read(fd, block, 7, LARGE_FILE_MIN_BYTES), 7);
    assert_int_equal(large_read(fd, block, LARGE_BLOCK_BYTES, LARGE_FILE_MIN_BYTES), 10);
    assert_int_equal(large_read(fd, block, LARGE_BLOCK_BYTES, LARGE_FILE_MIN_BYTES + LARGE_BLOCK_BYTES), 0);
    assert_int_equal(large_read(-1, block, LARGE_BLOCK_BYTES, 0), -1);
    assert_false(large_begin(fd, &status, LARGE_FILE_MIN_BYTES - 1));
}

/* What was there goes, whatever it was, and is not written through. */
static void a_file_takes_the_place_of_what_has_its_name(void **state) {
    CLEANUP(test_folder_remove) test_folder a = test_folder_make(), b = test_folder_make();
    nb_error err = {0};
    test_folder_write(&a, "file", "new", 3);
    assert_int_equal(fchmodat(a.fd, "file", 0604, 0), 0);
    test_folder_write(&b, "other", "other", 5);
    for (int kind = 0; kind < 4; kind++) {
        CLEANUP(buf_done) buf archive;
        buf_init(&archive, ARCHIVE_MAX_BYTES);
        (void) unlinkat(b.fd, "file", 0);
        if (kind == 0)
            test_folder_write(&b, "file", "longer than the new one", 23);
        else
            assert_int_equal(kind == 1   ? symlinkat("other", b.fd, "file")
                             : kind == 2 ? linkat(b.fd, "other", b.fd, "file", 0)
                                         : mkfifoat(b.fd, "file", 0600),
                             0);
        assert_int_equal(pack(in(&a, "file"), false, &archive, &err), 0);
        if (unpack(&archive, b.path, NULL, kind % 2, &err) < 0)
            fail_msg("%s", err.message);
        assert_content(&b, "file", "new");
        assert_content(&b, "other", "other");
        assert_int_equal(status_of(&b, "file").st_mode, S_IFREG | 0604);
    }
}

/* Whatever order their file systems list them in. */
static void equal_trees_give_equal_archives(void **state) {
    CLEANUP(test_folder_remove) test_folder a = test_folder_make(), b = test_folder_make();
    CLEANUP(buf_done) buf first, second;
    const test_folder *both[] = {&a, &b};
    const struct timespec times[2] = {{.tv_sec = 7}, {.tv_sec = 7}};
    nb_error err = {0};
    buf_init(&first, ARCHIVE_MAX_BYTES);
    buf_init(&second, ARCHIVE_MAX_BYTES);
    for (int side = 0; side < 2; side++) {
        assert_int_equal(mkdirat(both[side]->fd, "t", 0755) | mkdirat(both[side]->fd, "t/d", 0755), 0);
        for (int i = 0; i < 300; i++) {
            char name[32];
            (void) snprintf(name, sizeof(name), "t/d/%d", side ? 299 - i : i);
            test_folder_write(both[side], name, name, 3);
            assert_int_equal(utimensat(both[side]->fd, name, times, 0), 0);
        }
        assert_int_equal(linkat(both[side]->fd, "t/d/7", both[side]->fd, side ? "t/d/a" : "t/d/b", 0), 0);
        assert_int_equal(linkat(both[side]->fd, "t/d/7", both[side]->fd, side ? "t/d/b" : "t/d/a", 0), 0);
        assert_int_equal(utimensat(both[side]->fd, "t/d", times, 0) | utimensat(both[side]->fd, "t", times, 0), 0);
        assert_int_equal(pack(in(both[side], "t"), false, side ? &second : &first, &err), 0);
    }
    assert_int_equal(buf_length(&first), buf_length(&second));
    assert_memory_equal(buf_bytes(&first), buf_bytes(&second), buf_length(&first));
}

static void what_cannot_be_packed_is_said(void **state) {
    CLEANUP(test_folder_remove) test_folder a = test_folder_make();
    CLEANUP(buf_done) buf archive;
    nb_error err = {0};
    buf_init(&archive, ARCHIVE_MAX_BYTES);
    assert_int_equal(pack(in(&a, "nothing"), false, &archive, &err), -NB_E_NOT_FOUND);
    assert_int_equal(symlinkat("away", a.fd, "link"), 0);
    assert_int_equal(pack(in(&a, "link"), true, &archive, &err), -NB_E_NOT_FOUND);
    assert_int_equal(pack(in(&a, "link"), false, &archive, &err), 0);
    int at = dup(a.fd);
    for (unsigned i = 0; i < 510; i++) {
        assert_int_equal(mkdirat(at, "d", 0700), 0);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(close(at), 0);
        at = next;
    }
    assert_int_equal(close(at), 0);
    assert_int_equal(pack(in(&a, "d"), false, &archive, &err), -NB_E_EXHAUSTED);
}

/* ---------------------------------------------------------------------------------------------------------------- the table */

/* Source, destination, what is there then; NULL: it is an error. */
static const struct {
    const char *source, *destination, *result;
} table[] = {
    {"file", "new", "new"},
    {"file", "new/", NULL},
    {"file", "other", "other"},
    {"file", "other/", NULL},
    {"file", "folder", "folder/file"},
    {"file", "folder/", "folder/file"},
    {"file", "to-other", "other"},
    {"file", "to-folder", "folder/file"},
    {"file", "missing/new", NULL},
    {"dir", "new", "new/inside"},
    {"dir", "new/", "new/inside"},
    {"dir", "other", NULL},
    {"dir", "folder", "folder/dir/inside"},
    {"dir/.", "folder", "folder/inside"},
    {"dir/", "folder", "folder/dir/inside"},
    {"dir/.", "new", "new/inside"},
    {"dir", "missing/new", NULL},
    {"link", "new", "new"},
    {"file", "", NULL},
};

static void cp_has_dockers_table(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        CLEANUP(test_folder_remove) test_folder from = test_folder_make(), to = test_folder_make();
        CLEANUP(buf_done) buf archive;
        nb_error err = {0};
        buf_init(&archive, ARCHIVE_MAX_BYTES);
        test_folder_write(&from, "file", "content", 7);
        assert_int_equal(mkdirat(from.fd, "dir", 0755) | symlinkat("file", from.fd, "link"), 0);
        test_folder_write(&from, "dir/inside", "content", 7);
        test_folder_write(&to, "other", "old", 3);
        assert_int_equal(mkdirat(to.fd, "folder", 0755) | symlinkat("other", to.fd, "to-other") | symlinkat("folder", to.fd, "to-folder"),
                         0);
        assert_int_equal(pack(in(&from, table[i].source), false, &archive, &err), 0);
        const char *destination = table[i].destination[0] ? in(&to, table[i].destination) : "";
        int result = unpack(&archive, destination, NULL, true, &err);
        if ((result == 0) != (table[i].result != NULL))
            fail_msg("%s to %s: %d %s", table[i].source, table[i].destination, result, err.message);
        if (table[i].result && strcmp(table[i].source, "link") != 0)
            assert_content(&to, table[i].result, "content");
        if (strcmp(table[i].source, "link") == 0)
            assert_true(S_ISLNK(status_of(&to, "new").st_mode));
        if (!table[i].result)
            assert_content(&to, "other", "old");
    }
}

/* ----------------------------------------------------------------------------------------------------------- harm that is meant */

/* An archive that asks for a folder "a" and then tries to get out of it. */
static int unpack_harm(const test_folder *to, void (*add)(buf *archive), nb_error *err) {
    CLEANUP(buf_done) buf archive;
    buf_init(&archive, ARCHIVE_MAX_BYTES);
    archive_folder(&archive, "a/");
    add(&archive);
    archive_end(&archive);
    return unpack(&archive, in(to, "in"), "a", true, err);
}

static void through_a_link(buf *archive) {
    archive_link(archive, '2', "a/out", "..");
    archive_file(archive, "a/out/harm", "x");
}
static void through_a_links_folder(buf *archive) {
    archive_link(archive, '2', "a/out", "..");
    archive_folder(archive, "a/out/sub/");
}
static void onto_a_links_target(buf *archive) {
    archive_link(archive, '2', "a/out", "../harm");
    archive_folder(archive, "a/out/");
}
static void a_hard_link_through_a_link(buf *archive) {
    archive_link(archive, '2', "a/out", "..");
    archive_link(archive, '1', "a/stolen", "a/out/secret");
}
static void a_hard_link_to_outside(buf *archive) {
    archive_link(archive, '1', "a/stolen", "secret");
}
static void dots(buf *archive) {
    archive_file(archive, "a/../harm", "x");
}
static void dots_first(buf *archive) {
    archive_file(archive, "../harm", "x");
}
static void another_root(buf *archive) {
    archive_file(archive, "harm", "x");
}
static void an_absolute_name(buf *archive) {
    archive_file(archive, "/harm", "x");
}
static void a_folder_becomes_a_file(buf *archive) {
    archive_folder(archive, "a/b/");
    archive_file(archive, "a/b", "x");
}

static void a_hostile_archive_gets_nowhere(void **state) {
    static void (*const harms[])(buf *) = {
        through_a_link, through_a_links_folder, onto_a_links_target, a_hard_link_through_a_link, a_hard_link_to_outside, dots,
        dots_first,     another_root,           an_absolute_name,    a_folder_becomes_a_file};
    for (size_t i = 0; i < ARRAY_LENGTH(harms); i++) {
        CLEANUP(test_folder_remove) test_folder to = test_folder_make();
        nb_error err = {0};
        test_folder_write(&to, "secret", "secret", 6);
        assert_int_equal(mkdirat(to.fd, "in", 0755), 0);
        if (unpack_harm(&to, harms[i], &err) == 0)
            fail_msg("harm %zu was done", i);
        assert_true(err.message[0] != '\0');
        assert_int_equal(test_folder_count(&to, "."), 2);
        assert_false(exists(&to, "in/a/stolen"));
        assert_false(exists(&to, "sub"));
    }
}

static void the_first_name_is_not_the_archives_to_choose(void **state) {
    CLEANUP(test_folder_remove) test_folder to = test_folder_make();
    CLEANUP(buf_done) buf archive;
    nb_error err = {0};
    buf_init(&archive, ARCHIVE_MAX_BYTES);
    archive_file(&archive, ".bashrc", "harm");
    archive_end(&archive);
    assert_int_equal(unpack(&archive, to.path, "/etc/hosts", true, &err), 0);
    assert_content(&to, "hosts", "harm");
    assert_int_equal(test_folder_count(&to, "."), 1);
}

static void privileges_do_not_come_along(void **state) {
    CLEANUP(test_folder_remove) test_folder to = test_folder_make();
    CLEANUP(buf_done) buf archive;
    nb_error err = {0};
    static const uint8_t value[20] = {1};
    static const tar_xattr xattr = {"security.capability", value, sizeof(value)};
    buf_init(&archive, ARCHIVE_MAX_BYTES);
    tar_writer *writer = tar_writer_new((tar_output){keep, &archive});
    const tar_entry entries[] = {
        {.kind = TAR_FOLDER, .name = "a/", .link = "", .mode = 06755},
        {.kind = TAR_FILE, .name = "a/file", .link = "", .mode = 06755, .xattrs = &xattr, .xattr_count = 1},
        {.kind = TAR_CHARACTER_DEVICE, .name = "a/null", .link = "", .mode = 0666, .major = 1, .minor = 3},
        {.kind = TAR_FIFO, .name = "a/fifo", .link = "", .mode = 0666},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(entries); i++)
        assert_int_equal(tar_put(writer, &entries[i], &err), 0);
    assert_int_equal(tar_finish(writer, &err), 0);
    tar_writer_free(writer);
    assert_int_equal(unpack(&archive, to.path, NULL, true, &err), 0);
    assert_int_equal(status_of(&to, "a").st_mode & 07777, 0755);
    assert_int_equal(status_of(&to, "a/file").st_mode & 07777, 0755);
    assert_int_equal(getxattr(in(&to, "a/file"), "security.capability", NULL, 0), -1);
    assert_int_equal(test_folder_count(&to, "a"), 1);
}

static void an_archive_that_breaks_off_leaves_no_half_file(void **state) {
    CLEANUP(test_folder_remove) test_folder to = test_folder_make();
    CLEANUP(buf_done) buf archive;
    nb_error err = {0};
    static char text[2000];
    memset(text, 'x', sizeof(text) - 1);
    buf_init(&archive, ARCHIVE_MAX_BYTES);
    archive_folder(&archive, "a/");
    archive_file(&archive, "a/whole", text);
    archive_file(&archive, "a/half", text);
    buf_truncate(&archive, buf_length(&archive) - 1024);
    assert_int_equal(unpack(&archive, to.path, NULL, true, &err), -NB_E_IMAGE);
    assert_content(&to, "a/whole", text);
    assert_int_equal(test_folder_count(&to, "a"), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_comes_out_as_it_went_in),
        cmocka_unit_test(equal_trees_give_equal_archives),
        cmocka_unit_test(large_files_come_through_whole_past_the_cache),
        cmocka_unit_test(a_large_read_ends_where_the_file_does),
        cmocka_unit_test(a_file_takes_the_place_of_what_has_its_name),
        cmocka_unit_test(what_cannot_be_packed_is_said),
        cmocka_unit_test(cp_has_dockers_table),
        cmocka_unit_test(a_hostile_archive_gets_nowhere),
        cmocka_unit_test(the_first_name_is_not_the_archives_to_choose),
        cmocka_unit_test(privileges_do_not_come_along),
        cmocka_unit_test(an_archive_that_breaks_off_leaves_no_half_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
