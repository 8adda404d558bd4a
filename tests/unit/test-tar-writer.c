/* SPDX-License-Identifier: Apache-2.0
 *
 * test-tar-writer.c - archives as they are written, byte by byte and read back
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/size.h"
#include "fail.h"
#include "tar/limits.h"
#include "tar/writer.h"
#include "test-tar-archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 100u
#define PREFIX_BYTES 155u

typedef struct sink {
    buf bytes;
    size_t calls_left; /* until the output fails */
} sink;

static int sink_write(void *user, const void *bytes, size_t length, nb_error *err) {
    sink *s = user;
    if (s->calls_left-- == 0)
        return -NB_E_STORAGE;
    assert_true(buf_append(&s->bytes, bytes, length));
    return 0;
}

static tar_writer *writer_into(sink *s) {
    *s = (sink){.calls_left = SIZE_MAX};
    buf_init(&s->bytes, ARCHIVE_MAX_BYTES);
    tar_writer *writer = tar_writer_new((tar_output){sink_write, s});
    assert_non_null(writer);
    return writer;
}

/* ---- round trips ---- */

static void assert_same_entry(const tar_entry *a, const tar_entry *b) {
    assert_int_equal(a->kind, b->kind);
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->link ? a->link : "", b->link);
    assert_int_equal(a->mode, b->mode);
    assert_int_equal(a->uid, b->uid);
    assert_int_equal(a->gid, b->gid);
    assert_true(a->mtime_s == b->mtime_s);
    assert_int_equal(a->mtime_ns, b->mtime_ns);
    assert_int_equal(a->major, b->major);
    assert_int_equal(a->minor, b->minor);
    assert_true(a->size == b->size);
    assert_int_equal(a->sparse, b->sparse);
    assert_int_equal(a->xattr_count, b->xattr_count);
    for (size_t i = 0; i < a->xattr_count; i++) {
        assert_string_equal(a->xattrs[i].name, b->xattrs[i].name);
        assert_int_equal(a->xattrs[i].length, b->xattrs[i].length);
        assert_memory_equal(a->xattrs[i].value, b->xattrs[i].value, a->xattrs[i].length);
    }
}

/* Writes the entry and its data between two others, and reads all three. Returns the bytes that the entry took. */
static size_t round_trip(const tar_entry *entry, const char *content) {
    static const tar_entry neighbour = {.kind = TAR_FILE, .name = "neighbour", .link = "", .size = 3};
    sink s;
    CLEANUP(tar_writer_freep) tar_writer *writer = writer_into(&s);
    const tar_entry *const entries[] = {&neighbour, entry, &neighbour};
    const char *const contents[] = {"one", content, "two"};
    const tar_entry *found;
    const uint8_t *bytes;
    size_t length;
    uint64_t offset;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tar_put(writer, entries[i], NULL), 0);
        assert_int_equal(tar_write(writer, contents[i], strlen(contents[i]), NULL), 0);
        assert_int_equal(buf_length(&s.bytes) % ARCHIVE_BLOCK, 0);
    }
    assert_int_equal(tar_finish(writer, NULL), 0);
    archive_feed feed = {buf_bytes(&s.bytes), buf_length(&s.bytes), SIZE_MAX};
    CLEANUP(tar_reader_freep) tar_reader *reader = tar_reader_new((tar_input){.read = archive_feed_read, .user = &feed});
    for (size_t i = 0; i < 3; i++) {
        nb_error err = {0};
        size_t done = 0;
        if (tar_next(reader, &found, &err) != 1)
            fail_msg("entry %zu: %s", i, err.message);
        assert_same_entry(entries[i], found);
        while (tar_read(reader, &bytes, &length, &offset, &err) == 0 && length > 0) {
            assert_true(done + length <= strlen(contents[i]));
            assert_memory_equal(bytes, contents[i] + done, length);
            done += length;
        }
        assert_int_equal(done, strlen(contents[i]));
    }
    assert_int_equal(tar_next(reader, &found, NULL), 0);
    assert_true(tar_end_was_marked(reader));
    size_t total = buf_length(&s.bytes);
    buf_done(&s.bytes);
    return total - 2 * 2 * ARCHIVE_BLOCK - 2 * ARCHIVE_BLOCK;
}

