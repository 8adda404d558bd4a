/* SPDX-License-Identifier: Apache-2.0
 *
 * mounts.c - what --volume and --tmpfs ask for
 *
 * Here only what the words mean; whether that can be mounted is for the library to say.
 */
#include "cli/mounts.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VOLUME_FORM "want SRC:DST[:ro], a folder or file of the host or a volume's name, and an absolute path in the box"

/* A path that begins with a component "." or "..". */
static bool is_relative_path(const char *source) {
    size_t dots = strspn(source, ".");
    return dots >= 1 && dots <= 2 && (source[dots] == '/' || source[dots] == '\0');
}

/* From the working directory; the caller's. */
static int make_absolute(const char *source, char **ret_path, nb_error *err) {
    CLEANUP(cleanup_free) char *here = getcwd(NULL, 0);
    if (!here)
        return nb_fail(err, nb_code_of_errno(errno), errno, "find the working directory for '%s'", source);
    while (source[0] == '.' && source[1] == '/')
        source += 2 + strspn(source + 2, "/");
    if (strcmp(source, ".") == 0)
        source = "";
    const char *slash = *source && strcmp(here, "/") != 0 ? "/" : "";
    return asprintf(ret_path, "%s%s%s", here, slash, source) < 0 ? nb_fail_oom(err) : 0;
}

static int read_volume(const char *given, char **text, nb_mount *mount, nb_error *err) {
    char *target = strchr(*text, ':'), *options = target ? strchr(target + 1, ':') : NULL;
    if (!target || target == *text || target[1] == '\0' || target + 1 == options)
        return nb_fail(err, NB_E_INVALID, 0, "--volume '%s': " VOLUME_FORM, given);
    *target++ = '\0';
    if (options)
        *options++ = '\0';
    if (options && strcmp(options, "ro") != 0 && strcmp(options, "rw") != 0)
        return nb_fail(err, NB_E_INVALID, 0, "--volume '%s': '%s' is neither ro nor rw", given, options);
    const char *source = *text;
    *mount = (nb_mount){
        .kind = source[0] == '/' || is_relative_path(source) ? NB_MOUNT_BIND : NB_MOUNT_VOLUME,
        .source = source,
        .target = target,
        .read_only = options && strcmp(options, "ro") == 0,
    };
    if (!is_relative_path(source))
        return 0;
    char *path, *whole;
    int result = make_absolute(source, &path, err);
    if (result < 0)
        return result;
    /* Both in one text, so that an item has one owner. */
    size_t source_bytes = strlen(path) + 1, target_bytes = strlen(target) + 1;
    whole = malloc(source_bytes + target_bytes);
    if (whole) {
        memcpy(whole, path, source_bytes);
        memcpy(whole + source_bytes, target, target_bytes);
        free(*text);
        *text = whole;
        mount->source = whole;
        mount->target = whole + source_bytes;
    }
    free(path);
    return whole ? 0 : nb_fail_oom(err);
}

static void read_tmpfs(char *text, nb_mount *mount) {
    char *options = strchr(text, ':');
    if (options)
        *options++ = '\0';
    *mount = (nb_mount){.kind = NB_MOUNT_TMPFS, .target = text, .options = options};
}

int mounts_collect(const opt_list *volumes, const opt_list *tmpfs, mount_list *ret_list, nb_error *err) {
    size_t count = volumes->count + tmpfs->count;
    mount_list list = {.items = calloc(count + 1, sizeof(*list.items)), .texts = calloc(count + 1, sizeof(*list.texts))};
    int result = list.items && list.texts ? 0 : nb_fail_oom(err);
    for (size_t i = 0; result == 0 && i < count; i++) {
        const char *given = i < volumes->count ? volumes->items[i] : tmpfs->items[i - volumes->count];
        list.texts[i] = strdup(given);
        list.count++;
        if (!list.texts[i])
            result = nb_fail_oom(err);
        else if (i < volumes->count)
            result = read_volume(given, &list.texts[i], &list.items[i], err);
        else
            read_tmpfs(list.texts[i], &list.items[i]);
    }
    if (result < 0)
        mount_list_done(&list);
    else
        *ret_list = list;
    return result;
}

void mount_list_done(mount_list *list) {
    for (size_t i = 0; i < list->count; i++)
        free(list->texts[i]);
    free(list->texts);
    free(list->items);
    *list = (mount_list){0};
}
