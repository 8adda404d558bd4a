/* SPDX-License-Identifier: Apache-2.0
 *
 * writer.c - writing tar archives: entries in, bytes out
 *
 * Theory of operation
 *   An entry is checked and planned first, then written: what cannot be said leaves the archive as it was. A plan is what goes into the
 *   entry's own header (ustar) and what does not fit there, and so goes into a PAX header before it. An entry that ustar can describe has
 *   no other header, so that most archives are read by everything that reads tar.
 *
 *   The length of a PAX header, and of a sparse file's map, stands before its first byte. Both are made twice from the entry, once to be
 *   counted and once to be written through one block; nothing grows with what an entry has.
 *
 *   Names are bytes. ustar does not say in which encoding, and they go there as they are, ASCII or not; every reader gives them back so. A
 *   PAX record is UTF-8 by definition. So one is used only for a name that does not fit, and says BINARY when that is not UTF-8: without it
 *   libarchive calls the archive damaged. (GNU tar does not know the word, says so, and reads on.)
 *
 *   Sparse files are GNU's in version 1.0, the map in front of the data. The entry's name is in a record; the header has one that says what
 *   this is to readers that know no such records, and that get map and data as a file. GNU tar begins each piece at a new block without
 *   padding the one before, because its own pieces are whole blocks; so are ours, but for the last. And it gives a file that ends in a hole
 *   its length by an empty piece at the end.
 */
#include "tar/writer.h"

#include "base/error.h"
#include "base/size.h"
#include "base/utf8.h"
#include "tar/header.h"
#include "tar/limits.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What octal digits in a field can say, with a NUL behind them. */
#define SHORT_FIELD_MAX 07777777u
#define LONG_FIELD_MAX UINT64_C(077777777777)
/* What readers can: sizes are off_t with them. */
#define SIZE_MAX_BYTES ((uint64_t) INT64_MAX)
#define PERMISSIONS 07777u
#define MAJOR_BITS 12
#define MINOR_BITS 20
#define NANOSECONDS_PER_SECOND 1000000000u

/* As Python's: what readers that take the header for a file make of it. */
#define PAX_NAME "././@PaxHeader"
#define PAX_MODE 0644u
#define SPARSE_FOLDER "GNUSparseFile.0/"

struct tar_writer {
    tar_output output;
    uint64_t data_left; /* of the entry */
    size_t padding;     /* after it */
    bool finished;
    bool broken;                    /* the output failed: nobody knows where the archive ends */
    uint8_t block[TAR_BLOCK_BYTES]; /* of a text on its way */
    size_t block_used;
};

/* How an entry is said. */
typedef struct plan {
    const tar_entry *entry;
    const char *slash;    /* what its name lacks: "/" or nothing */
    size_t name_length;   /* with that */
    size_t prefix_length; /* of the name, in the header's prefix field, the slash after it left out; 0: none */
    bool name_in_record, link_in_record;
    bool map_ends_short; /* an empty piece at the file's end is to be added */
    uint64_t map_bytes;  /* before the data, with padding */
    uint64_t data_bytes; /* of the file */
    uint64_t pax_bytes;  /* of the records; 0: no PAX header */
} plan;

tar_writer *tar_writer_new(tar_output output) {
    tar_writer *w = calloc(1, sizeof(*w));
    if (w)
        w->output = output;
    return w;
}

void tar_writer_free(tar_writer *w) {
    free(w);
}

static int emit(tar_writer *w, const void *bytes, size_t length, nb_error *err) {
    int result = length > 0 ? w->output.write(w->output.user, bytes, length, err) : 0;
    w->broken = w->broken || result < 0;
    return result;
}

static int emit_zeros(tar_writer *w, size_t length, nb_error *err) {
    static const uint8_t zeros[2 * TAR_BLOCK_BYTES];
    return emit(w, zeros, length, err);
}

/* ---- text that is counted before it is written ---- */

typedef struct text {
    tar_writer *writer; /* NULL: it is only counted */
    uint64_t length;
    int result;
    nb_error *err;
} text;

static void text_add(text *t, const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    tar_writer *w = t->writer;
    t->length += length;
    while (w && t->result == 0 && length > 0) {
        size_t room = sizeof(w->block) - w->block_used, now = length < room ? length : room;
        memcpy(w->block + w->block_used, at, now);
        w->block_used += now;
        at += now;
        length -= now;
        if (w->block_used == sizeof(w->block)) {
            t->result = emit(w, w->block, sizeof(w->block), t->err);
            w->block_used = 0;
        }
    }
}