/* That it needs its header and data, and no more. */
static void assert_plain(const tar_entry *entry, const char *content) {
    assert_int_equal(round_trip(entry, content), ARCHIVE_BLOCK + align_up(strlen(content), ARCHIVE_BLOCK));
}

/* That it has a PAX header as well, of at most @blocks blocks with its records. */
static void assert_extended(const tar_entry *entry, const char *content, size_t blocks) {
    assert_int_equal(round_trip(entry, content), (1 + blocks) * ARCHIVE_BLOCK + align_up(strlen(content), ARCHIVE_BLOCK));
}

static void every_kind_of_entry_comes_back(void **state) {
    static const tar_entry entries[] = {
        {.kind = TAR_FILE, .name = "d/file", .mode = 04755, .uid = 1000, .gid = 2097151, .mtime_s = 1700000000, .size = 7},
        {.kind = TAR_HARD_LINK, .name = "d/hard", .link = "d/file", .mode = 0644},
        {.kind = TAR_SYMBOLIC_LINK, .name = "d/symbolic", .link = "../a/target/", .mode = 0777},
        {.kind = TAR_CHARACTER_DEVICE, .name = "dev/null", .mode = 0666, .major = 1, .minor = 3},
        {.kind = TAR_BLOCK_DEVICE, .name = "dev/last", .mode = 0, .major = 4095, .minor = 1048575},
        {.kind = TAR_FOLDER, .name = "d/", .mode = 01777},
        {.kind = TAR_FIFO, .name = "fifo", .mode = 0600, .mtime_s = 077777777777},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(entries); i++)
        assert_plain(&entries[i], entries[i].kind == TAR_FILE ? "content" : "");
}

static void what_a_kind_has_no_use_for_is_not_written(void **state) {
    sink s;
    CLEANUP(tar_writer_freep) tar_writer *writer = writer_into(&s);
    static const tar_piece piece = {5, 5};
    static const tar_entry entry = {
        .kind = TAR_FIFO, .name = "f", .link = "x", .size = 99, .major = 5, .minor = 5, .sparse = true, .map = &piece, .map_count = 1};
    static const tar_entry bare = {.kind = TAR_FIFO, .name = "f"};
    assert_int_equal(tar_put(writer, &entry, NULL), 0);
    assert_int_equal(tar_put(writer, &bare, NULL), 0);
    assert_int_equal(buf_length(&s.bytes), 2 * ARCHIVE_BLOCK);
    assert_memory_equal(buf_bytes(&s.bytes), buf_bytes(&s.bytes) + ARCHIVE_BLOCK, ARCHIVE_BLOCK);
    buf_done(&s.bytes);
}

static void a_folder_gets_its_slash(void **state) {
    static char name[NAME_BYTES + PREFIX_BYTES + 10], expected[sizeof(name) + 1];
    for (size_t length = 1; length < sizeof(name) - 1; length++) {
        sink s;
        CLEANUP(tar_writer_freep) tar_writer *writer = writer_into(&s);
        const tar_entry *found;
        memset(name, 'n', length);
        (void) snprintf(expected, sizeof(expected), "%s/", name);
        assert_int_equal(tar_put(writer, &(tar_entry){.kind = TAR_FOLDER, .name = name}, NULL), 0);
        archive_feed feed = {buf_bytes(&s.bytes), buf_length(&s.bytes), SIZE_MAX};
        CLEANUP(tar_reader_freep) tar_reader *reader = tar_reader_new((tar_input){.read = archive_feed_read, .user = &feed});
        assert_int_equal(tar_next(reader, &found, NULL), 1);
        assert_string_equal(found->name, expected);
        buf_done(&s.bytes);
    }
}

