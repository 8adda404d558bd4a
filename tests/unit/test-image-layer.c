/* SPDX-License-Identifier: Apache-2.0
 *
 * test-image-layer.c - what layers do to the tree
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test-image-archive.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct fixture {
    int fd;
    disk *disk;
    tree *tree;
    buf layer;
    nb_error err;
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof(*f));
    f->fd = memfd_create("disk", MFD_CLOEXEC);
    f->disk = disk_new(f->fd, UINT64_C(256) << 20);
    f->tree = tree_new(f->disk, IMAGE_ENTRIES_DEFAULT);
    buf_init(&f->layer, ARCHIVE_MAX_BYTES);
    *state = f;
    return f->tree ? 0 : -1;
}

static int tear_down(void **state) {
    fixture *f = *state;
    tree_free(f->tree);
    disk_free(f->disk);
    buf_done(&f->layer);
    (void) close(f->fd);
    free(f);
    return 0;
}

static int apply(fixture *f) {
    archive_end(&f->layer);
    return archive_apply(&f->layer, f->tree, SIZE_MAX, &f->err);
}

static void apply_well(fixture *f) {
    int r = apply(f);
    if (r < 0)
        fail_msg("%s", f->err.message);
}

static tree_node *find(fixture *f, const char *path) {
    tree_place place;
    assert_int_equal(tree_resolve(f->tree, path, false, &place, NULL), 0);
    return tree_find(f->tree, &place);
}

static void whiteout_hides_what_is_below(void **state) {
    fixture *f = *state;
    archive_folder(&f->layer, "a/");
    archive_file(&f->layer, "a/one", "1");
    archive_file(&f->layer, "a/two", "2");
    archive_folder(&f->layer, "b/");
    archive_file(&f->layer, "b/three", "3");
    apply_well(f);
    archive_file(&f->layer, "a/.wh.one", "");
    archive_file(&f->layer, ".wh.b", "");
    archive_file(&f->layer, "nowhere/.wh.x", "");
    apply_well(f);
    assert_null(find(f, "a/one"));
    assert_non_null(find(f, "a/two"));
    assert_null(find(f, "b"));
    assert_null(find(f, "nowhere"));
    assert_int_equal(disk_used(f->disk), 1);
}

static void whiteout_spares_its_own_layer(void **state) {
    fixture *f = *state;
    archive_file(&f->layer, "before", "old");
    archive_file(&f->layer, "after", "old");
    archive_folder(&f->layer, "folder/");
    archive_file(&f->layer, "folder/old", "old");
    apply_well(f);
    archive_file(&f->layer, "before", "newer");
    archive_file(&f->layer, ".wh.before", "");
    archive_file(&f->layer, ".wh.after", "");
    archive_file(&f->layer, "after", "newer");
    archive_file(&f->layer, "folder/new", "new");
    archive_file(&f->layer, ".wh.folder", "");
    apply_well(f);
    assert_int_equal(find(f, "before")->inode->size, 5);
    assert_int_equal(find(f, "after")->inode->size, 5);
    assert_non_null(find(f, "folder/new"));
    assert_null(find(f, "folder/old"));
}

static void opaque_hides_lower_siblings_wherever_it_stands(void **state) {
    fixture *f = *state;
    archive_folder(&f->layer, "d/");
    archive_folder(&f->layer, "d/sub/");
    archive_file(&f->layer, "d/sub/old", "x");
    archive_file(&f->layer, "d/old", "x");
    apply_well(f);
    archive_folder(&f->layer, "d/");
    archive_file(&f->layer, "d/first", "x");
    archive_file(&f->layer, "d/.wh..wh..opq", "");
    archive_file(&f->layer, "d/last", "x");
    archive_file(&f->layer, "d/sub/new", "x");
    apply_well(f);
    assert_null(find(f, "d/old"));
    assert_null(find(f, "d/sub/old"));
    assert_non_null(find(f, "d/first"));
    assert_non_null(find(f, "d/last"));
    assert_non_null(find(f, "d/sub/new"));
    assert_int_equal(find(f, "d")->child_count, 3);
}

static void malformed_whiteout_is_refused(void **state) {
    fixture *f = *state;
    static const char *const names[] = {".wh.", ".wh..", ".wh...", "a/.wh."};
    archive_folder(&f->layer, "a/");
    apply_well(f);
    for (size_t i = 0; i < 4; i++) {
        archive_file(&f->layer, names[i], "");
        assert_int_equal(apply(f), -NB_E_IMAGE);
    }
}

static void every_kind_replaces_every_kind(void **state) {
    fixture *f = *state;
    static const char kinds[] = {'0', '2', '3', '4', '5', '6'};
    static const uint32_t modes[] = {S_IFREG, S_IFLNK, S_IFCHR, S_IFBLK, S_IFDIR, S_IFIFO};
    for (size_t old = 0; old < sizeof(kinds); old++) {
        for (size_t new = 0; new < sizeof(kinds); new ++) {
            archive_add(&f->layer, kinds[old], "it", kinds[old] == '2' ? "target" : "", "content", kinds[old] == '0' ? 7 : 0);
            if (kinds[old] == '5')
                archive_file(&f->layer, "it/inside", "content");
            apply_well(f);
            archive_add(&f->layer, kinds[new], "it", kinds[new] == '2' ? "target" : "", "content", kinds[new] == '0' ? 7 : 0);
            apply_well(f);
            tree_node *node = find(f, "it");
            assert_int_equal(node->inode->mode & S_IFMT, modes[new]);
            assert_int_equal(node->child_count, kinds[old] == '5' && kinds[new] == '5');
            assert_int_equal(disk_used(f->disk), kinds[new] == '0' || node->child_count);
            archive_file(&f->layer, ".wh.it", "");
            apply_well(f);
            assert_int_equal(disk_used(f->disk), 0);
        }
    }
}

static void parents_that_are_links_lead_inside_the_image(void **state) {
    fixture *f = *state;
    archive_folder(&f->layer, "real/");
    archive_link(&f->layer, '2', "absolute", "/real");
    archive_link(&f->layer, '2', "out", "../../../../real");
    archive_link(&f->layer, '2', "dangling", "made/later");
    archive_link(&f->layer, '2', "real/up", "..");
    archive_file(&f->layer, "absolute/1", "x");
    archive_file(&f->layer, "out/2", "x");
    archive_file(&f->layer, "dangling/3", "x");
    archive_file(&f->layer, "real/up/4", "x");
    apply_well(f);
    assert_non_null(find(f, "real/1"));
    assert_non_null(find(f, "real/2"));
    assert_non_null(find(f, "made/later/3"));
    assert_non_null(find(f, "4"));
    assert_true(S_ISLNK(find(f, "absolute")->inode->mode));
}

static void loop_of_links_is_refused(void **state) {
    fixture *f = *state;
    archive_link(&f->layer, '2', "a", "b");
    archive_link(&f->layer, '2', "b", "a/x");
    archive_file(&f->layer, "a/file", "x");
    assert_int_equal(apply(f), -NB_E_IMAGE);
    assert_non_null(strstr(f->err.message, "more than 40 links"));
}

static void file_on_the_way_is_refused(void **state) {
    fixture *f = *state;
    archive_file(&f->layer, "a", "x");
    archive_file(&f->layer, "a/b", "x");
    assert_int_equal(apply(f), -NB_E_IMAGE);
}

static void dotdot_and_slashes_stay_in_the_root(void **state) {
    fixture *f = *state;
    archive_file(&f->layer, "../../../one", "x");
    archive_file(&f->layer, "//two//./three", "x");
    archive_file(&f->layer, "a/../b/../four", "x");
    apply_well(f);
    assert_non_null(find(f, "one"));
    assert_non_null(find(f, "two/three"));
    assert_non_null(find(f, "four"));
    assert_null(find(f, "a"));
    assert_int_equal(f->tree->root->child_count, 3);
}

static void missing_parents_are_made(void **state) {
    fixture *f = *state;
    archive_file(&f->layer, "x/y/z", "x");
    apply_well(f);
    assert_int_equal(find(f, "x/y")->inode->mode, S_IFDIR | 0755);
    assert_int_equal(find(f, "x/y")->inode->mtime_s, 0);
}

static void root_takes_its_attributes(void **state) {
    fixture *f = *state;
    archive_file(&f->layer, "kept", "x");
    archive_folder(&f->layer, "./");
    apply_well(f);
    assert_int_equal(f->tree->root->inode->mtime_s, 1);
    assert_non_null(find(f, "kept"));
    archive_file(&f->layer, "./", "x");
    assert_int_equal(apply(f), -NB_E_IMAGE);
}

static void hard_links_share_one_file(void **state) {
    fixture *f = *state;
    archive_folder(&f->layer, "d/");
    archive_file(&f->layer, "d/a", "content");
    archive_link(&f->layer, '2', "way", "d");
    archive_link(&f->layer, '1', "b", "way/a");
    archive_link(&f->layer, '1', "b", "b");
    archive_link(&f->layer, '1', "l", "way"); /* of a symbolic link itself */
    apply_well(f);
    assert_ptr_equal(find(f, "b")->inode, find(f, "d/a")->inode);
    assert_int_equal(find(f, "b")->inode->references, 2);
    assert_ptr_equal(find(f, "l")->inode, find(f, "way")->inode);
    archive_file(&f->layer, "b", "replaced");
    apply_well(f);
    assert_int_equal(find(f, "d/a")->inode->size, 7);
    assert_int_equal(find(f, "d/a")->inode->references, 1);
}

