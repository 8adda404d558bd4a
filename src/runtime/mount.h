/* SPDX-License-Identifier: Apache-2.0
 *
 * mount.h - what is to be mounted in a box: checked, kept, told to its shim
 */
#ifndef RUNTIME_MOUNT_H
#define RUNTIME_MOUNT_H

#include "base/buf.h"
#include "runtime/mount-record.h"
#include "runtime/runtime.h"

/* Checks what a box is to have mounted, and appends it as a record keeps it. -NB_E_INVALID; -NB_E_NOT_FOUND: a path of the host's. */
int mounts_keep(const nb_mounts *mounts, buf *record, nb_error *err);

/* A target as a record has it.
 *
 * @ret_clean  the caller's
 * -NB_E_INVALID: none that may be mounted on. */
int mount_target_clean(const char *target, char **ret_clean, nb_error *err);

/* A record's mounts in LAUNCH's words (wire/mount-order.h). Folders of named volumes are made where they are missing. */
int mounts_order(nb_runtime *rt, strv record, buf *order, nb_error *err);

#endif
