/* SPDX-License-Identifier: Apache-2.0
 *
 * confine.h - leaves a file server nothing of the host but its volume
 */
#ifndef FILES_CONFINE_H
#define FILES_CONFINE_H

#include <nestbox/error.h>

#include <stdbool.h>

/* Opens the folder or file @path and gives up all else: other files (by a mount namespace whose root is the volume, where the host lets us have
 * one), the network, rights that serving files does not need. A volume that is only read is mounted so: not even its access times
 * change.
 *
 * @ret_root         O_PATH
 * @ret_descriptors  O_PATH of /proc/self/fd, which is the working folder then
 * 0, or -NB_E_... */
int confine_to(const char *path, bool read_only, int *ret_root, int *ret_descriptors, nb_error *err);

#endif
