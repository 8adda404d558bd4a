/* SPDX-License-Identifier: Apache-2.0
 *
 * writer.c - writing tar archives: entries in, bytes out
 *
 * Theory of operation
 *   All that is said about an entry (extended header, header, a sparse file's map) goes through one buffer, and small data with it, so that many
 *   small files do not mean many small writes; data that fills the buffer by itself is passed on as it is.
 *
 *   What ustar can say is said there alone. Names are bytes: those that fit are written as they are, whatever their encoding, as GNU tar
 *   does; a pax path is to be UTF-8, which a long name that is not UTF-8 breaks, but every reader of today takes it.
 */
#include "tar/writer.h"

#include "base/buf.h"
#include "base/error.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 512u
#define BUFFER_BYTES ((size_t) 64 << 10)
#define RECORDS_MAX_BYTES ((size_t) 8 << 20)

/* ustar's fields: what fits into their octal digits. */
#define ID_MAX 07777777u
#define SIZE_MAX_BYTES UINT64_C(077777777777)
#define TIME_MAX INT64_C(077777777777)
#define NAME_BYTES 100u
#define PREFIX_BYTES 155u

struct header {
    char name[NAME_BYTES], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], kind, link[NAME_BYTES], magic[6], version[2],
        user[32], group[32], major[8], minor[8], prefix[PREFIX_BYTES], unused[12];
};
static_assert(sizeof(struct header) == BLOCK_BYTES, "POSIX.1-2008, pax, ustar header block");

struct tar_writer {
    tar_output output;
    buf out;
    buf records; /* of the extended header in the making */
    uint64_t left;
    unsigned padding; /* behind the data that is left */
};

tar_writer *tar_writer_new(tar_output output) {
    tar_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->output = output;
    buf_init(&w->out, RECORDS_MAX_BYTES + BUFFER_BYTES);
    buf_init(&w->records, RECORDS_MAX_BYTES);
    return w;
}

void tar_writer_free(tar_writer *w) {
    if (!w)
        return;
    buf_done(&w->out);
    buf_done(&w->records);
    free(w);
}

/* ----------------------------------------------------------------------------------------------------------------- bytes */

static int flush(tar_writer *w, nb_error *err) {
    int result = buf_length(&w->out) > 0 ? w->output.write(w->output.user, buf_bytes(&w->out), buf_length(&w->out), err) : 0;
    buf_clear(&w->out);
    return result;
}

static int add(tar_writer *w, const void *bytes, size_t length, nb_error *err) {
    int result = buf_length(&w->out) + length > BUFFER_BYTES ? flush(w, err) : 0;
    if (result < 0)
        return result;
    if (length >= BUFFER_BYTES)
        return w->output.write(w->output.user, bytes, length, err);
    return buf_append(&w->out, bytes, length) ? 0 : nb_fail_oom(err);
}

static int add_zeros(tar_writer *w, size_t length, nb_error *err) {
    static const uint8_t zeros[2 * BLOCK_BYTES];
    return length > 0 ? add(w, zeros, length, err) : 0;
}

static unsigned padding_of(uint64_t length) {
    return (unsigned) ((BLOCK_BYTES - length % BLOCK_BYTES) % BLOCK_BYTES);
}

/* --------------------------------------------------------------------------------------------------------------- records */

/* "LENGTH KEY=VALUE\n", where LENGTH counts itself. */
static bool add_record(tar_writer *w, const char *key, const void *value, size_t length) {
    size_t rest = 1 + strlen(key) + 1 + length + 1, total = rest + 1;
    char digits[24];
    for (;;) {
        size_t with_digits = rest + (size_t) snprintf(digits, sizeof(digits), "%zu", total);
        if (with_digits == total)
            break;
        total = with_digits;
    }
    return buf_append(&w->records, digits, strlen(digits)) && buf_append(&w->records, " ", 1) &&
           buf_append(&w->records, key, strlen(key)) && buf_append(&w->records, "=", 1) && buf_append(&w->records, value, length) &&
           buf_append(&w->records, "\n", 1);
}

__attribute__((format(printf, 3, 4))) static bool add_printed(tar_writer *w, const char *key, const char *format, ...) {
    char text[64];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return add_record(w, key, text, (size_t) length);
}

/* Seconds count from below, their fraction upwards; a decimal number's digits go away from zero. */
static bool add_mtime(tar_writer *w, const tar_entry *entry) {
    int64_t s = entry->mtime_s;
    uint32_t ns = entry->mtime_ns;
    bool negative = s < 0;
    uint64_t whole = negative ? (uint64_t) - (s + 1) + 1 : (uint64_t) s;
    if (negative && ns > 0) {
        whole--;
        ns = 1000000000u - ns;
    }
    if (ns == 0)
        return add_printed(w, "mtime", "%s%" PRIu64, negative ? "-" : "", whole);
    return add_printed(w, "mtime", "%s%" PRIu64 ".%09" PRIu32, negative ? "-" : "", whole, ns);
}

