/* SPDX-License-Identifier: Apache-2.0
 *
 * tar-writer.c - any list of entries, written and read back: what the writer takes, the reader gives
 *
 * Input: entry after entry. Each is numbers of a fixed size, then texts: how long, and the bytes that are repeated until it is so long.
 * Data is not in it but made. Properties: an entry is either refused without a byte written or comes back the same; an archive is whole
 * blocks; and it is the same archive whether its data came at once or byte by byte.
 */
#include "base/buf.h"
#include "tar/reader.h"
#include "tar/writer.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 8u
#define XATTRS_MAX 4u
#define PIECES_MAX 8u
#define TEXT_MAX_BYTES 2000u
#define ARCHIVE_MAX_BYTES ((size_t) 16 << 20)
#define STEP_BYTES 97u

static void check(bool condition) {
    if (!condition)
        abort();
}

/* ---- entries from the input ---- */

typedef struct source {
    const uint8_t *at;
    size_t left;
} source;

typedef struct made_entry {
    tar_entry entry;
    bool taken;
    char name[TEXT_MAX_BYTES + 1], link[TEXT_MAX_BYTES + 1];
    tar_xattr xattrs[XATTRS_MAX];
    char xattr_texts[XATTRS_MAX][2][TEXT_MAX_BYTES + 1];
    tar_piece map[PIECES_MAX];
} made_entry;

/* Zeros when the input has come to its end. */
static uint64_t take(source *s, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | (s->left > i ? s->at[i] : 0);
    size_t now = bytes < s->left ? bytes : s->left;
    s->at += now;
    s->left -= now;
    return value;
}

/* NUL-terminated, and possibly with others before that. */
static size_t take_text(source *s, char *to) {
    size_t length = (size_t) take(s, 2) % (TEXT_MAX_BYTES + 1), pattern = (size_t) take(s, 1);
    pattern = pattern < s->left ? pattern : s->left;
    for (size_t i = 0; i < length; i++)
        to[i] = pattern > 0 ? (char) s->at[i % pattern] : 'n';
    to[length] = '\0';
    s->at += pattern;
    s->left -= pattern;
    return length;
}

static void take_map(source *s, made_entry *e) {
    uint64_t end = 0;
    e->entry.map = e->map;
    e->entry.map_count = (size_t) take(s, 1) % (PIECES_MAX + 1);
    for (size_t i = 0; i < e->entry.map_count; i++) {
        e->map[i] = (tar_piece){end + take(s, 4), take(s, 2)};
        if (e->map[i].length % 2 == 0)
            e->map[i].length -= e->map[i].length % 512; /* as a piece that is not the last has to be */
        end = e->map[i].offset + e->map[i].length;
    }
}

static void make_entry(source *s, made_entry *e) {
    tar_entry *entry = &e->entry;
    memset(e, 0, sizeof(*e));
    entry->kind = TAR_FILE + (enum tar_kind)(take(s, 1) % TAR_FIFO);
    entry->mode = (uint32_t) take(s, 2) % 020000; /* half of them can be said */
    entry->uid = (uint32_t) take(s, 4);
    entry->gid = (uint32_t) take(s, 4);
    entry->mtime_s = (int64_t) take(s, 8);
    entry->mtime_ns = (uint32_t) take(s, 4) % 1000000001;
    entry->major = (uint32_t) take(s, 2);
    entry->minor = (uint32_t) take(s, 3);
    entry->sparse = take(s, 1) & 1;
    entry->size = take(s, entry->sparse ? 8 : 2);
    if (entry->sparse)
        take_map(s, e);
    entry->name = e->name;
    entry->link = e->link;
    (void) take_text(s, e->name);
    (void) take_text(s, e->link);
    entry->xattrs = e->xattrs;
    entry->xattr_count = (size_t) take(s, 1) % (XATTRS_MAX + 1);
    for (size_t i = 0; i < entry->xattr_count; i++) {
        char(*texts)[TEXT_MAX_BYTES + 1] = e->xattr_texts[i];
        (void) take_text(s, texts[0]);
        e->xattrs[i] = (tar_xattr){texts[0], (const uint8_t *) texts[1], take_text(s, texts[1])};
    }
}

/* ---- writing ---- */

static uint8_t byte_at(uint64_t offset) {
    return (uint8_t) (offset * 7 + (offset >> 8));
}

static int append(void *user, const void *bytes, size_t length, nb_error *err) {
    check(buf_append(user, bytes, length));
    return 0;
}

static void write_piece(tar_writer *writer, tar_piece piece, bool bytewise) {
    static uint8_t bytes[UINT16_MAX];
    check(piece.length <= sizeof(bytes));
    for (size_t i = 0; i < piece.length; i++)
        bytes[i] = byte_at(piece.offset + i);
    for (size_t done = 0; done < piece.length;) {
        size_t now = bytewise ? 1 : (size_t) piece.length;
        check(tar_write(writer, bytes + done, now, NULL) == 0);
        done += now;
    }
}