/* The one slash of a name of @length bytes at each place: a header has room for 155 bytes before it and 100 after it. */
static void names_are_split_where_a_header_can_say_them(void **state) {
    static const size_t lengths[] = {99, 100, 101, 102, 255, 256, 257, 400};
    static char name[401];
    for (size_t i = 0; i < ARRAY_LENGTH(lengths); i++) {
        size_t length = lengths[i];
        for (size_t slash = 0; slash + 1 < length; slash++) {
            tar_entry entry = {.kind = TAR_FIFO, .name = name};
            memset(name, 'n', length);
            name[length] = '\0';
            name[slash] = '/';
            bool fits = length <= NAME_BYTES || (slash > 0 && slash <= PREFIX_BYTES && length - slash - 1 <= NAME_BYTES);
            if (fits)
                assert_plain(&entry, "");
            else
                assert_extended(&entry, "", 2);
        }
    }
}

static void names_are_bytes(void **state) {
    static char name[301];
    tar_entry entry = {.kind = TAR_SYMBOLIC_LINK, .name = "\xff\xfe e\xcc\x81 \xc3\xa9\n=", .link = "\x80"};
    assert_plain(&entry, "");
    memset(name, 0xe9, 300);
    entry.name = name;
    assert_extended(&entry, "", 2);
    entry = (tar_entry){.kind = TAR_SYMBOLIC_LINK, .name = "a", .link = name};
    assert_extended(&entry, "", 2);
}

/* Which of the two an archive with a name that is too long says. */
static bool says_binary(const char *name, const char *link) {
    sink s;
    CLEANUP(tar_writer_freep) tar_writer *writer = writer_into(&s);
    assert_int_equal(tar_put(writer, &(tar_entry){.kind = TAR_SYMBOLIC_LINK, .name = name, .link = link}, NULL), 0);
    bool found = memmem(buf_bytes(&s.bytes), buf_length(&s.bytes), "21 hdrcharset=BINARY\n", 21) != NULL;
    buf_done(&s.bytes);
    return found;
}

static void only_what_is_not_utf8_is_called_binary(void **state) {
    static char valid[203], invalid[203];
    for (size_t i = 0; i < 202; i += 2)
        memcpy(valid + i, "\xc3\xa9", 2);
    memset(invalid, 0xe9, 202);
    assert_false(says_binary(valid, valid));
    assert_true(says_binary(invalid, "a"));
    assert_true(says_binary("a", invalid));
    assert_false(says_binary(valid, "\xe9")); /* which no record has */
}

static void link_targets_go_to_a_record_beyond_100_bytes(void **state) {
    static char target[4097];
    memset(target, 't', 99);
    for (size_t length = 100; length <= 102; length++) {
        target[length - 1] = 't';
        tar_entry entry = {.kind = length % 2 ? TAR_SYMBOLIC_LINK : TAR_HARD_LINK, .name = "link", .link = target};
        if (length <= NAME_BYTES)
            assert_plain(&entry, "");
        else
            assert_extended(&entry, "", 2);
    }
    memset(target, 't', 4096);
    (void) round_trip(&(tar_entry){.kind = TAR_SYMBOLIC_LINK, .name = "link", .link = target}, "");
}

static void owners_beyond_seven_digits_go_to_a_record(void **state) {
    tar_entry entry = {.kind = TAR_FIFO, .name = "f", .uid = 2097151, .gid = 2097151};
    assert_plain(&entry, "");
    entry.uid = 2097152;
    assert_extended(&entry, "", 2);
    entry.gid = UINT32_MAX - 1;
    assert_extended(&entry, "", 2);
}

