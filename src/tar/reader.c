/* SPDX-License-Identifier: Apache-2.0
 *
 * reader.c - reading tar archives: bytes in, entries out
 *
 * Theory of operation
 *   An archive is a sequence of 512-byte blocks: a header, then its data padded to a whole block. Extended headers (PAX 'x', GNU 'L' and
 *   'K') say more about the entry that follows them. Their bytes go through one buffer; a file's data is handed out from it.
 *
 *   Why not libarchive, which decompresses for us: it normalises the names of PAX archives to Unicode's form C (libarchive 3.6, locale
 *   C.UTF-8; without that locale names are lost altogether), so that two files of an image become one. It also cuts names at a NUL, and
 *   does not tell where in the archive an entry's data lies.
 *
 *   Where archivers differ, what the engines' own reader takes is taken: links, devices and folders have no data whatever their size field
 *   says; a 'g' header changes nothing. */
#include "tar/reader.h"

#include "base/error.h"
#include "base/size.h"
#include "tar/header.h"
#include "tar/limits.h"
#include "tar/pax.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES ((size_t) 256 << 10)

/* Where GNU's own kind of sparse file has its map. */
enum {
    GNU_SPARSE_AT = 386,
    GNU_SPARSE_COUNT = 4,
    GNU_EXTENDED_AT = 482,
    GNU_REAL_SIZE_AT = 483,
    GNU_MORE_SPARSE_COUNT = 21, /* in each extension block */
    GNU_MORE_EXTENDED_AT = 504,
};

struct tar_reader {
    tar_input input;
    uint64_t position; /* of the next byte that is taken from the buffer */
    size_t start, end; /* the bytes read and not taken */
    bool at_end, marked;

    tar_entry entry;
    tar_extended extended;
    char name[TAR_PREFIX_BYTES + 1 + TAR_NAME_BYTES + 1];
    char link[TAR_NAME_BYTES + 1];

    uint64_t data_left; /* of the entry, in the archive */
    uint64_t padding;   /* after it */
    tar_piece whole;    /* the map of a file without holes */
    const tar_piece *map;
    size_t map_count, map_at;
    uint64_t piece_done; /* of map[map_at] */

    uint8_t buffer[BUFFER_BYTES];
};

tar_reader *tar_reader_new(tar_input input) {
    tar_reader *r = calloc(1, sizeof(*r));
    if (r)
        r->input = input;
    return r;
}

void tar_reader_free(tar_reader *r) {
    if (!r)
        return;
    tar_extended_done(&r->extended);
    free(r);
}

bool tar_end_was_marked(const tar_reader *r) {
    return r->marked;
}

static int cut_short(nb_error *err) {
    return nb_fail(err, NB_E_IMAGE, 0, "read a tar archive: it is cut short");
}

/* Reads until @wanted bytes are there or the input ends. */
static int fill(tar_reader *r, size_t wanted, nb_error *err) {
    assert(wanted <= BUFFER_BYTES);
    if (r->end - r->start >= wanted)
        return 0;
    memmove(r->buffer, r->buffer + r->start, r->end - r->start);
    r->end -= r->start;
    r->start = 0;
    while (r->end < wanted) {
        size_t length;
        int result = r->input.read(r->input.user, r->buffer + r->end, BUFFER_BYTES - r->end, &length, err);
        if (result < 0)
            return result;
        if (length == 0)
            return 0;
        r->end += length;
    }
    return 0;
}

static void take(tar_reader *r, size_t length) {
    r->start += length;
    r->position += length;
}

static int pass_over(tar_reader *r, uint64_t length, nb_error *err) {
    while (length > 0) {
        size_t held = r->end - r->start;
        size_t now = held < length ? held : (size_t) length;
        take(r, now);
        length -= now;
        if (length > 0 && r->input.skip) {
            int result = r->input.skip(r->input.user, length, err);
            if (result < 0)
                return result;
            r->position += length;
            return 0;
        }
        if (length > 0) {
            int result = fill(r, 1, err);
            if (result < 0)
                return result;
            if (r->start == r->end)
                return cut_short(err);
        }
    }
    return 0;
}

