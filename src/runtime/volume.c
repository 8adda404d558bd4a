/* SPDX-License-Identifier: Apache-2.0
 *
 * volume.c - named volumes: folders of the home that outlive boxes
 *
 * Theory of operation
 *   A volume is a record and a folder of its name. The record is the truth: a folder that is missing is made when the volume is used. Records
 *   are made and removed under the home's lock, and a removed volume's folder is renamed before that is let go, so that another of the
 *   same name cannot have it. What a crash leaves of it, the next program that opens the home removes.
 */
#include "runtime/volume.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/file.h"
#include "runtime/event.h"
#include "runtime/options.h"
#include "runtime/result.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* No name begins so. */
#define REMOVED_PREFIX ".removed-"

/* With the others' rights of a folder that somebody made himself, whatever the umask: users other than root write into it, in the box. */
#define FOLDER_MODE 0755

static int open_volumes(const nb_runtime *rt, nb_error *err) {
    if (mkdirat(rt->folder, HOME_VOLUMES, 0700) < 0 && errno != EEXIST)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make the folder '%s/" HOME_VOLUMES "'", rt->home);
    int fd = openat(rt->folder, HOME_VOLUMES, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? nb_fail(err, nb_code_of_errno(errno), errno, "open the folder '%s/" HOME_VOLUMES "'", rt->home) : fd;
}

int volume_make_folder(nb_runtime *rt, const char *name, char **ret_path, nb_error *err) {
    CLEANUP(cleanup_fd) int volumes = open_volumes(rt, err);
    if (volumes < 0)
        return volumes;
    if (mkdirat(volumes, name, FOLDER_MODE) == 0)
        (void) fchmodat(volumes, name, FOLDER_MODE, 0);
    else if (errno != EEXIST)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make the folder of the volume '%s'", name);
    return asprintf(ret_path, "%s/" HOME_VOLUMES "/%s", rt->home, name) < 0 ? nb_fail_oom(err) : 0;
}

void volume_sweep(nb_runtime *rt) {
    CLEANUP(cleanup_fd) int volumes = openat(rt->folder, HOME_VOLUMES, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *folder = volumes < 0 ? NULL : fdopendir(fcntl(volumes, F_DUPFD_CLOEXEC, 0));
    struct dirent *entry;
    if (!folder)
        return;
    while ((entry = readdir(folder))) {
        if (strncmp(entry->d_name, REMOVED_PREFIX, strlen(REMOVED_PREFIX)) == 0)
            (void) file_remove_tree(volumes, entry->d_name);
    }
    (void) closedir(folder);
}

static int check_name(const char *name, nb_error *err) {
    return name_is_valid(name)
               ? 0
               : nb_fail(err, NB_E_INVALID, 0,
                         "name a volume '%s': a name has 1 to 128 letters, digits, '_', '.', '-' and begins with a letter or digit", name);
}

/* ----------------------------------------------------------------------------------------------------------- the calls */

static void fill_info(const nb_runtime *rt, const volume_record *record, arena *a, nb_volume_info *info) {
    CLEANUP(cleanup_free) char *path = NULL;
    if (asprintf(&path, "%s/" HOME_VOLUMES "/%s", rt->home, record->name) < 0) {
        path = NULL;
        a->failed = true;
    }
    *info = (nb_volume_info){
        .name = arena_string(a, record->name),
        .path = arena_string(a, path),
        .created_at_ms = record->created_at_ms,
        .boxes = (size_t) record->boxes,
    };
}

int nb_volume_inspect(nb_runtime *rt, const char *name, nb_volume_info **ret_volume, nb_error *err) {
    if (!rt || !name || !ret_volume)
        return nb_fail(err, NB_E_INVALID, 0, "look at a volume: an argument is NULL");
    arena records = {0}, *a;
    volume_record record;
    nb_volume_info *info = result_new(sizeof(*info), &a);
    int result = info ? store_find_volume(rt->store, name, &records, &record, err) : nb_fail_oom(err);
    if (result == 0)
        fill_info(rt, &record, a, info);
    if (result == 0 && a->failed)
        result = nb_fail_oom(err);
    arena_done(&records);
    if (result < 0)
        result_free(info);
    else
        *ret_volume = info;
    return result;
}

void nb_volume_free(nb_volume_info *volume) {
    result_free(volume);
}

int nb_volume_create(nb_runtime *rt, const char *name, nb_volume_info **ret_volume, nb_error *err) {
    if (!rt || !name || !ret_volume)
        return nb_fail(err, NB_E_INVALID, 0, "make a volume: an argument is NULL");
    int result = check_name(name, err);
    if (result < 0)
        return result;
    CLEANUP(cleanup_free) char *path = NULL;
    CLEANUP(cleanup_fd) int lock = home_lock(rt, err);
    if (lock < 0)
        return lock;
    bool is_new;
    result = store_add_volume(rt->store, name, &is_new, err);
    if (result == 0 && is_new)
        event_tell_one(rt, EVENT_VOLUME, "create", name, NULL, NULL);
    if (result == 0)
        result = volume_make_folder(rt, name, &path, err);
    return result < 0 ? result : nb_volume_inspect(rt, name, ret_volume, err);
}

int nb_volume_list_get(nb_runtime *rt, nb_volume_list **ret_list, nb_error *err) {
    if (!rt || !ret_list)
        return nb_fail(err, NB_E_INVALID, 0, "list the volumes: an argument is NULL");
    arena records = {0}, *a;
    volume_record *volumes = NULL;
    size_t count = 0;
    nb_volume_list *list = result_new(sizeof(*list), &a);
    int result = list ? store_list_volumes(rt->store, &records, &volumes, &count, err) : nb_fail_oom(err);
    nb_volume_info *items = result == 0 && count ? arena_alloc(a, count * sizeof(*items)) : NULL;
    for (size_t i = 0; items && i < count; i++)
        fill_info(rt, &volumes[i], a, &items[i]);
    if (result == 0 && a->failed)
        result = nb_fail_oom(err);
    arena_done(&records);
    if (result < 0) {
        result_free(list);
        return result;
    }
    *list = (nb_volume_list){items, count};
    *ret_list = list;
    return 0;
}

void nb_volume_list_free(nb_volume_list *list) {
    result_free(list);
}

int nb_volume_remove(nb_runtime *rt, const char *name, nb_error *err) {
    char removed[sizeof(REMOVED_PREFIX) + ID_SIZE] = REMOVED_PREFIX;
    if (!rt || !name)
        return nb_fail(err, NB_E_INVALID, 0, "remove a volume: an argument is NULL");
    if (id_generate(removed + strlen(REMOVED_PREFIX)) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "take random bytes from the kernel");
    CLEANUP(cleanup_fd) int volumes = open_volumes(rt, err);
    if (volumes < 0)
        return volumes;
    CLEANUP(cleanup_fd) int lock = home_lock(rt, err);
    if (lock < 0)
        return lock;
    int result = store_remove_volume(rt->store, name, err);
    if (result < 0)
        return result;
    event_tell_one(rt, EVENT_VOLUME, "remove", name, NULL, NULL);
    if (renameat(volumes, name, volumes, removed) < 0)
        return errno == ENOENT ? 0 : nb_fail(err, nb_code_of_errno(errno), errno, "remove the folder of the volume '%s'", name);
    lock = fd_close(lock);
    if (file_remove_tree(volumes, removed) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "remove what is in the volume '%s'", name);
    return 0;
}
