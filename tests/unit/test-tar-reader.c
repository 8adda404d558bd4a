/* SPDX-License-Identifier: Apache-2.0
 *
 * test-tar-reader.c - tar archives, whole, in pieces and damaged
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test-tar-archive.h"

#include <stdlib.h>

/* Everything that a reader says about an archive, as text; or the code it failed with. */
static int read_all(const buf *archive, size_t length, size_t step, char *text, size_t size, bool *ret_marked) {
    archive_feed feed = {buf_bytes(archive), length, step};
    tar_reader *reader = tar_reader_new((tar_input){.read = archive_feed_read, .user = &feed});
    const tar_entry *entry;
    nb_error err = {0};
    size_t used = 0;
    int r;
    text[0] = '\0';
    while ((r = tar_next(reader, &entry, &err)) == 1) {
        used += (size_t) snprintf(text + used, size - used, "%d %s>%s %u %lld.%09u %llu:", entry->kind, entry->name, entry->link,
                                  entry->uid, (long long) entry->mtime_s, entry->mtime_ns, (unsigned long long) entry->size);
        const uint8_t *bytes;
        size_t now;
        uint64_t offset, next = UINT64_MAX;
        while ((r = tar_read(reader, &bytes, &now, &offset, &err)) == 0 && now > 0) {
            if (offset != next)
                used += (size_t) snprintf(text + used, size - used, "@%llu ", (unsigned long long) offset);
            used += (size_t) snprintf(text + used, size - used, "%.*s", (int) now, (const char *) bytes);
            next = offset + now;
        }
        if (r < 0)
            break;
        used += (size_t) snprintf(text + used, size - used, "\n");
    }
    *ret_marked = tar_end_was_marked(reader);
    tar_reader_free(reader);
    return r;
}

static void pieces_read_as_the_whole(void **state) {
    CLEANUP(buf_done) buf archive;
    static char whole[4096], pieces[4096];
    bool marked;
    buf_init(&archive, ARCHIVE_MAX_BYTES);
    archive_folder(&archive, "d/");
    archive_file(&archive, "d/file", "some content");
    archive_add_pax(&archive, "path", "d/a name from PAX", 17);
    archive_file(&archive, "short", "more");
    archive_add(&archive, 'L', "././@LongLink", "", "a/long/name/of/gnu", 19);
    archive_link(&archive, '2', "cut", "target");
    archive_add_pax(&archive, "mtime", "-1.5", 4);
    archive_link(&archive, '1', "hard", "d/file");
    archive_add_pax(&archive, "uid", "3000000000", 10);
    archive_file(&archive, "owned", "");
    archive_end(&archive);
    assert_int_equal(read_all(&archive, buf_length(&archive), SIZE_MAX, whole, sizeof(whole), &marked), 0);
    assert_true(marked);
    assert_string_equal(whole, "6 d/> 0 1.000000000 0:\n"
                               "1 d/file> 0 1.000000000 12:@0 some content\n"
                               "1 d/a name from PAX> 0 1.000000000 4:@0 more\n"
                               "3 a/long/name/of/gnu>target 0 1.000000000 0:\n"
                               "2 hard>d/file 0 -2.500000000 0:\n"
                               "1 owned> 3000000000 1.000000000 0:\n");
    for (size_t step = 1; step < 1100; step += 109) {
        assert_int_equal(read_all(&archive, buf_length(&archive), step, pieces, sizeof(pieces), &marked), 0);
        assert_string_equal(pieces, whole);
    }
}

static void sparse_file_in_data_form(void **state) {
    CLEANUP(buf_done) buf archive;
    static char text[4096];
    static char records[] = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n28 GNU.sparse.realsize=8192\n25 GNU.sparse.name=s.bin\n";
    char stored[ARCHIVE_BLOCK + 5] = "2\n100\n3\n5000\n2\n";
    bool marked;
    memcpy(stored + ARCHIVE_BLOCK, "abcde", 5);
    buf_init(&archive, ARCHIVE_MAX_BYTES);
    archive_add(&archive, 'x', "pax", "", records, strlen(records));
    archive_add(&archive, '0', "GNUSparseFile.0/s.bin", "", stored, sizeof(stored));
    archive_end(&archive);
    assert_int_equal(read_all(&archive, buf_length(&archive), 7, text, sizeof(text), &marked), 0);
    assert_string_equal(text, "1 s.bin> 0 1.000000000 8192:@100 abc@5000 de\n");
}