/* The next block; NULL at the end of the input. */
static int next_block(tar_reader *r, const uint8_t **ret_block, nb_error *err) {
    int result = fill(r, TAR_BLOCK_BYTES, err);
    if (result < 0)
        return result;
    size_t held = r->end - r->start;
    if (held > 0 && held < TAR_BLOCK_BYTES)
        return cut_short(err);
    *ret_block = held == 0 ? NULL : r->buffer + r->start;
    if (held > 0)
        take(r, TAR_BLOCK_BYTES);
    return 0;
}

static bool is_zero(const uint8_t *block) {
    static const uint8_t zeros[TAR_BLOCK_BYTES];
    return memcmp(block, zeros, TAR_BLOCK_BYTES) == 0;
}

/* The checksum's own field counts as spaces. Old archivers added the bytes as signed numbers: 256 less for each of the upper half. */
static bool checksum_is_right(const uint8_t *block) {
    uint32_t sum = 0, upper = 0;
    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) { /* without a condition, so that it becomes vector code */
        sum += block[i];
        upper += block[i] >> 7;
    }
    for (size_t i = TAR_CHECKSUM_AT; i < TAR_CHECKSUM_AT + TAR_SHORT_FIELD; i++) {
        sum += (uint32_t) ' ' - block[i];
        upper -= block[i] >> 7;
    }
    int64_t expected;
    return tar_parse_field(block + TAR_CHECKSUM_AT, TAR_SHORT_FIELD, &expected) &&
           (expected == sum || expected == (int64_t) sum - 256 * (int64_t) upper);
}

/* Reads the data of an extended header into a block of its own, with a NUL after it. */
static int read_header_data(tar_reader *r, uint64_t size, char **ret_bytes, nb_error *err) {
    if (size > TAR_HEADER_MAX_BYTES)
        return nb_fail(err, NB_E_IMAGE, 0, "read a tar archive: an extended header has %llu bytes, more than %u", (unsigned long long) size,
                       TAR_HEADER_MAX_BYTES);
    CLEANUP(cleanup_free) char *bytes = malloc((size_t) size + 1);
    if (!bytes)
        return nb_fail_oom(err);
    for (size_t done = 0; done < size;) {
        int result = fill(r, 1, err);
        if (result < 0)
            return result;
        size_t held = r->end - r->start, left = (size_t) size - done;
        if (held == 0)
            return cut_short(err);
        size_t now = held < left ? held : left;
        memcpy(bytes + done, r->buffer + r->start, now);
        take(r, now);
        done += now;
    }
    bytes[size] = '\0';
    int result = pass_over(r, tar_padding(size), err);
    if (result == 0)
        *ret_bytes = take_ptr(&bytes);
    return result;
}

/* A GNU long name: NUL-terminated as a rule. It counts for less than a PAX path, and no archive has both. */
static int read_long_name(tar_reader *r, uint64_t size, char **text, nb_error *err) {
    CLEANUP(cleanup_free) char *bytes = NULL;
    int result = read_header_data(r, size, &bytes, err);
    if (result < 0)
        return result;
    free(*text);
    *text = take_ptr(&bytes);
    return 0;
}

static int number_field(const uint8_t *block, size_t at, size_t size, const char *what, int64_t *ret_value, nb_error *err) {
    if (!tar_parse_field(block + at, size, ret_value))
        return nb_fail(err, NB_E_IMAGE, 0, "read a tar archive: the field '%s' of a header is malformed", what);
    return 0;
}

static void copy_field(char *to, const uint8_t *field, size_t size) {
    size_t length = strnlen((const char *) field, size);
    memcpy(to, field, length);
    to[length] = '\0';
}

static void read_names(tar_reader *r, const uint8_t *block) {
    char *name = r->name;
    /* GNU's magic is "ustar " with two spaces, and its prefix field holds other things. */
    if (memcmp(block + TAR_MAGIC_AT, "ustar", 6) == 0 && block[TAR_PREFIX_AT] != '\0') {
        copy_field(name, block + TAR_PREFIX_AT, TAR_PREFIX_BYTES);
        name += strlen(name);
        *name++ = '/';
    }
    copy_field(name, block + TAR_NAME_AT, TAR_NAME_BYTES);
    copy_field(r->link, block + TAR_LINK_AT, TAR_NAME_BYTES);
    r->entry.name = r->extended.sparse_name ? r->extended.sparse_name : r->extended.name ? r->extended.name : r->name;
    r->entry.link = r->extended.link ? r->extended.link : r->link;
}

