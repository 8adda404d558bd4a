/* SPDX-License-Identifier: Apache-2.0
 *
 * pax.c - the records of a PAX extended header, and the numbers in tar headers
 *
 * A record is "LENGTH KEY=VALUE\n", LENGTH counting all of it. Values of extended attributes are any bytes; the rest are C strings.
 * An empty value takes an earlier one back. Keys that nothing here needs are passed over, as POSIX asks.
 */
#include "tar/pax.h"

#include "base/error.h"
#include "tar/header.h"
#include "tar/limits.h"

#include <stdlib.h>
#include <string.h>

#define NANOSECOND_DIGITS 9

void tar_extended_done(tar_extended *extended) {
    free(extended->name);
    free(extended->link);
    free(extended->sparse_name);
    free(extended->xattrs);
    free(extended->records);
    free(extended->map);
    *extended = (tar_extended){0};
}

bool tar_parse_decimal(const char *at, const char *end, uint64_t *ret_value, const char **ret_next) {
    uint64_t value = 0;
    const char *start = at;
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, (unsigned) (*at - '0'), &value))
            return false;
    }
    *ret_value = value;
    *ret_next = at;
    return at > start;
}

static bool parse_binary_field(const uint8_t *field, size_t size, int64_t *ret_value) {
    /* Two's complement, big endian; the first bit says that it is binary, the second is the sign. */
    bool negative = field[0] & 0x40;
    int64_t value = negative ? -1 : 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = i == 0 ? (uint8_t) ((field[0] & 0x7f) | (negative ? 0x80 : 0)) : field[i];
        if (value > INT64_MAX >> 8 || value < INT64_MIN >> 8)
            return false;
        value = (int64_t) ((uint64_t) value << 8 | byte);
    }
    *ret_value = value;
    return true;
}

bool tar_parse_field(const uint8_t *field, size_t size, int64_t *ret_value) {
    if (field[0] & 0x80)
        return parse_binary_field(field, size, ret_value);
    size_t i = 0;
    while (i < size && field[i] == ' ')
        i++;
    int64_t value = 0;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) {
        if (value > INT64_MAX >> 3)
            return false;
        value = value << 3 | (field[i] - '0');
    }
    for (; i < size; i++) {
        if (field[i] != ' ' && field[i] != '\0')
            return false;
    }
    *ret_value = value;
    return true;
}

int tar_extended_add_piece(tar_extended *extended, tar_piece piece, nb_error *err) {
    uint64_t end;
    tar_piece *last = extended->map_count ? &extended->map[extended->map_count - 1] : NULL;
    if (__builtin_add_overflow(piece.offset, piece.length, &end) || (last && piece.offset < last->offset + last->length))
        return nb_fail(err, NB_E_IMAGE, 0, "read the map of a sparse file: its pieces overlap");
    if (extended->map_count == extended->map_capacity) {
        size_t capacity = extended->map_capacity ? extended->map_capacity * 2 : 16;
        if (extended->map_count >= TAR_SPARSE_MAP_MAX)
            return nb_fail(err, NB_E_IMAGE, 0, "read the map of a sparse file: it has more than %u pieces", TAR_SPARSE_MAP_MAX);
        tar_piece *map = reallocarray(extended->map, capacity, sizeof(*map));
        if (!map)
            return nb_fail_oom(err);
        extended->map = map;
        extended->map_capacity = capacity;
    }
    extended->map[extended->map_count++] = piece;
    return 0;
}

typedef struct record {
    const char *key;   /* NUL-terminated */
    const char *value; /* NUL-terminated too */
    size_t length;
} record;

static int refuse(const record *r, nb_error *err) {
    return nb_fail(err, NB_E_IMAGE, 0, "read a PAX header: the value of '%.80s' is malformed", r->key);
}

static int read_text(const record *r, char **text, nb_error *err) {
    if (memchr(r->value, '\0', r->length))
        return nb_fail(err, NB_E_IMAGE, 0, "read a PAX header: '%.80s' has a NUL byte in it", r->key);
    free(*text);
    *text = NULL;
    if (r->length == 0)
        return 0;
    *text = strndup(r->value, r->length);
    return *text ? 0 : nb_fail_oom(err);
}