static void every_cut_is_noticed(void **state) {
    CLEANUP(buf_done) buf archive;
    static char text[4096];
    bool marked;
    buf_init(&archive, ARCHIVE_MAX_BYTES);
    archive_add_pax(&archive, "path", "name", 4);
    archive_file(&archive, "x", "content");
    archive_end(&archive);
    size_t whole = buf_length(&archive) - ARCHIVE_BLOCK;
    for (size_t length = 0; length < whole; length++) {
        int r = read_all(&archive, length, SIZE_MAX, text, sizeof(text), &marked);
        assert_true(r == -NB_E_IMAGE || !marked);
    }
    assert_int_equal(read_all(&archive, whole, SIZE_MAX, text, sizeof(text), &marked), 0);
    assert_true(marked);
}

/* One entry, changed by hand and signed again. */
static int read_patched(size_t at, const void *bytes, size_t length, char type) {
    CLEANUP(buf_done) buf archive;
    static char text[4096];
    bool marked;
    buf_init(&archive, ARCHIVE_MAX_BYTES);
    archive_add(&archive, type, "name", "", "", 0);
    memcpy(buf_bytes(&archive) + at, bytes, length);
    archive_sign(buf_bytes(&archive));
    archive_end(&archive);
    return read_all(&archive, buf_length(&archive), SIZE_MAX, text, sizeof(text), &marked);
}

static void malformed_headers_are_refused(void **state) {
    static const uint8_t huge[12] = {0x80, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t negative[12] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t all_ones[8] = {0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t large_id[8] = {0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe};
    assert_int_equal(read_patched(124, huge, sizeof(huge), '0'), -NB_E_IMAGE);
    assert_int_equal(read_patched(124, negative, sizeof(negative), '0'), -NB_E_IMAGE);
    assert_int_equal(read_patched(124, "00000000009", 12, '0'), -NB_E_IMAGE);
    assert_int_equal(read_patched(108, all_ones, sizeof(all_ones), '0'), -NB_E_IMAGE);
    assert_int_equal(read_patched(108, large_id, sizeof(large_id), '0'), 0);
    assert_int_equal(read_patched(136, negative, sizeof(negative), '0'), 0); /* a second before 1970 */
    assert_int_equal(read_patched(156, "?", 1, '0'), -NB_E_IMAGE);
    assert_int_equal(read_patched(329, "0010000", 8, '3'), -NB_E_IMAGE);
}

static int read_pax(const char *records, size_t length) {
    CLEANUP(buf_done) buf archive;
    static char text[4096];
    bool marked;
    buf_init(&archive, ARCHIVE_MAX_BYTES);
    archive_add(&archive, 'x', "pax", "", records, length);
    archive_file(&archive, "name", "12345");
    archive_end(&archive);
    return read_all(&archive, buf_length(&archive), SIZE_MAX, text, sizeof(text), &marked);
}

static void malformed_records_are_refused(void **state) {
    static const char *const bad[] = {
        "x",
        "9 path=ab\n",
        "99 path=a\n",
        "10 path=ab ",
        "6 path\n",
        "18446744073709551616 path=a\n",
        "11 size=-1\n",
        "13 mtime=1.x\n",
        "29 mtime=9223372036854775808\n",
        "32 mtime=-9223372036854775808.5\n",
        "26 GNU.sparse.map=0,4,2,1\n",
        "24 GNU.sparse.map=0,9,9\n",
        "23 GNU.sparse.offset=1\n",
        "24 GNU.sparse.map=9,1,1\n",
        "36 GNU.sparse.map=18446744073709551615,5\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(read_pax(bad[i], strlen(bad[i])), -NB_E_IMAGE);
    assert_int_equal(read_pax("10 path=a\0\n", 11), -NB_E_IMAGE);
    assert_int_equal(read_pax("10 path=b\n", 10), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_read_as_the_whole),      cmocka_unit_test(sparse_file_in_data_form),
        cmocka_unit_test(every_cut_is_noticed),          cmocka_unit_test(malformed_headers_are_refused),
        cmocka_unit_test(malformed_records_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