static void times_of_every_kind_come_back(void **state) {
    static const struct {
        int64_t seconds;
        uint32_t nanoseconds;
    } odd[] = {
        {0, 1},
        {0, 999999999},
        {-1, 0},
        {-1, 1},
        {-1, 500000000},
        {-1, 999999999},
        {-2, 500000000},
        {1700000000, 123456789},
        {077777777777 + 1LL, 0},
        {INT64_MAX, 0},
        {INT64_MAX, 999999999},
        {INT64_MIN, 0},
        {INT64_MIN, 999999999},
        {INT64_MIN, 1},
        {1, 100000000},
    };
    assert_plain(&(tar_entry){.kind = TAR_FIFO, .name = "f", .mtime_s = 077777777777}, "");
    for (size_t i = 0; i < ARRAY_LENGTH(odd); i++)
        assert_extended(&(tar_entry){.kind = TAR_FIFO, .name = "f", .mtime_s = odd[i].seconds, .mtime_ns = odd[i].nanoseconds}, "", 2);
}

static void extended_attributes_are_any_bytes(void **state) {
    static const tar_xattr xattrs[] = {
        {"user.text", (const uint8_t *) "value", 5},
        {"security.capability", (const uint8_t *) "\1\0\0\2\0=\n\xff", 8},
        {"user.a%3Db \xc3\xa9", (const uint8_t *) "\n", 1},
    };
    tar_entry entry = {.kind = TAR_FILE, .name = "f", .size = 1, .xattrs = xattrs, .xattr_count = ARRAY_LENGTH(xattrs)};
    assert_extended(&entry, "x", 2);
    entry.kind = TAR_FOLDER;
    entry.name = "f/";
    entry.size = 0;
    assert_extended(&entry, "", 2);
}

/* The digits of a record's length are a part of it, and can make it longer by one more digit. */
static void every_length_of_a_record_comes_back(void **state) {
    static char value[1100];
    memset(value, 'v', sizeof(value));
    for (size_t length = 1; length < sizeof(value); length++) {
        tar_xattr xattr = {"n", (const uint8_t *) value, length};
        (void) round_trip(&(tar_entry){.kind = TAR_FIFO, .name = "f", .xattrs = &xattr, .xattr_count = 1}, "");
    }
}

static void data_of_every_length_is_padded(void **state) {
    static char content[1100];
    for (size_t length = 0; length < sizeof(content) - 1; length++) {
        assert_plain(&(tar_entry){.kind = TAR_FILE, .name = "f", .size = length}, content);
        content[length] = (char) ('a' + length % 26);
    }
}

/* ---- sparse files ---- */

static void assert_sparse(const tar_piece *map, size_t count, uint64_t size, const char *content) {
    tar_entry entry = {.kind = TAR_FILE, .name = "a/folder/s.img", .size = size, .sparse = true, .map = map, .map_count = count};
    assert_int_equal(round_trip(&entry, content), 4 * ARCHIVE_BLOCK + align_up(strlen(content), ARCHIVE_BLOCK));
}

static void sparse_files_come_back(void **state) {
    static const tar_piece map[] = {{0, 512}, {4096, 1024}, {5120, 0}, {UINT64_C(1) << 40, 2}};
    static char content[512 + 1024 + 2 + 1];
    memset(content, 'c', sizeof(content) - 1);
    assert_sparse(map, 4, (UINT64_C(1) << 40) + 2, content);
    assert_sparse(map, 4, INT64_MAX, content);
    assert_sparse(map + 3, 1, (UINT64_C(1) << 40) + 2, "ab");
    assert_sparse(&(tar_piece){0, 1}, 1, 1, "a");
    assert_sparse(&(tar_piece){4096, 3}, 1, 5000, "abc");
    assert_sparse(NULL, 0, 8192, "");
    assert_sparse(NULL, 0, 0, "");
}