static int read_number(const record *r, bool *has, uint64_t *number, nb_error *err) {
    const char *next;
    *has = r->length > 0;
    if (*has && (!tar_parse_decimal(r->value, r->value + r->length, number, &next) || next != r->value + r->length))
        return refuse(r, err);
    return 0;
}

static int read_unsigned(const record *r, unsigned *number, nb_error *err) {
    uint64_t value = 0;
    bool has;
    int result = read_number(r, &has, &value, err);
    *number = value > UINT16_MAX ? UINT16_MAX : (unsigned) value;
    return result;
}

/* Seconds with a fraction, before 1970 too; the digits after the ninth are dropped. */
static int read_time(const record *r, tar_extended *extended, nb_error *err) {
    extended->has_mtime = r->length > 0;
    if (r->length == 0)
        return 0;
    bool negative = r->value[0] == '-';
    const char *at = r->value + negative, *end = r->value + r->length;
    uint64_t seconds;
    if (!tar_parse_decimal(at, end, &seconds, &at) || seconds > (uint64_t) INT64_MAX + negative)
        return refuse(r, err);
    uint32_t nanoseconds = 0;
    if (at < end && *at == '.') {
        unsigned digits = 0;
        for (at++; at < end && *at >= '0' && *at <= '9'; at++) {
            if (digits++ < NANOSECOND_DIGITS)
                nanoseconds = nanoseconds * 10 + (uint32_t) (*at - '0');
        }
        for (; digits < NANOSECOND_DIGITS; digits++)
            nanoseconds *= 10;
    }
    if (at != end || (seconds > INT64_MAX && nanoseconds > 0))
        return refuse(r, err);
    extended->mtime_s = negative ? (int64_t) (0 - seconds - (nanoseconds > 0)) : (int64_t) seconds;
    extended->mtime_ns = negative && nanoseconds > 0 ? 1000000000u - nanoseconds : nanoseconds;
    return 0;
}

static int read_xattr(const record *r, tar_extended *extended, nb_error *err) {
    if (r->length == 0)
        return 0; /* POSIX: an empty value takes the keyword away; the engines' own reader does, and so no engine keeps such an attribute */
    if (extended->xattr_count == TAR_XATTRS_MAX)
        return nb_fail(err, NB_E_IMAGE, 0, "read a PAX header: more than %u extended attributes", TAR_XATTRS_MAX);
    if (!extended->xattrs) {
        extended->xattrs = calloc(TAR_XATTRS_MAX, sizeof(*extended->xattrs));
        if (!extended->xattrs)
            return nb_fail_oom(err);
    }
    extended->xattrs[extended->xattr_count++] =
        (tar_xattr){.name = r->key + strlen(TAR_XATTR_PREFIX), .value = (const uint8_t *) r->value, .length = r->length};
    return 0;
}

/* Version 0.0: "GNU.sparse.offset" and "GNU.sparse.numbytes" in turn. */
static int read_map_half(const record *r, tar_extended *extended, bool is_length, nb_error *err) {
    uint64_t number = 0;
    bool has;
    int result = read_number(r, &has, &number, err);
    if (result < 0)
        return result;
    if (!has || is_length != extended->map_half)
        return refuse(r, err);
    extended->map_half = !is_length;
    extended->has_sparse_map = true;
    if (!is_length)
        return tar_extended_add_piece(extended, (tar_piece){number, 0}, err);
    extended->map[extended->map_count - 1].length = number;
    return number <= UINT64_MAX - extended->map[extended->map_count - 1].offset ? 0 : refuse(r, err);
}

