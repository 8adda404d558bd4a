/* SPDX-License-Identifier: Apache-2.0
 *
 * limits.h - the maxima of images, with their reasons; those that a user sets are in wire/image-limits.h
 */
#ifndef IMAGE_LIMITS_H
#define IMAGE_LIMITS_H

#include "tar/limits.h"
#include "wire/image-limits.h"

#include <nestbox/error.h>

#include <stddef.h>
#include <stdint.h>

/* Folders within folders: PATH_MAX allows 2,048 of them; the tree is walked by recursion, and nothing real goes beyond a hundred. */
#define IMAGE_DEPTH_MAX 1024u
/* A component of a path: what ext4 can store. */
#define IMAGE_NAME_MAX_BYTES 255u
/* A path or link target while it is resolved: PATH_MAX for each of the links that may be followed would be more; real ones are not. */
#define IMAGE_PATH_MAX_BYTES (64u << 10)
/* A symbolic link's target, as Linux has it (PATH_MAX without its NUL). */
#define IMAGE_TARGET_MAX_BYTES 4095u
/* Symbolic links followed in one path, as Linux has it (MAXSYMLINKS). */
#define IMAGE_LINKS_FOLLOWED_MAX 40u
/* Names of one file: EXT4_LINK_MAX. */
#define IMAGE_LINK_COUNT_MAX 65000u
/* No document of the specification nests deeper than eight; labels are flat. */
#define IMAGE_JSON_DEPTH_MAX 64u
/* An index may name indexes; one level is usual. */
#define IMAGE_INDEX_DEPTH_MAX 4u
/* Manifests of one index: every platform times every tag of a large archive. */
#define IMAGE_MANIFESTS_MAX 4096u
/* A value of an extended attribute: it must fit into an inode's block of 4 KiB with its name (ext4 without ea_inode). */
#define IMAGE_XATTR_VALUE_MAX_BYTES 4000u
#define IMAGE_XATTR_NAME_MAX_BYTES 255u
/* Attributes of one file, from a folder as from an archive. */
#define IMAGE_XATTRS_MAX TAR_XATTRS_MAX
/* Pieces of one file on the disk: an extent tree of two levels below the inode, 4 * 340 * 340. */
#define IMAGE_EXTENTS_MAX 462400u
/* Members of an archive that holds an image: blobs and a few documents. */
#define IMAGE_ARCHIVE_MEMBERS_MAX 100000u
/* The largest file that ext4 with 4 KiB blocks can describe: 2^32 - 1 blocks. */
#define IMAGE_FILE_MAX_BYTES (((uint64_t) UINT32_MAX) << 12)

/* How much a layer grows counts from here on: what it was up to here is harmless anyhow. */
#define IMAGE_RATIO_GRACE_BYTES (UINT64_C(1) << 30)

/* Completes what the owner wants: 0 is the default. -NB_E_INVALID: beyond what can be set. */
int image_limits_take(const image_limits *wanted, image_limits *ret_limits, nb_error *err);

/* Says how the limit @name of IMAGE_LIMITS, which an image went beyond, is raised. Returns @result unchanged. */
int image_limit_hint(nb_error *err, int result, const char *name);

/* 0 or -NB_E_EXHAUSTED. */
int image_check_layers(const image_limits *limits, size_t count, nb_error *err);

#endif
