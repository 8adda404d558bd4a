/* SPDX-License-Identifier: Apache-2.0
 *
 * test-tar-writer.c - what is written reads back as it was
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/size.h"
#include "tar/writer.h"
#include "test-archive.h"

#include <stdlib.h>

static int keep(void *user, const void *bytes, size_t length, nb_error *err) {
    return buf_append(user, bytes, length) ? 0 : -NB_E_NO_MEMORY;
}

static void write_data(tar_writer *writer, uint64_t length) {
    static const uint8_t piece[100000] = {1, 2, 3};
    for (uint64_t left = length, now; left > 0; left -= now) {
        now = left < sizeof(piece) ? left : sizeof(piece);
        assert_int_equal(tar_write(writer, piece, (size_t) now, NULL), 0);
    }
}

static void put(buf *archive, const tar_entry *entry, const tar_piece *map, size_t count) {
    tar_writer *writer = tar_writer_new((tar_output){keep, archive});
    uint64_t data = entry->sparse ? 0 : entry->kind == TAR_FILE ? entry->size : 0;
    for (size_t i = 0; i < count; i++)
        data += map[i].length;
    assert_int_equal(tar_put(writer, entry, map, count, NULL), 0);
    write_data(writer, data);
    assert_int_equal(tar_finish(writer, NULL), 0);
    assert_int_equal(buf_length(archive) % ARCHIVE_BLOCK, 0);
    tar_writer_free(writer);
}

static void assert_reads_back(const tar_entry *entry, const tar_piece *map, size_t count) {
    buf archive;
    buf_init(&archive, ARCHIVE_MAX_BYTES);
    put(&archive, entry, map, count);
    archive_feed feed = {buf_bytes(&archive), buf_length(&archive), 7000};
    tar_reader *reader = tar_reader_new((tar_input){.read = archive_feed_read, .user = &feed});
    const tar_entry *read;
    nb_error err = {0};
    assert_int_equal(tar_next(reader, &read, &err), 1);
    assert_int_equal(read->kind, entry->kind);
    assert_string_equal(read->name, entry->name);
    assert_string_equal(read->link, entry->link);
    assert_int_equal(read->mode, entry->mode);
    assert_int_equal(read->uid, entry->uid);
    assert_int_equal(read->gid, entry->gid);
    assert_int_equal(read->mtime_s, entry->mtime_s);
    assert_int_equal(read->mtime_ns, entry->mtime_ns);
    assert_int_equal(read->size, entry->size);
    assert_int_equal(read->major, entry->major);
    assert_int_equal(read->minor, entry->minor);
    assert_int_equal(read->xattr_count, entry->xattr_count);
    for (size_t i = 0; i < entry->xattr_count; i++) {
        assert_string_equal(read->xattrs[i].name, entry->xattrs[i].name);
        assert_int_equal(read->xattrs[i].length, entry->xattrs[i].length);
        assert_memory_equal(read->xattrs[i].value, entry->xattrs[i].value, entry->xattrs[i].length);
    }
    uint64_t data = 0, expected = entry->sparse ? 0 : entry->size;
    for (size_t i = 0; i < count; i++)
        expected += map[i].length;
    for (size_t length = 1; length > 0; data += length) {
        const uint8_t *bytes;
        uint64_t offset;
        assert_int_equal(tar_read(reader, &bytes, &length, &offset, &err), 0);
        bool in_piece = length == 0 || !entry->sparse;
        for (size_t i = 0; i < count; i++)
            in_piece = in_piece || (offset >= map[i].offset && offset + length <= map[i].offset + map[i].length);
        assert_true(in_piece);
    }
    assert_int_equal(data, expected);
    assert_int_equal(tar_next(reader, &read, &err), 0);
    assert_true(tar_end_was_marked(reader));
    tar_reader_free(reader);
    buf_done(&archive);
}

static const tar_entry plain = {.kind = TAR_FILE, .name = "file", .link = "", .mode = 0644};

static void every_kind_reads_back(void **state) {
    for (enum tar_kind kind = TAR_FILE; kind <= TAR_FIFO; kind++) {
        tar_entry entry = plain;
        entry.kind = kind;
        entry.name = kind == TAR_FOLDER ? "folder/" : "some/name";
        entry.link = kind == TAR_HARD_LINK || kind == TAR_SYMBOLIC_LINK ? "target" : "";
        entry.major = kind == TAR_CHARACTER_DEVICE || kind == TAR_BLOCK_DEVICE ? 4095 : 0;
        entry.minor = entry.major ? 1048575 : 0;
        entry.mode = 07777;
        assert_reads_back(&entry, NULL, 0);
    }
}

static void names_of_every_length_read_back(void **state) {
    static char name[5000];
    for (size_t length = 1; length < 4096; length += length < 520 ? 1 : 97) {
        for (size_t i = 0; i < length; i++)
            name[i] = i % 37 == 36 && i + 1 < length ? '/' : (char) ('a' + i % 26);
        name[length] = '\0';
        tar_entry entry = plain;
        entry.name = name;
        assert_reads_back(&entry, NULL, 0);
        entry.kind = TAR_SYMBOLIC_LINK;
        entry.link = name;
        assert_reads_back(&entry, NULL, 0);
    }
    memset(name, 'x', 255); /* no slash to cut it at */
    name[255] = '\0';
    tar_entry entry = plain;
    entry.name = name;
    assert_reads_back(&entry, NULL, 0);
    entry.name = "caf\303\251/\377\376 \n name";
    assert_reads_back(&entry, NULL, 0);
}

