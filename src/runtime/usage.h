/* SPDX-License-Identifier: Apache-2.0
 *
 * usage.h - what a home takes on its file system, for the library's own parts
 */
#ifndef RUNTIME_USAGE_H
#define RUNTIME_USAGE_H

#include "runtime/runtime.h"

/* stat(2), st_blocks. */
#define USAGE_BLOCK_BYTES 512u

/* Base disks and blobs: what removing images gives back. Blobs on their way do not count. */
int usage_of_stored_images(nb_runtime *rt, uint64_t *ret_bytes, nb_error *err);

#endif