static void text_add_string(text *t, const char *string) {
    text_add(t, string, strlen(string));
}

static void text_add_number(text *t, uint64_t number, char end) {
    char digits[sizeof("18446744073709551615") + 1];
    int length = snprintf(digits, sizeof(digits), "%" PRIu64 "%c", number, end);
    text_add(t, digits, (size_t) length);
}

/* Fills the last block up. */
static int text_end(text *t) {
    static const uint8_t zeros[TAR_BLOCK_BYTES];
    text_add(t, zeros, (size_t) tar_padding(t->length));
    return t->result;
}

/* ---- what can be said ---- */

static int refuse(const tar_entry *entry, const char *why, nb_error *err) {
    return nb_fail(err, NB_E_INVALID, 0, "write '%.200s' to a tar archive: %s", entry->name, why);
}

static bool is_link(const tar_entry *entry) {
    return entry->kind == TAR_HARD_LINK || entry->kind == TAR_SYMBOLIC_LINK;
}

static bool is_device(const tar_entry *entry) {
    return entry->kind == TAR_CHARACTER_DEVICE || entry->kind == TAR_BLOCK_DEVICE;
}

static bool is_sparse(const tar_entry *entry) {
    return entry->kind == TAR_FILE && entry->sparse;
}

static int check_names(const tar_entry *entry, nb_error *err) {
    size_t length = strlen(entry->name);
    if (length == 0)
        return refuse(entry, "it has no name", err);
    if (entry->kind != TAR_FOLDER && entry->name[length - 1] == '/')
        return refuse(entry, "with a slash at its end it would be read as a folder", err);
    if (is_link(entry) && (!entry->link || entry->link[0] == '\0'))
        return refuse(entry, "the link has no target", err);
    return 0;
}

static int check_numbers(const tar_entry *entry, nb_error *err) {
    if (entry->mode & ~PERMISSIONS)
        return refuse(entry, "its mode is more than permissions", err);
    if (entry->uid == UINT32_MAX || entry->gid == UINT32_MAX) /* "none" to the system */
        return refuse(entry, "its owner is no valid user or group id", err);
    if (entry->mtime_ns >= NANOSECONDS_PER_SECOND)
        return refuse(entry, "its time has more nanoseconds than a second", err);
    if (is_device(entry) && (entry->major >> MAJOR_BITS || entry->minor >> MINOR_BITS))
        return refuse(entry, "its device number is beyond 12 and 20 bits", err);
    return 0;
}

static int check_xattrs(const tar_entry *entry, nb_error *err) {
    if (entry->xattr_count > TAR_XATTRS_MAX)
        return nb_fail(err, NB_E_EXHAUSTED, 0, "write '%.200s' to a tar archive: %zu extended attributes, more than %u", entry->name,
                       entry->xattr_count, TAR_XATTRS_MAX);
    for (size_t i = 0; i < entry->xattr_count; i++) {
        /* GNU tar writes %3D for it and reads that back; to all others that would be a part of the name. */
        if (entry->xattrs[i].name[0] == '\0' || strchr(entry->xattrs[i].name, '='))
            return refuse(entry, "an extended attribute with such a name cannot be in one", err);
    }
    return 0;
}

/* ---- the plan ---- */

static void add_map(text *t, const plan *p) {
    text_add_number(t, p->entry->map_count + p->map_ends_short, '\n');
    for (size_t i = 0; i < p->entry->map_count; i++) {
        text_add_number(t, p->entry->map[i].offset, '\n');
        text_add_number(t, p->entry->map[i].length, '\n');
    }
    if (p->map_ends_short) {
        text_add_number(t, p->entry->size, '\n');
        text_add_number(t, 0, '\n');
    }
}

