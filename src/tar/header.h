/* SPDX-License-Identifier: Apache-2.0
 *
 * header.h - where things stand in the 512-byte block that describes an entry (POSIX.1-2008, pax, "ustar Interchange Format")
 */
#ifndef TAR_HEADER_H
#define TAR_HEADER_H

#include <stdint.h>

#define TAR_BLOCK_BYTES 512u

enum {
    TAR_NAME_AT = 0,
    TAR_NAME_BYTES = 100,
    TAR_MODE_AT = 100,
    TAR_UID_AT = 108,
    TAR_GID_AT = 116,
    TAR_SIZE_AT = 124,
    TAR_MTIME_AT = 136,
    TAR_CHECKSUM_AT = 148,
    TAR_TYPE_AT = 156,
    TAR_LINK_AT = 157,
    TAR_MAGIC_AT = 257,
    TAR_MAJOR_AT = 329,
    TAR_MINOR_AT = 337,
    TAR_PREFIX_AT = 345,
    TAR_PREFIX_BYTES = 155,
};
/* Number fields: mode, ids, checksum and device; size and mtime. */
#define TAR_SHORT_FIELD 8
#define TAR_LONG_FIELD 12

#define TAR_XATTR_PREFIX "SCHILY.xattr."

/* From the end of @size bytes to the next block. */
static inline uint64_t tar_padding(uint64_t size) {
    return (TAR_BLOCK_BYTES - size % TAR_BLOCK_BYTES) % TAR_BLOCK_BYTES;
}

#endif
