/* SPDX-License-Identifier: Apache-2.0
 *
 * place.c - the table of cp: where a file or folder goes, given what is at its destination
 */
#include "tar/place.h"

#include "base/cleanup.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void tar_place_base_name(const char *path, char *ret_name, size_t size) {
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    if (start == end)
        (void) snprintf(ret_name, size, ".");
    else
        (void) snprintf(ret_name, size, "%.*s", (int) (end - start), path + start);
}

static int open_folder(const char *folder, tar_place *ret_place, nb_error *err) {
    ret_place->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (ret_place->folder >= 0)
        return 0;
    return nb_fail(err, errno == ENOENT || errno == ENOTDIR ? NB_E_NOT_FOUND : nb_code_of_errno(errno), errno, "open the folder '%s'",
                   folder);
}

int tar_place_whole(const char *folder, tar_place *ret_place, nb_error *err) {
    ret_place->as_it_says = true;
    return open_folder(folder, ret_place, err);
}

static int place_in(const char *folder, const char *name, tar_place *ret_place, nb_error *err) {
    if (strcmp(name, "..") == 0)
        return nb_fail(err, NB_E_INVALID, 0, "'..' is no name for a new file");
    if (strlen(name) >= sizeof(ret_place->name))
        return nb_fail(err, NB_E_INVALID, ENAMETOOLONG, "use the name '%.64s...'", name);
    (void) snprintf(ret_place->name, sizeof(ret_place->name), "%s", name);
    return open_folder(folder, ret_place, err);
}

/* Beside others in the folder that holds it. */
static int place_at(const char *path, tar_place *ret_place, nb_error *err) {
    CLEANUP(cleanup_free) char *parent = strdup(path);
    char name[NAME_MAX + 2];
    if (!parent)
        return nb_fail_oom(err);
    tar_place_base_name(path, name, sizeof(name));
    if (strcmp(name, ".") == 0)
        return nb_fail(err, NB_E_INVALID, 0, "'%s' is no name for a new file", path);
    size_t end = strlen(parent);
    while (end > 0 && parent[end - 1] == '/')
        end--;
    while (end > 0 && parent[end - 1] != '/')
        end--;
    parent[end] = '\0';
    return place_in(end > 0 ? parent : ".", name, ret_place, err);
}

int tar_place_find(const char *destination, const char *name, bool is_folder, tar_place *ret_place, nb_error *err) {
    struct stat status;
    size_t length = strlen(destination);
    bool slash = length > 0 && destination[length - 1] == '/';
    if (length == 0)
        return nb_fail(err, NB_E_INVALID, 0, "the destination has no name");
    if (stat(destination, &status) < 0) {
        if (errno != ENOENT)
            return nb_fail(err, nb_code_of_errno(errno), errno, "look at '%s'", destination);
        if (slash && !is_folder)
            return nb_fail(err, NB_E_NOT_FOUND, 0, "there is no folder '%s'", destination);
        return place_at(destination, ret_place, err);
    }
    if (S_ISDIR(status.st_mode))
        return place_in(destination, name, ret_place, err);
    if (is_folder || slash)
        return nb_fail(err, NB_E_INVALID, 0, "'%s' is there and is no folder", destination);
    CLEANUP(cleanup_free) char *real = realpath(destination, NULL);
    return real ? place_at(real, ret_place, err) : nb_fail(err, nb_code_of_errno(errno), errno, "look at '%s'", destination);
}