static int plan_map(plan *p, nb_error *err) {
    const tar_entry *entry = p->entry;
    uint64_t end = 0;
    for (size_t i = 0; i < entry->map_count; i++) {
        const tar_piece *piece = &entry->map[i];
        if (piece->length > 0 && p->data_bytes % TAR_BLOCK_BYTES != 0)
            return refuse(entry, "a piece of its map that is not the last is not of whole blocks", err);
        if (piece->offset < end || piece->offset > entry->size || piece->length > entry->size - piece->offset)
            return refuse(entry, "the pieces of its map overlap, or go beyond its end", err);
        end = piece->offset + piece->length;
        p->data_bytes += piece->length; /* no overflow: they do not overlap */
    }
    p->map_ends_short = end < entry->size;
    text counted = {0};
    add_map(&counted, p);
    p->map_bytes = align_up(counted.length, TAR_BLOCK_BYTES);
    if (p->map_bytes > TAR_WRITTEN_HEADER_MAX_BYTES)
        return nb_fail(err, NB_E_EXHAUSTED, 0, "write '%.200s' to a tar archive: the map of its %zu pieces has more than %u bytes",
                       entry->name, entry->map_count, TAR_WRITTEN_HEADER_MAX_BYTES);
    return p->data_bytes <= SIZE_MAX_BYTES - p->map_bytes ? 0 : refuse(entry, "it is too large", err);
}

static int plan_data(plan *p, nb_error *err) {
    const tar_entry *entry = p->entry;
    if (entry->kind != TAR_FILE)
        return 0;
    if (entry->size > SIZE_MAX_BYTES)
        return refuse(entry, "it is too large", err);
    if (is_sparse(entry))
        return plan_map(p, err);
    p->data_bytes = entry->size;
    return 0;
}

/* Into one field, or two with a slash between them that neither has, or into a record. */
static void plan_names(plan *p) {
    const char *name = p->entry->name;
    size_t length = strlen(name);
    p->slash = p->entry->kind == TAR_FOLDER && name[length - 1] != '/' ? "/" : "";
    p->name_length = length + strlen(p->slash);
    p->link_in_record = is_link(p->entry) && strlen(p->entry->link) > TAR_NAME_BYTES;
    if (is_sparse(p->entry) || p->name_length <= TAR_NAME_BYTES)
        return;
    for (size_t i = p->name_length - TAR_NAME_BYTES - 1; i <= TAR_PREFIX_BYTES && i + 1 < p->name_length; i++) {
        if (i > 0 && name[i] == '/') {
            p->prefix_length = i;
            return;
        }
    }
    p->name_in_record = true;
}

/* ---- the PAX header ---- */

/* "LENGTH KEY=VALUE\n", LENGTH counting its own digits too; the key in two parts, the value too. */
typedef struct record {
    const char *key, *more_key;
    const void *value;
    size_t length;
    const char *more_value;
} record;

static void add_record(text *t, record r) {
    uint64_t body = strlen(" =\n") + strlen(r.key) + strlen(r.more_key) + r.length + strlen(r.more_value), total = body, before;
    do {
        before = total;
        total = body + (uint64_t) snprintf(NULL, 0, "%" PRIu64, before);
    } while (total != before);
    text_add_number(t, total, ' ');
    text_add_string(t, r.key);
    text_add_string(t, r.more_key);
    text_add_string(t, "=");
    text_add(t, r.value, r.length);
    text_add_string(t, r.more_value);
    text_add_string(t, "\n");
}

static void add_string_record(text *t, const char *key, const char *value, const char *more_value) {
    add_record(t, (record){.key = key, .more_key = "", .value = value, .length = strlen(value), .more_value = more_value});
}

static void add_number_record(text *t, const char *key, uint64_t number) {
    char digits[sizeof("18446744073709551615")];
    (void) snprintf(digits, sizeof(digits), "%" PRIu64, number);
    add_string_record(t, key, digits, "");
}

/* Half a second before 1970 is second -1 and half a second, written -0.5. */
static void add_time_record(text *t, int64_t seconds, uint32_t nanoseconds) {
    char digits[sizeof("-9223372036854775808.999999999")];
    bool negative = seconds < 0;
    uint64_t whole = negative ? 0 - (uint64_t) seconds - (nanoseconds > 0) : (uint64_t) seconds;
    uint32_t fraction = negative && nanoseconds > 0 ? NANOSECONDS_PER_SECOND - nanoseconds : nanoseconds;
    int length = snprintf(digits, sizeof(digits), "%s%" PRIu64, negative ? "-" : "", whole);
    if (fraction > 0)
        (void) snprintf(digits + length, sizeof(digits) - (size_t) length, ".%09u", fraction);
    add_string_record(t, "mtime", digits, "");
}

static bool time_fits(const tar_entry *entry) {
    return entry->mtime_s >= 0 && (uint64_t) entry->mtime_s <= LONG_FIELD_MAX && entry->mtime_ns == 0;
}

