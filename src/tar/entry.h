/* SPDX-License-Identifier: Apache-2.0
 *
 * entry.h - a file as a tar archive describes it
 */
#ifndef TAR_ENTRY_H
#define TAR_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tar_kind {
    TAR_FILE = 1,
    TAR_HARD_LINK,
    TAR_SYMBOLIC_LINK,
    TAR_CHARACTER_DEVICE,
    TAR_BLOCK_DEVICE,
    TAR_FOLDER,
    TAR_FIFO,
};

typedef struct tar_piece {
    uint64_t offset, length;
} tar_piece;

typedef struct tar_xattr {
    const char *name;
    const uint8_t *value;
    size_t length;
} tar_xattr;

/* What an archive says about a file. What a kind has no use for is not looked at when it is written. */
typedef struct tar_entry {
    enum tar_kind kind;
    const char *name;
    const char *link; /* the target of either kind of link, otherwise empty */
    uint32_t mode;    /* permission bits, 07777 */
    uint32_t uid, gid;
    int64_t mtime_s;
    uint32_t mtime_ns;
    uint32_t major, minor;
    uint64_t size;   /* of the file, holes included */
    uint64_t stored; /* of its data in the archive, which follows the position below */
    uint64_t position;
    const tar_xattr *xattrs;
    size_t xattr_count;
    bool sparse;
    /* Of a sparse file: where its data goes, ascending; between the pieces are zeros. Where it is to be written, the length of each but the
     * last is a multiple of 512, as file systems give them. */
    const tar_piece *map;
    size_t map_count;
} tar_entry;

#endif