static bool add_attributes(tar_writer *w, const tar_entry *entry) {
    char key[512];
    for (size_t i = 0; i < entry->xattr_count; i++) {
        const tar_xattr *x = &entry->xattrs[i];
        int length = snprintf(key, sizeof(key), "SCHILY.xattr.%s", x->name);
        if (length >= (int) sizeof(key) || strchr(x->name, '='))
            continue; /* Linux allows neither such a length, nor has anybody such a name */
        if (!add_record(w, key, x->value, x->length))
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- header */

static void put_octal(char *field, size_t size, uint64_t value) {
    (void) snprintf(field, size, "%0*" PRIo64, (int) size - 1, value);
}

/* Into name, or prefix and name at a slash. False: it does not fit. */
static bool put_name(struct header *h, const char *name) {
    size_t length = strlen(name);
    if (length <= NAME_BYTES) {
        memcpy(h->name, name, length);
        return true;
    }
    for (const char *slash = name + length - 1; slash > name; slash--) {
        size_t prefix = (size_t) (slash - name), rest = length - prefix - 1;
        if (*slash != '/' || rest == 0 || prefix > PREFIX_BYTES)
            continue;
        if (rest > NAME_BYTES)
            return false;
        memcpy(h->prefix, name, prefix);
        memcpy(h->name, slash + 1, rest);
        return true;
    }
    return false;
}

static void put_checksum(struct header *h) {
    const uint8_t *bytes = (const uint8_t *) h;
    unsigned sum = 0;
    memset(h->checksum, ' ', sizeof(h->checksum));
    for (size_t i = 0; i < sizeof(*h); i++)
        sum += bytes[i];
    (void) snprintf(h->checksum, 7, "%06o", sum); /* six digits, NUL, space */
}

static char kind_of(enum tar_kind kind) {
    static const char kinds[] = {[TAR_FILE] = '0',         [TAR_HARD_LINK] = '1', [TAR_SYMBOLIC_LINK] = '2', [TAR_CHARACTER_DEVICE] = '3',
                                 [TAR_BLOCK_DEVICE] = '4', [TAR_FOLDER] = '5',    [TAR_FIFO] = '6'};
    return kinds[kind];
}

static void begin_header(struct header *h, char kind, uint64_t size) {
    *h = (struct header){.kind = kind, .magic = "ustar", .version = {'0', '0'}};
    put_octal(h->size, sizeof(h->size), size <= SIZE_MAX_BYTES ? size : 0);
}

/* Writes the extended header, if there is something in it. */
static int add_extended(tar_writer *w, nb_error *err) {
    struct header h;
    size_t length = buf_length(&w->records);
    if (length == 0)
        return 0;
    begin_header(&h, 'x', length);
    memcpy(h.name, "PaxHeaders/entry", sizeof("PaxHeaders/entry"));
    put_octal(h.mode, sizeof(h.mode), 0644);
    put_octal(h.uid, sizeof(h.uid), 0);
    put_octal(h.gid, sizeof(h.gid), 0);
    put_octal(h.mtime, sizeof(h.mtime), 0);
    put_checksum(&h);
    int result = add(w, &h, sizeof(h), err);
    if (result == 0)
        result = add(w, buf_bytes(&w->records), length, err);
    return result == 0 ? add_zeros(w, padding_of(length), err) : result;
}

/* Fills the header, and the records with what has no room in it. False: out of memory. */
static bool describe(tar_writer *w, const tar_entry *entry, const char *name, uint64_t stored, struct header *h) {
    begin_header(h, kind_of(entry->kind), stored);
    bool good = put_name(h, name) || add_record(w, "path", name, strlen(name));
    size_t link = entry->link ? strlen(entry->link) : 0;
    memcpy(h->link, entry->link ? entry->link : "", link <= NAME_BYTES ? link : 0);
    if (link > NAME_BYTES)
        good = good && add_record(w, "linkpath", entry->link, link);
    if (stored > SIZE_MAX_BYTES)
        good = good && add_printed(w, "size", "%" PRIu64, stored);
    if (entry->uid > ID_MAX)
        good = good && add_printed(w, "uid", "%" PRIu32, entry->uid);
    if (entry->gid > ID_MAX)
        good = good && add_printed(w, "gid", "%" PRIu32, entry->gid);
    bool plain_time = entry->mtime_ns == 0 && entry->mtime_s >= 0 && entry->mtime_s <= TIME_MAX;
    if (!plain_time)
        good = good && add_mtime(w, entry);
    put_octal(h->mode, sizeof(h->mode), entry->mode & 07777);
    put_octal(h->uid, sizeof(h->uid), entry->uid <= ID_MAX ? entry->uid : 0);
    put_octal(h->gid, sizeof(h->gid), entry->gid <= ID_MAX ? entry->gid : 0);
    put_octal(h->mtime, sizeof(h->mtime), entry->mtime_s < 0 || entry->mtime_s > TIME_MAX ? 0 : (uint64_t) entry->mtime_s);
    put_octal(h->major, sizeof(h->major), entry->major & ID_MAX);
    put_octal(h->minor, sizeof(h->minor), entry->minor & ID_MAX);
    return good && add_attributes(w, entry);
}

/* ----------------------------------------------------------------------------------------------------------------- entries */

/* The map of GNU's sparse format 1.0: decimal numbers, a line each, before the data. */
static bool make_map(buf *map, uint64_t size, const tar_piece *pieces, size_t count) {
    char line[64];
    const tar_piece none = {.offset = size};
    if (count == 0) {
        pieces = &none;
        count = 1;
    }
    int length = snprintf(line, sizeof(line), "%zu\n", count);
    bool good = buf_append(map, line, (size_t) length);
    for (size_t i = 0; i < count && good; i++) {
        length = snprintf(line, sizeof(line), "%" PRIu64 "\n%" PRIu64 "\n", pieces[i].offset, pieces[i].length);
        good = buf_append(map, line, (size_t) length);
    }
    static const char zeros[BLOCK_BYTES];
    return good && buf_append(map, zeros, padding_of(buf_length(map)));
}

static int put_sparse(tar_writer *w, const tar_entry *entry, const tar_piece *pieces, size_t count, nb_error *err) {
    struct header h;
    buf map;
    uint64_t data = 0;
    for (size_t i = 0; i < count; i++)
        data += pieces[i].length;
    buf_init(&map, RECORDS_MAX_BYTES);
    bool good = make_map(&map, entry->size, pieces, count) && add_printed(w, "GNU.sparse.major", "1") &&
                add_printed(w, "GNU.sparse.minor", "0") && add_record(w, "GNU.sparse.name", entry->name, strlen(entry->name)) &&
                add_printed(w, "GNU.sparse.realsize", "%" PRIu64, entry->size) &&
                describe(w, entry, "GNUSparseFile/entry", buf_length(&map) + data, &h);
    int result = good ? add_extended(w, err) : nb_fail_oom(err);
    if (result == 0) {
        put_checksum(&h);
        result = add(w, &h, sizeof(h), err);
    }
    if (result == 0)
        result = add(w, buf_bytes(&map), buf_length(&map), err);
    buf_done(&map);
    w->left = data;
    w->padding = padding_of(data);
    return result;
}

int tar_put(tar_writer *w, const tar_entry *entry, const tar_piece *map, size_t map_count, nb_error *err) {
    struct header h;
    if (w->left > 0)
        return nb_fail(err, NB_E_INTERNAL, 0, "the archive's last file is %" PRIu64 " bytes short", w->left);
    if (entry->name[0] == '\0')
        return nb_fail(err, NB_E_INVALID, 0, "an archive's entry has to have a name");
    buf_clear(&w->records);
    if (entry->kind == TAR_FILE && entry->sparse)
        return put_sparse(w, entry, map, map_count, err);
    uint64_t size = entry->kind == TAR_FILE ? entry->size : 0;
    int result = describe(w, entry, entry->name, size, &h) ? add_extended(w, err) : nb_fail_oom(err);
    if (result < 0)
        return result;
    put_checksum(&h);
    w->left = size;
    w->padding = padding_of(size);
    return add(w, &h, sizeof(h), err);
}

int tar_write(tar_writer *w, const void *bytes, size_t length, nb_error *err) {
    if (length > w->left)
        return nb_fail(err, NB_E_INTERNAL, 0, "more data than the archive's header promised");
    int result = add(w, bytes, length, err);
    w->left -= length;
    if (result < 0 || w->left > 0)
        return result;
    result = add_zeros(w, w->padding, err);
    w->padding = 0;
    return result;
}

int tar_finish(tar_writer *w, nb_error *err) {
    if (w->left > 0)
        return nb_fail(err, NB_E_INTERNAL, 0, "the archive's last file is %" PRIu64 " bytes short", w->left);
    int result = add_zeros(w, (size_t) 2 * BLOCK_BYTES, err);
    return result == 0 ? flush(w, err) : result;
}
