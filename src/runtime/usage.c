/* SPDX-License-Identifier: Apache-2.0
 *
 * usage.c - what a home takes on its file system
 *
 * Blocks are counted, not lengths: disks have holes. What goes away while it is looked at counts as nothing.
 */
#include "runtime/usage.h"

#include <nestbox/template.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "runtime/image.h"
#include "runtime/options.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Each level holds a descriptor. Ours are three deep; who nests deeper in a volume is not counted in full. */
#define DEPTH_MAX 256u

typedef struct counted {
    size_t files;
    uint64_t bytes;
} counted;

static void count_name(int folder, const char *name, unsigned depth, counted *sum);

static void count_folder(int fd, unsigned depth, counted *sum) {
    DIR *folder = fdopendir(fd); /* takes the descriptor over */
    struct dirent *entry;
    if (!folder) {
        (void) fd_close(fd);
        return;
    }
    while ((entry = readdir(folder))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            count_name(dirfd(folder), entry->d_name, depth + 1, sum);
    }
    (void) closedir(folder);
}

static void count_name(int folder, const char *name, unsigned depth, counted *sum) {
    struct stat status;
    if (depth > DEPTH_MAX || fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    sum->bytes += (uint64_t) status.st_blocks * USAGE_BLOCK_BYTES;
    if (!S_ISDIR(status.st_mode)) {
        sum->files++;
        return;
    }
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        count_folder(fd, depth, sum);
}

/* All of a folder of the home, as one kind of thing. */
static nb_usage usage_of_folder(const nb_runtime *rt, const char *name) {
    counted sum = {0};
    count_name(rt->folder, name, 0, &sum);
    return (nb_usage){.count = sum.files, .active = sum.files, .size_bytes = sum.bytes};
}

static int usage_of_images(nb_runtime *rt, nb_usage *ret_usage, nb_error *err) {
    arena a = {0};
    image_record *images = NULL;
    size_t count = 0;
    nb_usage usage = {0};
    int result = store_list_images(rt->store, &a, &images, &count, err);
    for (size_t i = 0; result == 0 && i < count; i++) {
        char name[IMAGE_DISK_NAME_SIZE];
        struct stat status;
        bool used, seen = false;
        for (size_t j = 0; j < i && !seen; j++)
            seen = strcmp(images[j].id, images[i].id) == 0; /* another name of one that was counted */
        image_disk_name(images[i].id, name);
        if (seen || fstatat(rt->images, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        result = store_image_is_used(rt->store, images[i].id, &used, err);
        uint64_t bytes = (uint64_t) status.st_blocks * USAGE_BLOCK_BYTES;
        usage.count++;
        usage.active += used;
        usage.size_bytes += bytes;
        usage.reclaimable_bytes += used ? 0 : bytes;
    }
    arena_done(&a);
    if (result == 0)
        *ret_usage = usage;
    return result;
}

int usage_of_stored_images(nb_runtime *rt, uint64_t *ret_bytes, nb_error *err) {
    nb_usage images;
    int result = usage_of_images(rt, &images, err);
    if (result == 0)
        *ret_bytes = images.size_bytes + usage_of_folder(rt, HOME_LAYOUT "/blobs").size_bytes;
    return result;
}

static bool is_active(nb_box_state state) {
    return state == NB_BOX_STARTING || state == NB_BOX_RUNNING || state == NB_BOX_STOPPING;
}

static int usage_of_boxes(nb_runtime *rt, nb_usage *ret_usage, nb_error *err) {
    nb_box_list *list;
    nb_usage usage = {0};
    int result = nb_box_list_get(rt, &list, err);
    if (result < 0)
        return result;
    for (size_t i = 0; i < list->count; i++) {
        counted sum = {0};
        bool active = is_active(list->items[i].state);
        count_name(rt->boxes, list->items[i].id, 0, &sum);
        usage.active += active;
        usage.size_bytes += sum.bytes;
        usage.reclaimable_bytes += active ? 0 : sum.bytes;
    }
    usage.count = list->count;
    nb_box_list_free(list);
    *ret_usage = usage;
    return 0;
}

static int usage_of_volumes(nb_runtime *rt, nb_usage *ret_usage, nb_error *err) {
    nb_volume_list *list;
    nb_usage usage = {0};
    int result = nb_volume_list_get(rt, &list, err);
    if (result < 0)
        return result;
    for (size_t i = 0; i < list->count; i++) {
        counted sum = {0};
        char name[sizeof(HOME_VOLUMES "/") + NAME_LENGTH_MAX];
        (void) snprintf(name, sizeof(name), HOME_VOLUMES "/%s", list->items[i].name);
        count_name(rt->folder, name, 0, &sum);
        usage.active += list->items[i].boxes > 0;
        usage.size_bytes += sum.bytes;
        usage.reclaimable_bytes += list->items[i].boxes > 0 ? 0 : sum.bytes;
    }
    usage.count = list->count;
    nb_volume_list_free(list);
    *ret_usage = usage;
    return 0;
}

/* Wherever they are: starts of this home's boxes have made them, or go on from them. */
static int usage_of_templates(nb_runtime *rt, nb_usage *ret_usage, nb_error *err) {
    nb_template_list *list;
    nb_usage usage = {0};
    *ret_usage = usage;
    int result = nb_template_list_get(rt, &list, err);
    if (result < 0) /* in a folder that is not to be relied on there is none */
        return result == -NB_E_PERMISSION ? 0 : result;
    for (size_t i = 0; i < list->count; i++)
        usage.size_bytes += list->items[i].size_bytes;
    usage.count = list->count;
    usage.reclaimable_bytes = usage.size_bytes;
    nb_template_list_free(list);
    *ret_usage = usage;
    return 0;
}

int nb_runtime_disk_usage(nb_runtime *rt, nb_disk_usage *ret_usage, nb_error *err) {
    nb_disk_usage usage = {0};
    if (!rt || !ret_usage)
        return nb_fail(err, NB_E_INVALID, 0, "count the home's files: an argument is NULL");
    int result = usage_of_images(rt, &usage.images, err);
    if (result == 0)
        result = usage_of_boxes(rt, &usage.boxes, err);
    if (result < 0)
        return result;
    usage.blobs = usage_of_folder(rt, HOME_LAYOUT);
    usage.cache = usage_of_folder(rt, HOME_CACHE);
    result = usage_of_volumes(rt, &usage.volumes, err);
    if (result == 0)
        result = usage_of_templates(rt, &usage.templates, err);
    if (result < 0)
        return result;
    *ret_usage = usage;
    return 0;
}