static void a_map_stands_before_the_data_and_ends_where_the_file_does(void **state) {
    static const tar_piece map[] = {{1024, 512}, {5000, 2}};
    static const char block[ARCHIVE_BLOCK] = "abc";
    sink s;
    CLEANUP(tar_writer_freep) tar_writer *writer = writer_into(&s);
    tar_entry entry = {.kind = TAR_FILE, .name = "s.bin", .size = 8192, .sparse = true, .map = map, .map_count = 2};
    assert_int_equal(tar_put(writer, &entry, NULL), 0);
    assert_int_equal(tar_write(writer, block, sizeof(block), NULL), 0);
    assert_int_equal(tar_write(writer, "de", 2, NULL), 0);
    assert_int_equal(buf_length(&s.bytes), 6 * ARCHIVE_BLOCK);
    const char *at = (const char *) buf_bytes(&s.bytes);
    assert_string_equal(at + ARCHIVE_BLOCK,
                        "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n25 GNU.sparse.name=s.bin\n28 GNU.sparse.realsize=8192\n");
    assert_string_equal(at + 2 * (size_t) ARCHIVE_BLOCK, "GNUSparseFile.0/s.bin");
    assert_string_equal(at + 2 * (size_t) ARCHIVE_BLOCK + 124, "00000002002"); /* 512 + 512 + 2 */
    assert_string_equal(at + 3 * (size_t) ARCHIVE_BLOCK, "3\n1024\n512\n5000\n2\n8192\n0\n");
    assert_string_equal(at + 4 * (size_t) ARCHIVE_BLOCK, "abc");
    assert_string_equal(at + 5 * (size_t) ARCHIVE_BLOCK, "de");
    buf_done(&s.bytes);
}

/* ---- byte by byte ---- */

static void a_header_is_what_posix_says(void **state) {
    sink s;
    CLEANUP(tar_writer_freep) tar_writer *writer = writer_into(&s);
    tar_entry entry = {.kind = TAR_FILE, .name = "d/name", .mode = 0644, .uid = 8, .gid = 9, .mtime_s = 64, .size = 5};
    uint8_t expected[4 * ARCHIVE_BLOCK] = "d/name";
    memcpy(expected + 100, "0000644\0000000010\0000000011\00000000000005\00000000000100", 48);
    memcpy(expected + 156, "0", 1);
    memcpy(expected + 257, "ustar\00000", 8);
    memcpy(expected + 329, "0000000\0000000000", 16);
    unsigned sum = 8 * ' ';
    for (size_t i = 0; i < ARCHIVE_BLOCK; i++)
        sum += expected[i];
    (void) snprintf((char *) expected + 148, 8, "%06o", sum);
    expected[155] = ' ';
    memcpy(expected + ARCHIVE_BLOCK, "12345", 5);
    assert_int_equal(tar_put(writer, &entry, NULL), 0);
    assert_int_equal(tar_write(writer, "12", 2, NULL), 0);
    assert_int_equal(tar_write(writer, "345", 3, NULL), 0);
    assert_int_equal(tar_finish(writer, NULL), 0);
    assert_int_equal(buf_length(&s.bytes), sizeof(expected));
    assert_memory_equal(buf_bytes(&s.bytes), expected, sizeof(expected));
    buf_done(&s.bytes);
}

static void sizes_beyond_eleven_digits_go_to_a_record(void **state) {
    static const uint64_t sizes[] = {077777777777, 077777777777 + UINT64_C(1), UINT64_C(1) << 40, INT64_MAX};
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        sink s;
        CLEANUP(tar_writer_freep) tar_writer *writer = writer_into(&s);
        const tar_entry *found;
        assert_int_equal(tar_put(writer, &(tar_entry){.kind = TAR_FILE, .name = "f", .size = sizes[i]}, NULL), 0);
        assert_int_equal(buf_length(&s.bytes), (i == 0 ? 1 : 3) * ARCHIVE_BLOCK);
        archive_feed feed = {buf_bytes(&s.bytes), buf_length(&s.bytes), SIZE_MAX};
        CLEANUP(tar_reader_freep) tar_reader *reader = tar_reader_new((tar_input){.read = archive_feed_read, .user = &feed});
        assert_int_equal(tar_next(reader, &found, NULL), 1);
        assert_true(found->size == sizes[i] && found->stored == sizes[i]);
        buf_done(&s.bytes);
    }
}

