/* SPDX-License-Identifier: Apache-2.0
 *
 * volume.h - named volumes of a home, for the library's own parts
 */
#ifndef RUNTIME_VOLUME_H
#define RUNTIME_VOLUME_H

#include "runtime/runtime.h"

/* Makes the folder of a recorded volume where it is missing.
 *
 * @ret_path  absolute; the caller's */
int volume_make_folder(nb_runtime *rt, const char *name, char **ret_path, nb_error *err);

/* Removes what a crash left of volumes that were being removed. */
void volume_sweep(nb_runtime *rt);

#endif
