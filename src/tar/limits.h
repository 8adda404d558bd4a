/* SPDX-License-Identifier: Apache-2.0
 *
 * limits.h - the maxima of archives, with their reasons
 */
#ifndef TAR_LIMITS_H
#define TAR_LIMITS_H

/* A PAX extended header: attributes, long names and a sparse map together. */
#define TAR_EXTENDED_MAX_BYTES (8u << 20)
/* Pieces of data in a sparse file: as many as a file on ext4 can have extents, an extent tree of two levels below the inode, 4 * 340 * 340. */
#define TAR_SPARSE_MAP_MAX 462400u
/* Attributes of one file: more cannot fit into an inode's block of 4 KiB (16 bytes and a name each). */
#define TAR_XATTRS_MAX 200u

#endif
