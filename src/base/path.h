/* SPDX-License-Identifier: Apache-2.0
 *
 * path.h - paths as text
 */
#ifndef BASE_PATH_H
#define BASE_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* Appends @path, without empty and '.' components, to @clean; '..' takes away the component before it, and nothing at the beginning.
 *
 * @clean  holds @used bytes of a clean path, and has room for strlen(path) + 2 more */
void path_clean(char *clean, size_t used, const char *path);

/* Whether the clean path @path is the folder @folder, or below it. */
bool path_is_within(const char *path, const char *folder);

#endif