static void write_archive(made_entry *entries, size_t count, bool bytewise, buf *archive) {
    tar_writer *writer = tar_writer_new((tar_output){append, archive});
    check(writer != NULL);
    for (size_t i = 0; i < count; i++) {
        const tar_entry *entry = &entries[i].entry;
        size_t before = buf_length(archive);
        int result = tar_put(writer, entry, NULL);
        check(result == 0 || result == -NB_E_INVALID || result == -NB_E_EXHAUSTED);
        check(result == 0 || buf_length(archive) == before);
        entries[i].taken = result == 0;
        if (result < 0 || entry->kind != TAR_FILE)
            continue;
        if (!entry->sparse)
            write_piece(writer, (tar_piece){0, entry->size}, bytewise);
        for (size_t k = 0; entry->sparse && k < entry->map_count; k++)
            write_piece(writer, entry->map[k], bytewise);
    }
    check(tar_finish(writer, NULL) == 0 && buf_length(archive) % 512 == 0);
    tar_writer_free(writer);
}

/* ---- reading back ---- */

static int feed(void *user, void *into, size_t size, size_t *ret_length, nb_error *err) {
    source *s = user;
    size_t now = size < STEP_BYTES ? size : STEP_BYTES;
    now = now < s->left ? now : s->left;
    memcpy(into, s->at, now);
    s->at += now;
    s->left -= now;
    *ret_length = now;
    return 0;
}

/* A reader keeps no attribute whose value is empty. */
static void compare_xattrs(const tar_entry *written, const tar_entry *found) {
    size_t k = 0;
    for (size_t i = 0; i < written->xattr_count; i++) {
        const tar_xattr *a = &written->xattrs[i];
        if (a->length == 0)
            continue;
        check(k < found->xattr_count);
        const tar_xattr *b = &found->xattrs[k++];
        check(strcmp(a->name, b->name) == 0 && a->length == b->length && memcmp(a->value, b->value, a->length) == 0);
    }
    check(k == found->xattr_count);
}

/* A map may have got one empty piece more, at the file's end. */
static void compare_map(const tar_entry *written, const tar_entry *found) {
    check(found->sparse && found->map_count >= written->map_count && found->map_count <= written->map_count + 1);
    for (size_t i = 0; i < written->map_count; i++)
        check(found->map[i].offset == written->map[i].offset && found->map[i].length == written->map[i].length);
    if (found->map_count > written->map_count)
        check(found->map[written->map_count].offset == written->size && found->map[written->map_count].length == 0);
}

static void compare(const tar_entry *written, const tar_entry *found) {
    size_t length = strlen(written->name);
    bool slash_added = written->kind == TAR_FOLDER && written->name[length - 1] != '/';
    check(found->kind == written->kind && strncmp(found->name, written->name, length) == 0);
    check(strcmp(found->name + length, slash_added ? "/" : "") == 0);
    bool is_link = written->kind == TAR_HARD_LINK || written->kind == TAR_SYMBOLIC_LINK;
    bool is_device = written->kind == TAR_CHARACTER_DEVICE || written->kind == TAR_BLOCK_DEVICE;
    check(strcmp(found->link, is_link ? written->link : "") == 0);
    check(found->mode == written->mode && found->uid == written->uid && found->gid == written->gid);
    check(found->mtime_s == written->mtime_s && found->mtime_ns == written->mtime_ns);
    check(found->major == (is_device ? written->major : 0) && found->minor == (is_device ? written->minor : 0));
    check(found->size == (written->kind == TAR_FILE ? written->size : 0));
    compare_xattrs(written, found);
    if (written->kind == TAR_FILE && written->sparse)
        compare_map(written, found);
    else
        check(!found->sparse && found->map_count == 0);
}

static void read_archive(made_entry *entries, size_t count, const buf *archive) {
    source s = {buf_bytes(archive), buf_length(archive)};
    tar_reader *reader = tar_reader_new((tar_input){.read = feed, .user = &s});
    const tar_entry *found;
    check(reader != NULL);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *bytes;
        size_t length;
        uint64_t offset, total = 0;
        if (!entries[i].taken)
            continue;
        check(tar_next(reader, &found, NULL) == 1);
        compare(&entries[i].entry, found);
        while (tar_read(reader, &bytes, &length, &offset, NULL) == 0 && length > 0) {
            for (size_t k = 0; k < length; k++)
                check(bytes[k] == byte_at(offset + k));
            total += length;
        }
        check(total == found->stored);
    }
    check(tar_next(reader, &found, NULL) == 0 && tar_end_was_marked(reader));
    tar_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    static made_entry entries[ENTRIES_MAX];
    source s = {bytes, length};
    size_t count = 0;
    buf whole, pieces;
    buf_init(&whole, ARCHIVE_MAX_BYTES);
    buf_init(&pieces, ARCHIVE_MAX_BYTES);
    while (s.left > 0 && count < ENTRIES_MAX)
        make_entry(&s, &entries[count++]);
    write_archive(entries, count, false, &whole);
    write_archive(entries, count, true, &pieces);
    check(buf_length(&whole) == buf_length(&pieces) && memcmp(buf_bytes(&whole), buf_bytes(&pieces), buf_length(&whole)) == 0);
    read_archive(entries, count, &whole);
    buf_done(&whole);
    buf_done(&pieces);
    return 0;
}