static int read_identity(tar_reader *r, const uint8_t *block, nb_error *err) {
    int64_t mode, uid, gid, mtime, major = 0, minor = 0;
    int result;
    if ((result = number_field(block, TAR_MODE_AT, TAR_SHORT_FIELD, "mode", &mode, err)) < 0 ||
        (result = number_field(block, TAR_UID_AT, TAR_SHORT_FIELD, "uid", &uid, err)) < 0 ||
        (result = number_field(block, TAR_GID_AT, TAR_SHORT_FIELD, "gid", &gid, err)) < 0 ||
        (result = number_field(block, TAR_MTIME_AT, TAR_LONG_FIELD, "mtime", &mtime, err)) < 0)
        return result;
    if ((r->entry.kind == TAR_CHARACTER_DEVICE || r->entry.kind == TAR_BLOCK_DEVICE) &&
        ((result = number_field(block, TAR_MAJOR_AT, TAR_SHORT_FIELD, "devmajor", &major, err)) < 0 ||
         (result = number_field(block, TAR_MINOR_AT, TAR_SHORT_FIELD, "devminor", &minor, err)) < 0))
        return result;
    const tar_extended *x = &r->extended;
    uint64_t owner = x->has_uid ? x->uid : (uint64_t) uid, group = x->has_gid ? x->gid : (uint64_t) gid;
    /* The largest id means "none" to the system. */
    if (owner >= UINT32_MAX || group >= UINT32_MAX)
        return nb_fail(err, NB_E_IMAGE, 0, "read '%.200s': its owner is no valid user or group id", r->entry.name);
    if (major < 0 || minor < 0 || major >= 1 << 12 || minor >= 1 << 20)
        return nb_fail(err, NB_E_IMAGE, 0, "read '%.200s': its device number is beyond 12 and 20 bits", r->entry.name);
    r->entry.mode = (uint32_t) mode & 07777;
    r->entry.uid = (uint32_t) owner;
    r->entry.gid = (uint32_t) group;
    r->entry.mtime_s = x->has_mtime ? x->mtime_s : mtime;
    r->entry.mtime_ns = x->has_mtime ? x->mtime_ns : 0;
    r->entry.major = (uint32_t) major;
    r->entry.minor = (uint32_t) minor;
    r->entry.xattrs = x->xattrs;
    r->entry.xattr_count = x->xattr_count;
    return 0;
}

/* GNU's old map: pairs in the header and in as many blocks after it as are needed. A pair of length and offset 0 is unused. */
static int read_gnu_pieces(tar_reader *r, const uint8_t *at, unsigned count, nb_error *err) {
    for (; count > 0; count--, at += 2 * TAR_LONG_FIELD) {
        int64_t offset, length;
        if (at[0] == '\0')
            return 0;
        if (!tar_parse_field(at, TAR_LONG_FIELD, &offset) || !tar_parse_field(at + TAR_LONG_FIELD, TAR_LONG_FIELD, &length) || offset < 0 ||
            length < 0)
            return nb_fail(err, NB_E_IMAGE, 0, "read '%.200s': the map of the sparse file is malformed", r->entry.name);
        int result = tar_extended_add_piece(&r->extended, (tar_piece){(uint64_t) offset, (uint64_t) length}, err);
        if (result < 0)
            return result;
    }
    return 0;
}

static int read_gnu_sparse(tar_reader *r, const uint8_t *block, nb_error *err) {
    int64_t real_size;
    int result = number_field(block, GNU_REAL_SIZE_AT, TAR_LONG_FIELD, "realsize", &real_size, err);
    if (result < 0)
        return result;
    if (real_size < 0)
        return nb_fail(err, NB_E_IMAGE, 0, "read '%.200s': its size is negative", r->entry.name);
    r->entry.size = (uint64_t) real_size;
    r->entry.sparse = true;
    r->extended.map_count = 0;
    bool more = block[GNU_EXTENDED_AT] != 0;
    result = read_gnu_pieces(r, block + GNU_SPARSE_AT, GNU_SPARSE_COUNT, err);
    while (result == 0 && more) {
        result = next_block(r, &block, err);
        if (result == 0 && !block)
            result = cut_short(err);
        if (result < 0)
            return result;
        more = block[GNU_MORE_EXTENDED_AT] != 0;
        result = read_gnu_pieces(r, block, GNU_MORE_SPARSE_COUNT, err);
    }
    return result;
}