static void add_records(text *t, const plan *p) {
    const tar_entry *entry = p->entry;
    bool name_recorded = p->name_in_record || is_sparse(entry);
    if ((name_recorded && !utf8_is_valid(entry->name)) || (p->link_in_record && !utf8_is_valid(entry->link)))
        add_string_record(t, "hdrcharset", "BINARY", "");
    if (is_sparse(entry)) {
        add_number_record(t, "GNU.sparse.major", 1);
        add_number_record(t, "GNU.sparse.minor", 0);
        add_string_record(t, "GNU.sparse.name", entry->name, "");
        add_number_record(t, "GNU.sparse.realsize", entry->size);
    }
    if (p->name_in_record)
        add_string_record(t, "path", entry->name, p->slash);
    if (p->link_in_record)
        add_string_record(t, "linkpath", entry->link, "");
    if (p->map_bytes + p->data_bytes > LONG_FIELD_MAX)
        add_number_record(t, "size", p->map_bytes + p->data_bytes);
    if (entry->uid > SHORT_FIELD_MAX)
        add_number_record(t, "uid", entry->uid);
    if (entry->gid > SHORT_FIELD_MAX)
        add_number_record(t, "gid", entry->gid);
    if (!time_fits(entry))
        add_time_record(t, entry->mtime_s, entry->mtime_ns);
    for (size_t i = 0; i < entry->xattr_count; i++)
        add_record(t, (record){.key = TAR_XATTR_PREFIX,
                               .more_key = entry->xattrs[i].name,
                               .value = entry->xattrs[i].value,
                               .length = entry->xattrs[i].length,
                               .more_value = ""});
}

static int plan_pax(plan *p, nb_error *err) {
    text counted = {0};
    add_records(&counted, p);
    p->pax_bytes = counted.length;
    if (p->pax_bytes > TAR_WRITTEN_HEADER_MAX_BYTES)
        return nb_fail(err, NB_E_EXHAUSTED, 0,
                       "write '%.200s' to a tar archive: its names and extended attributes have %" PRIu64 " bytes, more than %u",
                       p->entry->name, p->pax_bytes, TAR_WRITTEN_HEADER_MAX_BYTES);
    return 0;
}

/* ---- headers ---- */

/* 0 where the field cannot say it: a record does. */
static void put_number(uint8_t *block, size_t at, int size, uint64_t number) {
    uint64_t max = size == TAR_SHORT_FIELD ? SHORT_FIELD_MAX : LONG_FIELD_MAX;
    (void) snprintf((char *) block + at, (size_t) size, "%0*" PRIo64, size - 1, number <= max ? number : 0);
}

static void put_sum(uint8_t *block) {
    unsigned sum = 0;
    memset(block + TAR_CHECKSUM_AT, ' ', TAR_SHORT_FIELD);
    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
        sum += block[i];
    (void) snprintf((char *) block + TAR_CHECKSUM_AT, TAR_SHORT_FIELD - 1, "%06o", sum); /* a NUL, and the last blank stays */
}

/* All but the names. @size is that of what follows in the archive. */
static void put_fields(uint8_t *block, char type, const tar_entry *entry, uint64_t size) {
    put_number(block, TAR_MODE_AT, TAR_SHORT_FIELD, entry->mode);
    put_number(block, TAR_UID_AT, TAR_SHORT_FIELD, entry->uid);
    put_number(block, TAR_GID_AT, TAR_SHORT_FIELD, entry->gid);
    put_number(block, TAR_SIZE_AT, TAR_LONG_FIELD, size);
    put_number(block, TAR_MTIME_AT, TAR_LONG_FIELD, entry->mtime_s >= 0 ? (uint64_t) entry->mtime_s : 0);
    put_number(block, TAR_MAJOR_AT, TAR_SHORT_FIELD, is_device(entry) ? entry->major : 0);
    put_number(block, TAR_MINOR_AT, TAR_SHORT_FIELD, is_device(entry) ? entry->minor : 0);
    block[TAR_TYPE_AT] = (uint8_t) type;
    memcpy(block + TAR_MAGIC_AT, "ustar\00000", 8); /* and the version, "00" */
}

static int write_pax(tar_writer *w, const plan *p, nb_error *err) {
    static const tar_entry about = {.kind = TAR_FILE, .mode = PAX_MODE};
    uint8_t block[TAR_BLOCK_BYTES] = PAX_NAME;
    text records = {.writer = w, .err = err};
    put_fields(block, 'x', &about, p->pax_bytes);
    put_sum(block);
    int result = emit(w, block, sizeof(block), err);
    if (result < 0)
        return result;
    add_records(&records, p);
    return text_end(&records);
}