/* Version 0.1: all numbers in one record, with commas between. */
static int read_map_list(const record *r, tar_extended *extended, nb_error *err) {
    const char *at = r->value, *end = r->value + r->length;
    extended->has_sparse_map = true;
    extended->map_count = 0;
    while (at < end) {
        tar_piece piece;
        if (!tar_parse_decimal(at, end, &piece.offset, &at) || at == end || *at++ != ',' ||
            !tar_parse_decimal(at, end, &piece.length, &at) || (at < end && *at++ != ','))
            return refuse(r, err);
        int result = tar_extended_add_piece(extended, piece, err);
        if (result < 0)
            return result;
    }
    return 0;
}

static int read_sparse(const record *r, tar_extended *extended, nb_error *err) {
    const char *key = r->key + strlen("GNU.sparse.");
    if (strcmp(key, "offset") == 0)
        return read_map_half(r, extended, false, err);
    if (strcmp(key, "numbytes") == 0)
        return read_map_half(r, extended, true, err);
    if (strcmp(key, "map") == 0)
        return read_map_list(r, extended, err);
    if (strcmp(key, "name") == 0)
        return read_text(r, &extended->sparse_name, err);
    if (strcmp(key, "size") == 0 || strcmp(key, "realsize") == 0)
        return read_number(r, &extended->has_sparse_size, &extended->sparse_size, err);
    if (strcmp(key, "major") == 0)
        return read_unsigned(r, &extended->sparse_major, err);
    if (strcmp(key, "minor") == 0)
        return read_unsigned(r, &extended->sparse_minor, err);
    return 0; /* numblocks: the map says it again */
}

static int read_record(const record *r, tar_extended *extended, nb_error *err) {
    if (strcmp(r->key, "path") == 0)
        return read_text(r, &extended->name, err);
    if (strcmp(r->key, "linkpath") == 0)
        return read_text(r, &extended->link, err);
    if (strcmp(r->key, "size") == 0)
        return read_number(r, &extended->has_size, &extended->size, err);
    if (strcmp(r->key, "uid") == 0)
        return read_number(r, &extended->has_uid, &extended->uid, err);
    if (strcmp(r->key, "gid") == 0)
        return read_number(r, &extended->has_gid, &extended->gid, err);
    if (strcmp(r->key, "mtime") == 0)
        return read_time(r, extended, err);
    if (strncmp(r->key, TAR_XATTR_PREFIX, strlen(TAR_XATTR_PREFIX)) == 0)
        return read_xattr(r, extended, err);
    if (strncmp(r->key, "GNU.sparse.", strlen("GNU.sparse.")) == 0)
        return read_sparse(r, extended, err);
    return 0;
}

int tar_extended_read(tar_extended *extended, char *records, size_t length, nb_error *err) {
    /* A second header of this kind before one entry replaces the first; GNU's long names before it stay. */
    char *name = take_ptr(&extended->name), *link = take_ptr(&extended->link);
    tar_extended_done(extended);
    *extended = (tar_extended){.name = name, .link = link, .records = records};
    char *at = records, *end = records + length;
    while (at < end) {
        uint64_t record_length;
        const char *next;
        if (!tar_parse_decimal(at, end, &record_length, &next) || next == end || *next != ' ' || record_length > (uint64_t) (end - at) ||
            record_length < (uint64_t) (next - at) + 2 || at[record_length - 1] != '\n')
            return nb_fail(err, NB_E_IMAGE, 0, "read a PAX header: the length of a record is wrong");
        char *key = at + (next - at) + 1, *last = at + record_length - 1;
        char *equals = memchr(key, '=', (size_t) (last - key));
        if (!equals || equals == key || memchr(key, '\0', (size_t) (equals - key)))
            return nb_fail(err, NB_E_IMAGE, 0, "read a PAX header: a record has no key");
        *equals = '\0';
        *last = '\0';
        int r = read_record(&(record){key, equals + 1, (size_t) (last - equals - 1)}, extended, err);
        if (r < 0)
            return r;
        at += record_length;
    }
    if (extended->map_half)
        return nb_fail(err, NB_E_IMAGE, 0, "read a PAX header: the map of a sparse file ends with half a piece");
    extended->sparse_map_in_data = extended->sparse_major == 1 && extended->sparse_minor == 0;
    return 0;
}