static void hard_link_to_nothing_or_a_folder_is_refused(void **state) {
    fixture *f = *state;
    archive_link(&f->layer, '1', "a", "missing");
    assert_int_equal(apply(f), -NB_E_IMAGE);
    archive_link(&f->layer, '1', "a", "../../etc/passwd");
    assert_int_equal(apply(f), -NB_E_IMAGE);
    archive_folder(&f->layer, "d/");
    archive_link(&f->layer, '1', "a", "d");
    assert_int_equal(apply(f), -NB_E_IMAGE);
}

/* Two files became one: libarchive normalises the names of PAX archives. */
static void names_are_bytes(void **state) {
    fixture *f = *state;
    archive_add_pax(&f->layer, "path", "e\xcc\x81", 3);
    archive_file(&f->layer, "x", "1");
    archive_add_pax(&f->layer, "path", "\xc3\xa9", 2);
    archive_file(&f->layer, "x", "2");
    archive_add_pax(&f->layer, "path", "\xff\xfe", 2);
    archive_file(&f->layer, "x", "3");
    apply_well(f);
    assert_int_equal(f->tree->root->child_count, 3);
}

static void long_names_are_bounded(void **state) {
    fixture *f = *state;
    char name[257];
    memset(name, 'n', sizeof(name));
    for (size_t length = 254; length <= 255; length++) {
        archive_add_pax(&f->layer, "path", name, length);
        archive_file(&f->layer, "x", "");
    }
    apply_well(f);
    archive_add_pax(&f->layer, "path", name, 256);
    archive_file(&f->layer, "x", "");
    assert_int_equal(apply(f), -NB_E_IMAGE);
    name[256] = '\0';
    archive_add_pax(&f->layer, "path", "a\0b", 3);
    archive_file(&f->layer, "x", "");
    assert_int_equal(apply(f), -NB_E_IMAGE);
}