/* ---- what is refused ---- */

static void assert_refused(tar_entry entry, int code) {
    sink s;
    CLEANUP(tar_writer_freep) tar_writer *writer = writer_into(&s);
    nb_error err = {0};
    assert_int_equal(tar_put(writer, &entry, &err), -code);
    assert_non_null(strstr(err.message, "to a tar archive: "));
    assert_int_equal(buf_length(&s.bytes), 0);
    /* The archive can be gone on with. */
    assert_int_equal(tar_put(writer, &(tar_entry){.kind = TAR_FOLDER, .name = "d"}, NULL), 0);
    assert_int_equal(tar_finish(writer, NULL), 0);
    assert_int_equal(buf_length(&s.bytes), 3 * ARCHIVE_BLOCK);
    buf_done(&s.bytes);
}

static void what_no_archive_can_say_is_refused_and_leaves_nothing(void **state) {
    static const tar_xattr equals = {"user.a=b", (const uint8_t *) "v", 1}, nameless = {"", (const uint8_t *) "v", 1};
    static const tar_piece overlapping[] = {{0, 512}, {511, 1}}, broken[] = {{0, 511}, {1000, 1}}, beyond[] = {{5, 6}},
                           wrapping[] = {{5, UINT64_MAX}}, far[] = {{11, 0}};
    assert_refused((tar_entry){.kind = TAR_FILE, .name = ""}, NB_E_INVALID);
    assert_refused((tar_entry){.kind = TAR_FILE, .name = "f/"}, NB_E_INVALID);
    assert_refused((tar_entry){.kind = TAR_SYMBOLIC_LINK, .name = "l", .link = ""}, NB_E_INVALID);
    assert_refused((tar_entry){.kind = TAR_HARD_LINK, .name = "l"}, NB_E_INVALID);
    assert_refused((tar_entry){.kind = TAR_FILE, .name = "f", .mode = 0100644}, NB_E_INVALID);
    assert_refused((tar_entry){.kind = TAR_FILE, .name = "f", .uid = UINT32_MAX}, NB_E_INVALID);
    assert_refused((tar_entry){.kind = TAR_FILE, .name = "f", .gid = UINT32_MAX}, NB_E_INVALID);
    assert_refused((tar_entry){.kind = TAR_FILE, .name = "f", .mtime_ns = 1000000000}, NB_E_INVALID);
    assert_refused((tar_entry){.kind = TAR_FILE, .name = "f", .size = UINT64_C(1) << 63}, NB_E_INVALID);
    assert_refused((tar_entry){.kind = TAR_BLOCK_DEVICE, .name = "b", .major = 4096}, NB_E_INVALID);
    assert_refused((tar_entry){.kind = TAR_CHARACTER_DEVICE, .name = "c", .minor = 1048576}, NB_E_INVALID);
    assert_refused((tar_entry){.kind = TAR_FILE, .name = "f", .xattrs = &equals, .xattr_count = 1}, NB_E_INVALID);
    assert_refused((tar_entry){.kind = TAR_FILE, .name = "f", .xattrs = &nameless, .xattr_count = 1}, NB_E_INVALID);
    tar_entry sparse = {.kind = TAR_FILE, .name = "s", .size = 10, .sparse = true, .map_count = 1};
    sparse.map = beyond;
    assert_refused(sparse, NB_E_INVALID);
    sparse.map = wrapping;
    assert_refused(sparse, NB_E_INVALID);
    sparse.map = far;
    assert_refused(sparse, NB_E_INVALID);
    sparse.map_count = 2;
    sparse.size = 2000;
    sparse.map = overlapping;
    assert_refused(sparse, NB_E_INVALID);
    sparse.map = broken;
    assert_refused(sparse, NB_E_INVALID);
    static const tar_piece whole = {0, INT64_MAX}; /* with its map before it, it is more */
    sparse = (tar_entry){.kind = TAR_FILE, .name = "s", .size = INT64_MAX, .sparse = true, .map = &whole, .map_count = 1};
    assert_refused(sparse, NB_E_INVALID);
}