static void numbers_beyond_a_header_read_back(void **state) {
    static const struct {
        int64_t s;
        uint32_t ns;
    } times[] = {{0, 0},          {1, 1},          {INT64_C(077777777777), 0}, {INT64_C(077777777777) + 1, 0}, {-1, 0},
                 {-2, 500000000}, {-1, 999999999}, {5000, 120000000}};
    for (size_t i = 0; i < ARRAY_LENGTH(times); i++) {
        tar_entry entry = plain;
        entry.mtime_s = times[i].s;
        entry.mtime_ns = times[i].ns;
        assert_reads_back(&entry, NULL, 0);
    }
    static const uint32_t ids[] = {0, 1000, 2097151, 2097152, UINT32_MAX - 1};
    for (size_t i = 0; i < ARRAY_LENGTH(ids); i++) {
        tar_entry entry = plain;
        entry.uid = ids[i];
        entry.gid = ids[ARRAY_LENGTH(ids) - 1 - i];
        assert_reads_back(&entry, NULL, 0);
    }
}

static void data_of_every_remainder_reads_back(void **state) {
    static const uint64_t sizes[] = {1, 511, 512, 513, 65535, 65536, 65537, 1000000};
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        tar_entry entry = plain;
        entry.size = sizes[i];
        assert_reads_back(&entry, NULL, 0);
    }
}

static void attributes_read_back(void **state) {
    static const uint8_t value[] = {0, 1, '\n', '=', 255};
    static const tar_xattr xattrs[] = {{"user.one", value, sizeof(value)}, {"security.capability", value, 1}, {"user.empty", value, 0}};
    tar_entry entry = plain;
    entry.xattrs = xattrs;
    entry.xattr_count = 2;
    assert_reads_back(&entry, NULL, 0);
}

static void holes_read_back(void **state) {
    static const tar_piece map[] = {{4096, 100}, {UINT64_C(1) << 20, 4096}, {(UINT64_C(1) << 40) - 512, 512}};
    tar_entry entry = plain;
    entry.sparse = true;
    entry.name = "a/sparse file";
    entry.size = UINT64_C(1) << 40;
    for (size_t count = 0; count <= ARRAY_LENGTH(map); count++)
        assert_reads_back(&entry, map, count);
}

static void a_file_of_another_size_than_promised_is_refused(void **state) {
    buf archive;
    buf_init(&archive, ARCHIVE_MAX_BYTES);
    tar_writer *writer = tar_writer_new((tar_output){keep, &archive});
    tar_entry entry = plain;
    nb_error err;
    entry.size = 10;
    assert_int_equal(tar_put(writer, &entry, NULL, 0, &err), 0);
    assert_int_equal(tar_write(writer, "12345", 5, &err), 0);
    assert_int_equal(tar_put(writer, &entry, NULL, 0, &err), -NB_E_INTERNAL);
    assert_int_equal(tar_finish(writer, &err), -NB_E_INTERNAL);
    assert_int_equal(tar_write(writer, "123456", 6, &err), -NB_E_INTERNAL);
    assert_int_equal(tar_write(writer, "12345", 5, &err), 0);
    entry.name = "";
    assert_int_equal(tar_put(writer, &entry, NULL, 0, &err), -NB_E_INVALID);
    assert_int_equal(tar_finish(writer, &err), 0);
    assert_int_equal(buf_length(&archive), 4 * ARCHIVE_BLOCK);
    tar_writer_free(writer);
    buf_done(&archive);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_reads_back),
        cmocka_unit_test(names_of_every_length_read_back),
        cmocka_unit_test(numbers_beyond_a_header_read_back),
        cmocka_unit_test(data_of_every_remainder_reads_back),
        cmocka_unit_test(attributes_read_back),
        cmocka_unit_test(holes_read_back),
        cmocka_unit_test(a_file_of_another_size_than_promised_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