static void depth_is_bounded(void **state) {
    fixture *f = *state;
    char path[2 * IMAGE_DEPTH_MAX + 3];
    for (size_t i = 0; i < sizeof(path); i++)
        path[i] = i % 2 ? '/' : 'd';
    archive_add_pax(&f->layer, "path", path, 2 * IMAGE_DEPTH_MAX - 1);
    archive_folder(&f->layer, "x");
    apply_well(f);
    archive_add_pax(&f->layer, "path", path, 2 * IMAGE_DEPTH_MAX + 1);
    archive_folder(&f->layer, "x");
    assert_int_equal(apply(f), -NB_E_EXHAUSTED);
}

static void attributes_are_kept_where_linux_has_a_place(void **state) {
    fixture *f = *state;
    static char large[IMAGE_XATTR_VALUE_MAX_BYTES + 1];
    archive_add_pax(&f->layer, "SCHILY.xattr.user.binary", "a\0b\nc", 5);
    archive_file(&f->layer, "a", "");
    archive_add_pax(&f->layer, "SCHILY.xattr.com.apple.provenance", "x", 1);
    archive_file(&f->layer, "b", "");
    apply_well(f);
    const tree_xattr *x = find(f, "a")->inode->xattrs;
    assert_string_equal(x->name, "user.binary");
    assert_int_equal(x->length, 5);
    assert_memory_equal(x->value, "a\0b\nc", 5);
    assert_null(find(f, "b")->inode->xattrs);
    archive_add_pax(&f->layer, "SCHILY.xattr.user.large", large, sizeof(large));
    archive_file(&f->layer, "c", "");
    assert_int_equal(apply(f), -NB_E_IMAGE);
}

static void content_beyond_the_maximum_is_refused(void **state) {
    fixture *f = *state;
    disk *d = disk_new(f->fd, 2 * DISK_BLOCK_BYTES);
    tree *t = tree_new(d, IMAGE_ENTRIES_DEFAULT);
    static uint8_t bytes[2 * DISK_BLOCK_BYTES + 1];
    archive_add(&f->layer, '0', "fits", "", bytes, sizeof(bytes) - 1);
    archive_end(&f->layer);
    assert_int_equal(archive_apply(&f->layer, t, SIZE_MAX, &f->err), 0);
    archive_file(&f->layer, "more", "x");
    archive_end(&f->layer);
    assert_int_equal(archive_apply(&f->layer, t, SIZE_MAX, &f->err), -NB_E_EXHAUSTED);
    tree_free(t);
    disk_free(d);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(whiteout_hides_what_is_below),
        TEST(whiteout_spares_its_own_layer),
        TEST(opaque_hides_lower_siblings_wherever_it_stands),
        TEST(malformed_whiteout_is_refused),
        TEST(every_kind_replaces_every_kind),
        TEST(parents_that_are_links_lead_inside_the_image),
        TEST(loop_of_links_is_refused),
        TEST(file_on_the_way_is_refused),
        TEST(dotdot_and_slashes_stay_in_the_root),
        TEST(missing_parents_are_made),
        TEST(root_takes_its_attributes),
        TEST(hard_links_share_one_file),
        TEST(hard_link_to_nothing_or_a_folder_is_refused),
        TEST(names_are_bytes),
        TEST(long_names_are_bounded),
        TEST(depth_is_bounded),
        TEST(attributes_are_kept_where_linux_has_a_place),
        TEST(content_beyond_the_maximum_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