/* One line of the map that version 1.0 has before the data: a decimal number. */
static int read_map_line(tar_reader *r, uint64_t *ret_number, nb_error *err) {
    char line[24];
    size_t length = 0;
    for (;;) {
        int result = fill(r, 1, err);
        if (result < 0)
            return result;
        if (r->start == r->end || r->data_left == 0)
            return cut_short(err);
        char c = (char) r->buffer[r->start];
        take(r, 1);
        r->data_left--;
        if (c == '\n')
            break;
        if (length == sizeof(line))
            return nb_fail(err, NB_E_IMAGE, 0, "read '%.200s': the map of the sparse file is malformed", r->entry.name);
        line[length++] = c;
    }
    const char *next;
    if (!tar_parse_decimal(line, line + length, ret_number, &next) || next != line + length)
        return nb_fail(err, NB_E_IMAGE, 0, "read '%.200s': the map of the sparse file is malformed", r->entry.name);
    return 0;
}

static int read_map_in_data(tar_reader *r, nb_error *err) {
    uint64_t start = r->data_left, count;
    int result = read_map_line(r, &count, err);
    r->extended.map_count = 0;
    for (; result == 0 && count > 0; count--) {
        tar_piece piece;
        if ((result = read_map_line(r, &piece.offset, err)) == 0 && (result = read_map_line(r, &piece.length, err)) == 0)
            result = tar_extended_add_piece(&r->extended, piece, err);
    }
    if (result < 0)
        return result;
    uint64_t padding = tar_padding(start - r->data_left);
    if (padding > r->data_left)
        return cut_short(err);
    r->data_left -= padding;
    return pass_over(r, padding, err);
}

/* Settles where the entry's data goes in the file: r->map. */
static int read_map(tar_reader *r, const uint8_t *block, nb_error *err) {
    tar_extended *x = &r->extended;
    int result = 0;
    if (block[TAR_TYPE_AT] == 'S')
        result = read_gnu_sparse(r, block, err);
    else if (x->sparse_map_in_data || x->has_sparse_map) {
        r->entry.sparse = true;
        r->entry.size = x->has_sparse_size ? x->sparse_size : r->data_left;
        if (x->sparse_map_in_data)
            result = read_map_in_data(r, err);
    }
    if (result < 0)
        return result;
    r->whole = (tar_piece){0, r->data_left};
    r->map = r->entry.sparse ? x->map : &r->whole;
    r->map_count = r->entry.sparse ? x->map_count : 1;
    r->map_at = 0;
    r->piece_done = 0;
    uint64_t total = 0;
    for (size_t i = 0; i < r->map_count; i++) {
        if (r->map[i].offset > r->entry.size || r->map[i].length > r->entry.size - r->map[i].offset)
            return nb_fail(err, NB_E_IMAGE, 0, "read '%.200s': the map of the sparse file goes beyond its end", r->entry.name);
        total += r->map[i].length; /* pieces do not overlap and end before entry.size: no overflow */
    }
    if (total != r->data_left)
        return nb_fail(err, NB_E_IMAGE, 0, "read '%.200s': the map of the sparse file does not fit its data", r->entry.name);
    if (r->entry.sparse) {
        r->entry.map = r->map;
        r->entry.map_count = r->map_count;
    }
    return 0;
}

static bool kind_of(const uint8_t *block, const char *name, enum tar_kind *ret_kind) {
    size_t length = strlen(name);
    switch (block[TAR_TYPE_AT]) {
    case '\0': /* before POSIX, a folder was a file with a slash at its end */
        *ret_kind = length > 0 && name[length - 1] == '/' ? TAR_FOLDER : TAR_FILE;
        return true;
    case '0':
    case '7': /* "contiguous" */
    case 'S':
        *ret_kind = TAR_FILE;
        return true;
    case '1':
        *ret_kind = TAR_HARD_LINK;
        return true;
    case '2':
        *ret_kind = TAR_SYMBOLIC_LINK;
        return true;
    case '3':
        *ret_kind = TAR_CHARACTER_DEVICE;
        return true;
    case '4':
        *ret_kind = TAR_BLOCK_DEVICE;
        return true;
    case '5':
        *ret_kind = TAR_FOLDER;
        return true;
    case '6':
        *ret_kind = TAR_FIFO;
        return true;
    }
    return false;
}

