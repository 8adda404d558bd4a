/* SPDX-License-Identifier: Apache-2.0
 *
 * mount-record.c - what is mounted in a box, as its record keeps it
 */
#include "runtime/mount-record.h"

#include "base/size.h"

#include <string.h>

bool mount_next(strv mounts, mount_words *words) {
    const char **each[] = {&words->kind, &words->source, &words->target, &words->options};
    const char *word = words->options;
    for (size_t i = 0; i < ARRAY_LENGTH(each); i++) {
        word = strv_next(mounts, word);
        if (!word)
            return false;
        *each[i] = word;
    }
    return true;
}

nb_mount_kind mount_kind(const mount_words *words) {
    return strcmp(words->kind, MOUNT_RECORD_TMPFS) == 0    ? NB_MOUNT_TMPFS
           : strcmp(words->kind, MOUNT_RECORD_VOLUME) == 0 ? NB_MOUNT_VOLUME
                                                           : NB_MOUNT_BIND;
}

bool mounts_name_volumes(strv mounts) {
    mount_words words = {0};
    while (mount_next(mounts, &words)) {
        if (mount_kind(&words) == NB_MOUNT_VOLUME)
            return true;
    }
    return false;
}

nb_mounts mounts_result(arena *a, strv record) {
    mount_words words = {0};
    size_t count = strv_count(record) / 4, i = 0;
    nb_mount *items = count ? arena_alloc(a, count * sizeof(*items)) : NULL;
    while (items && i < count && mount_next(record, &words)) {
        nb_mount_kind kind = mount_kind(&words);
        bool tmpfs = kind == NB_MOUNT_TMPFS;
        items[i++] = (nb_mount){
            .kind = kind,
            .source = tmpfs ? NULL : arena_string(a, words.source),
            .target = arena_string(a, words.target),
            .read_only = tmpfs ? strncmp(words.options, "ro", 2) == 0 || strstr(words.options, ",ro") : words.options[0] != '\0',
            .options = tmpfs ? arena_string(a, words.options) : NULL,
        };
    }
    return (nb_mounts){items, i};
}
