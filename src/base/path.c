/* SPDX-License-Identifier: Apache-2.0
 *
 * path.c - paths as text
 */
#include "base/path.h"

#include <string.h>

void path_clean(char *clean, size_t used, const char *path) {
    while (*path) {
        size_t length = strcspn(path, "/");
        if (length == 2 && path[0] == '.' && path[1] == '.') {
            while (used > 0 && clean[--used] != '/')
                ;
        } else if (length > 0 && !(length == 1 && path[0] == '.')) {
            if (used > 0)
                clean[used++] = '/';
            memcpy(clean + used, path, length);
            used += length;
        }
        path += length;
        if (*path == '/')
            path++;
    }
    clean[used] = '\0';
}

bool path_is_within(const char *path, const char *folder) {
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (path[length] == '\0' || path[length] == '/');
}