static void a_header_has_up_to_1_mib(void **state) {
    static const size_t overhead = sizeof("1048576 SCHILY.xattr.n=\n") - 1;
    static uint8_t value[TAR_WRITTEN_HEADER_MAX_BYTES];
    tar_xattr xattr = {"n", value, TAR_WRITTEN_HEADER_MAX_BYTES - overhead};
    tar_entry entry = {.kind = TAR_FIFO, .name = "f", .xattrs = &xattr, .xattr_count = 1};
    assert_extended(&entry, "", 1 + TAR_WRITTEN_HEADER_MAX_BYTES / ARCHIVE_BLOCK);
    xattr.length--;
    assert_extended(&entry, "", 1 + TAR_WRITTEN_HEADER_MAX_BYTES / ARCHIVE_BLOCK);
    xattr.length += 2;
    assert_refused(entry, NB_E_EXHAUSTED);
}

static void a_file_has_up_to_200_attributes(void **state) {
    static tar_xattr xattrs[TAR_XATTRS_MAX + 1];
    tar_entry entry = {.kind = TAR_FIFO, .name = "f", .xattrs = xattrs};
    for (size_t i = 0; i < ARRAY_LENGTH(xattrs); i++)
        xattrs[i] = (tar_xattr){"user.n", (const uint8_t *) "v", 1};
    for (entry.xattr_count = TAR_XATTRS_MAX - 1; entry.xattr_count <= TAR_XATTRS_MAX; entry.xattr_count++)
        (void) round_trip(&entry, "");
    assert_refused(entry, NB_E_EXHAUSTED);
}

static void a_map_has_up_to_1_mib(void **state) {
    /* "N\n", and "NNNNNN\n0\n" for each */
    static const size_t fit = (TAR_WRITTEN_HEADER_MAX_BYTES - sizeof("116508\n") + 1) / (sizeof("100000\n0\n") - 1);
    tar_piece *map = calloc(fit + 1, sizeof(*map));
    assert_non_null(map);
    for (size_t i = 0; i <= fit; i++)
        map[i].offset = 100000 + i;
    tar_entry entry = {.kind = TAR_FILE, .name = "s", .size = 100000 + fit, .sparse = true, .map = map};
    for (entry.map_count = fit - 2; entry.map_count < fit; entry.map_count++) /* one is added at the file's end */
        (void) round_trip(&entry, "");
    assert_refused(entry, NB_E_EXHAUSTED);
    free(map);
}

/* ---- out of turn ---- */

static void neither_more_nor_less_data_than_promised_is_taken(void **state) {
    sink s;
    CLEANUP(tar_writer_freep) tar_writer *writer = writer_into(&s);
    tar_entry entry = {.kind = TAR_FILE, .name = "f", .size = 4};
    assert_int_equal(tar_write(writer, "x", 1, NULL), -NB_E_INTERNAL);
    assert_int_equal(tar_put(writer, &entry, NULL), 0);
    assert_int_equal(tar_write(writer, "12345", 5, NULL), -NB_E_INTERNAL);
    assert_int_equal(tar_write(writer, "123", 3, NULL), 0);
    assert_int_equal(tar_put(writer, &entry, NULL), -NB_E_INTERNAL);
    assert_int_equal(tar_finish(writer, NULL), -NB_E_INTERNAL);
    assert_int_equal(buf_length(&s.bytes), ARCHIVE_BLOCK + 3);
    assert_int_equal(tar_write(writer, "4", 1, NULL), 0);
    assert_int_equal(tar_write(writer, "5", 1, NULL), -NB_E_INTERNAL);
    assert_int_equal(buf_length(&s.bytes), 2 * ARCHIVE_BLOCK);
    assert_int_equal(tar_write(writer, "", 0, NULL), 0);
    assert_int_equal(tar_finish(writer, NULL), 0);
    assert_int_equal(tar_finish(writer, NULL), -NB_E_INTERNAL);
    assert_int_equal(tar_put(writer, &entry, NULL), -NB_E_INTERNAL);
    assert_int_equal(tar_write(writer, "", 0, NULL), -NB_E_INTERNAL);
    assert_int_equal(buf_length(&s.bytes), 4 * ARCHIVE_BLOCK);
    buf_done(&s.bytes);
}