/* Everything about the entry whose own header @block is. */
static int read_entry(tar_reader *r, const uint8_t *block, uint64_t size, nb_error *err) {
    uint8_t header[TAR_BLOCK_BYTES]; /* reading on moves the buffer */
    memcpy(header, block, sizeof(header));
    r->entry = (tar_entry){0};
    read_names(r, header);
    if (!kind_of(header, r->entry.name, &r->entry.kind))
        return nb_fail(err, NB_E_IMAGE, 0, "read '%.200s' in a tar archive: its type 0x%02x is not known", r->entry.name,
                       header[TAR_TYPE_AT]);
    int result = read_identity(r, header, err);
    if (result < 0)
        return result;
    if (r->extended.has_size)
        size = r->extended.size;
    bool has_data = r->entry.kind == TAR_FILE;
    r->data_left = has_data ? size : 0;
    r->padding = has_data ? tar_padding(size) : 0;
    r->entry.size = r->data_left;
    if (has_data) {
        result = read_map(r, header, err);
        if (result < 0)
            return result;
    }
    r->entry.stored = r->data_left;
    r->entry.position = r->position;
    return 0;
}

/* One header. 1: an entry is there; 0: it was an extended header, go on. */
static int read_header(tar_reader *r, const uint8_t *block, nb_error *err) {
    int64_t size;
    if (!checksum_is_right(block))
        return nb_fail(err, NB_E_IMAGE, 0, "read a tar archive: this is none, or it is damaged (a header's checksum is wrong)");
    int result = number_field(block, TAR_SIZE_AT, TAR_LONG_FIELD, "size", &size, err);
    if (result < 0)
        return result;
    if (size < 0)
        return nb_fail(err, NB_E_IMAGE, 0, "read a tar archive: the size of an entry is negative");
    switch (block[TAR_TYPE_AT]) {
    case 'L':
        return read_long_name(r, (uint64_t) size, &r->extended.name, err);
    case 'K':
        return read_long_name(r, (uint64_t) size, &r->extended.link, err);
    case 'g': /* for all entries to come: comments in practice */
    case 'V': /* GNU: the name of the volume */
        return pass_over(r, align_up((uint64_t) size, TAR_BLOCK_BYTES), err);
    case 'x':
    case 'X': { /* Solaris's letter for the same */
        char *records = NULL;
        result = read_header_data(r, (uint64_t) size, &records, err);
        return result < 0 ? result : tar_extended_read(&r->extended, records, (size_t) size, err);
    }
    }
    result = read_entry(r, block, (uint64_t) size, err);
    return result < 0 ? result : 1;
}

int tar_next(tar_reader *r, const tar_entry **ret_entry, nb_error *err) {
    if (r->at_end)
        return 0;
    int result = pass_over(r, r->data_left, err);
    if (result == 0)
        result = pass_over(r, r->padding, err);
    r->data_left = r->padding = 0;
    tar_extended_done(&r->extended);
    while (result == 0) {
        const uint8_t *block;
        result = next_block(r, &block, err);
        if (result < 0)
            break;
        if (!block || is_zero(block)) {
            r->at_end = true;
            r->marked = block != NULL;
            return 0;
        }
        result = read_header(r, block, err);
    }
    if (result == 1)
        *ret_entry = &r->entry;
    return result;
}

int tar_read(tar_reader *r, const uint8_t **ret_bytes, size_t *ret_length, uint64_t *ret_offset, nb_error *err) {
    *ret_length = 0;
    while (r->map_at < r->map_count && r->piece_done == r->map[r->map_at].length) {
        r->map_at++;
        r->piece_done = 0;
    }
    if (r->data_left == 0)
        return 0;
    int result = fill(r, 1, err);
    if (result < 0)
        return result;
    size_t held = r->end - r->start;
    if (held == 0)
        return cut_short(err);
    const tar_piece *piece = &r->map[r->map_at];
    uint64_t left = piece->length - r->piece_done;
    size_t now = held < left ? held : (size_t) left;
    *ret_bytes = r->buffer + r->start;
    *ret_length = now;
    *ret_offset = piece->offset + r->piece_done;
    take(r, now);
    r->data_left -= now;
    r->piece_done += now;
    return 0;
}