static void put_name(uint8_t *block, const plan *p) {
    const char *name = p->entry->name, *last = strrchr(name, '/');
    char *field = (char *) block + TAR_NAME_AT;
    if (is_sparse(p->entry)) {
        size_t used = strlen(SPARSE_FOLDER);
        last = last ? last + 1 : name;
        memcpy(field, SPARSE_FOLDER, used);
        memcpy(field + used, last, strnlen(last, TAR_NAME_BYTES - used));
        return;
    }
    if (p->prefix_length > 0) {
        memcpy(block + TAR_PREFIX_AT, name, p->prefix_length);
        name += p->prefix_length + 1;
    }
    size_t used = strnlen(name, TAR_NAME_BYTES);
    memcpy(field, name, used);
    memcpy(field + used, p->slash, used < TAR_NAME_BYTES ? strlen(p->slash) : 0);
}

static int write_header(tar_writer *w, const plan *p, nb_error *err) {
    static const char types[] = {
        [TAR_FILE] = '0',         [TAR_HARD_LINK] = '1', [TAR_SYMBOLIC_LINK] = '2', [TAR_CHARACTER_DEVICE] = '3',
        [TAR_BLOCK_DEVICE] = '4', [TAR_FOLDER] = '5',    [TAR_FIFO] = '6',
    };
    const tar_entry *entry = p->entry;
    uint8_t block[TAR_BLOCK_BYTES] = {0};
    put_name(block, p);
    if (is_link(entry))
        memcpy(block + TAR_LINK_AT, entry->link, strnlen(entry->link, TAR_NAME_BYTES));
    put_fields(block, types[entry->kind], entry, p->map_bytes + p->data_bytes);
    put_sum(block);
    return emit(w, block, sizeof(block), err);
}

/* ---- the calls ---- */

static int check_turn(const tar_writer *w, nb_error *err) {
    if (w->broken)
        return nb_fail(err, NB_E_INTERNAL, 0, "write a tar archive: an earlier part of it could not be written");
    if (w->finished)
        return nb_fail(err, NB_E_INTERNAL, 0, "write a tar archive: it has already ended");
    return 0;
}

static int check_is_complete(const tar_writer *w, nb_error *err) {
    int result = check_turn(w, err);
    if (result == 0 && w->data_left > 0)
        return nb_fail(err, NB_E_INTERNAL, 0, "write a tar archive: its last entry lacks %" PRIu64 " bytes", w->data_left);
    return result;
}

int tar_put(tar_writer *w, const tar_entry *entry, nb_error *err) {
    plan p = {.entry = entry};
    int result;
    assert(entry->kind >= TAR_FILE && entry->kind <= TAR_FIFO);
    if ((result = check_is_complete(w, err)) < 0 || (result = check_names(entry, err)) < 0 || (result = check_numbers(entry, err)) < 0 ||
        (result = check_xattrs(entry, err)) < 0 || (result = plan_data(&p, err)) < 0)
        return result;
    plan_names(&p);
    if ((result = plan_pax(&p, err)) < 0)
        return result;
    if (p.pax_bytes > 0 && (result = write_pax(w, &p, err)) < 0)
        return result;
    if ((result = write_header(w, &p, err)) < 0)
        return result;
    if (p.map_bytes > 0) {
        text map = {.writer = w, .err = err};
        add_map(&map, &p);
        if ((result = text_end(&map)) < 0)
            return result;
    }
    w->data_left = p.data_bytes;
    w->padding = (size_t) tar_padding(p.data_bytes);
    return 0;
}

int tar_write(tar_writer *w, const void *bytes, size_t length, nb_error *err) {
    int result = check_turn(w, err);
    if (result < 0)
        return result;
    if (length > w->data_left)
        return nb_fail(err, NB_E_INTERNAL, 0, "write a tar archive: %zu bytes more, where its last entry lacks %" PRIu64, length,
                       w->data_left);
    result = emit(w, bytes, length, err);
    if (result < 0)
        return result;
    w->data_left -= length;
    if (w->data_left > 0)
        return 0;
    result = emit_zeros(w, w->padding, err);
    w->padding = 0;
    return result;
}

int tar_finish(tar_writer *w, nb_error *err) {
    int result = check_is_complete(w, err);
    if (result < 0)
        return result;
    w->finished = true;
    return emit_zeros(w, 2 * (size_t) TAR_BLOCK_BYTES, err);
}
