/* SPDX-License-Identifier: Apache-2.0
 *
 * limits.h - the maxima of tar archives, with their reasons
 */
#ifndef TAR_LIMITS_H
#define TAR_LIMITS_H

/* Attributes of one file: more cannot fit into ext4's block for them (4 KiB; 16 bytes and a name each). */
#define TAR_XATTRS_MAX 200u
/* A PAX extended header: attributes, long names and a sparse map together. */
#define TAR_HEADER_MAX_BYTES (8u << 20)
/* Pieces of data in a sparse file: as many as the extents of a file on a base disk (IMAGE_EXTENTS_MAX), where it may have to go. */
#define TAR_SPARSE_MAP_MAX 462400u
/* A PAX header, and likewise a sparse file's map, that is written: libarchive and Go's archive/tar take no longer ones. */
#define TAR_WRITTEN_HEADER_MAX_BYTES (1u << 20)

#endif
