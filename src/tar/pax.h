/* SPDX-License-Identifier: Apache-2.0
 *
 * pax.h - the records of a PAX extended header, and the numbers in tar headers
 */
#ifndef TAR_PAX_H
#define TAR_PAX_H

#include "tar/reader.h"

/* What the extended headers before an entry say about it. NULL and false: nothing. */
typedef struct tar_extended {
    char *name, *link; /* owned */
    bool has_size, has_uid, has_gid, has_mtime;
    uint64_t size, uid, gid;
    int64_t mtime_s;
    uint32_t mtime_ns;

    tar_xattr *xattrs; /* owned; names and values lie in the records */
    size_t xattr_count;
    char *records; /* owned */

    /* GNU.sparse.*: a file with holes, in one of three versions. */
    bool has_sparse_map, sparse_map_in_data, has_sparse_size;
    unsigned sparse_major, sparse_minor;
    uint64_t sparse_size;
    char *sparse_name; /* owned */
    tar_piece *map;    /* owned */
    size_t map_count, map_capacity;
    bool map_half; /* version 0.0 has offset and length in a record each */
} tar_extended;

void tar_extended_done(tar_extended *extended);

/* Reads all records of one extended header; takes over @records (from malloc, NUL-terminated after @length), on failure too.
 * 0, -NB_E_IMAGE or -NB_E_NO_MEMORY. */
int tar_extended_read(tar_extended *extended, char *records, size_t length, nb_error *err);

/* Appends a piece to the map, which must ascend. 0, -NB_E_IMAGE or -NB_E_NO_MEMORY. */
int tar_extended_add_piece(tar_extended *extended, tar_piece piece, nb_error *err);

/* Decimal digits up to @end or the first other character, where *ret_next then points. False: none, or too large. */
bool tar_parse_decimal(const char *at, const char *end, uint64_t *ret_value, const char **ret_next);

/* A number field of a header: octal, or GNU's binary. False: neither, or out of the range of int64_t. */
bool tar_parse_field(const uint8_t *field, size_t size, int64_t *ret_value);

#endif