/* Whichever write fails, its error comes back, and the archive is not gone on with. */
static void a_failed_output_stays_failed(void **state) {
    static const tar_piece piece = {1, 2};
    static const tar_entry entry = {
        .kind = TAR_FILE, .name = "s", .uid = 3000000, .size = 9, .sparse = true, .map = &piece, .map_count = 1};
    for (size_t calls = 0;; calls++) {
        sink s;
        CLEANUP(tar_writer_freep) tar_writer *writer = writer_into(&s);
        s.calls_left = calls;
        int result = tar_put(writer, &entry, NULL);
        if (result == 0)
            result = tar_write(writer, "12", 2, NULL);
        if (result == 0)
            result = tar_finish(writer, NULL);
        buf_done(&s.bytes);
        if (result == 0) {
            assert_int_equal(calls, 7); /* header and records of PAX, header, map, data, padding, end */
            return;
        }
        assert_int_equal(result, -NB_E_STORAGE);
        assert_int_equal(tar_put(writer, &entry, NULL), -NB_E_INTERNAL);
        assert_int_equal(tar_write(writer, "", 0, NULL), -NB_E_INTERNAL);
        assert_int_equal(tar_finish(writer, NULL), -NB_E_INTERNAL);
    }
}

static void a_writer_without_memory_is_none(void **state) {
    fail_alloc_at(0);
    tar_writer *writer = tar_writer_new((tar_output){sink_write, NULL});
    assert_true(fail_alloc_fired());
    assert_null(writer);
    tar_writer_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_entry_comes_back),
        cmocka_unit_test(what_a_kind_has_no_use_for_is_not_written),
        cmocka_unit_test(a_folder_gets_its_slash),
        cmocka_unit_test(names_are_split_where_a_header_can_say_them),
        cmocka_unit_test(names_are_bytes),
        cmocka_unit_test(only_what_is_not_utf8_is_called_binary),
        cmocka_unit_test(link_targets_go_to_a_record_beyond_100_bytes),
        cmocka_unit_test(owners_beyond_seven_digits_go_to_a_record),
        cmocka_unit_test(times_of_every_kind_come_back),
        cmocka_unit_test(extended_attributes_are_any_bytes),
        cmocka_unit_test(every_length_of_a_record_comes_back),
        cmocka_unit_test(data_of_every_length_is_padded),
        cmocka_unit_test(sparse_files_come_back),
        cmocka_unit_test(a_map_stands_before_the_data_and_ends_where_the_file_does),
        cmocka_unit_test(a_header_is_what_posix_says),
        cmocka_unit_test(sizes_beyond_eleven_digits_go_to_a_record),
        cmocka_unit_test(what_no_archive_can_say_is_refused_and_leaves_nothing),
        cmocka_unit_test(a_header_has_up_to_1_mib),
        cmocka_unit_test(a_file_has_up_to_200_attributes),
        cmocka_unit_test(a_map_has_up_to_1_mib),
        cmocka_unit_test(neither_more_nor_less_data_than_promised_is_taken),
        cmocka_unit_test(a_failed_output_stays_failed),
        cmocka_unit_test(a_writer_without_memory_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
