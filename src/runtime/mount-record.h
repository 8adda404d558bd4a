/* SPDX-License-Identifier: Apache-2.0
 *
 * mount-record.h - what is mounted in a box, as its record keeps it
 */
#ifndef RUNTIME_MOUNT_RECORD_H
#define RUNTIME_MOUNT_RECORD_H

#include "base/arena.h"
#include "base/strv.h"

#include <nestbox/nestbox.h>

#include <stdbool.h>

#define MOUNT_RECORD_BIND "bind"
#define MOUNT_RECORD_VOLUME "volume"
#define MOUNT_RECORD_TMPFS "tmpfs"

/* Four words of a packed list, for each mount. */
typedef struct mount_words {
    const char *kind;    /* MOUNT_RECORD_... */
    const char *source;  /* an absolute path; a volume's name; "" */
    const char *target;  /* absolute, clean */
    const char *options; /* words with commas between, "ro" among them */
} mount_words;

/* The longest there can be. */
#define MOUNT_RECORD_MAX_BYTES (NB_MOUNTS_MAX * 3u * 4096u)

/* Goes through a record, from zeroes on. False: there are no more. */
bool mount_next(strv mounts, mount_words *words);

nb_mount_kind mount_kind(const mount_words *words);

/* Whether one of them is a named volume. */
bool mounts_name_volumes(strv mounts);

/* A record's mounts as the public API tells them. */
nb_mounts mounts_result(arena *a, strv record);

#endif
