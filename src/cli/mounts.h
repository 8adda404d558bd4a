/* SPDX-License-Identifier: Apache-2.0
 *
 * mounts.h - what --volume and --tmpfs ask for
 */
#ifndef CLI_MOUNTS_H
#define CLI_MOUNTS_H

#include "base/error.h"
#include "cli/option.h"

#include <nestbox/nestbox.h>

typedef struct mount_list {
    nb_mount *items;
    size_t count;
    char **texts; /* that the items point into */
} mount_list;

/* Reads SRC:DST[:ro] of each --volume and PATH[:OPTIONS] of each --tmpfs, in this order. A source that begins with '.' is a path from the working
 * directory, one with '/' an absolute path, anything else a volume's name. -NB_E_INVALID, naming the option. */
int mounts_collect(const opt_list *volumes, const opt_list *tmpfs, mount_list *ret_list, nb_error *err);
void mount_list_done(mount_list *list);

#endif
