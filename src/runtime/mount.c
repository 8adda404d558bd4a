/* SPDX-License-Identifier: Apache-2.0
 *
 * mount.c - what is mounted in a box: checked, kept in its record, told to its shim
 *
 * A host's path is looked at when the box is made, so that a slip is told at once, and again by its file server when the box starts.
 */
#include "runtime/mount.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "base/quantity.h"
#include "base/size.h"
#include "runtime/options.h"
#include "runtime/volume.h"
#include "wire/limits.h"
#include "wire/mount-order.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TMPFS_OPTIONS_MAX_BYTES 1024u
#define MODE_MAX 07777u

/* ---------------------------------------------------------------------------------------------------------- the target */

int mount_target_clean(const char *target, char **ret_clean, nb_error *err) {
    if (!target || target[0] != '/')
        return nb_fail(err, NB_E_INVALID, 0, "mount at '%s': the path in the box must be absolute", target ? target : "");
    CLEANUP(cleanup_free) char *clean = malloc(strlen(target) + 2);
    if (!clean)
        return nb_fail_oom(err);
    clean[0] = '/';
    path_clean(clean + 1, 0, target);
    if (clean[1] == '\0')
        return nb_fail(err, NB_E_INVALID, 0, "mount at '%s': the box's root cannot be mounted over", target);
    if (path_is_within(clean, "/proc") || path_is_within(clean, "/sys") ||
        (path_is_within(clean, "/dev") && !path_is_within(clean, "/dev/shm")))
        return nb_fail(err, NB_E_INVALID, 0, "mount at '%s': /proc, /sys and /dev are the box's own, but for /dev/shm", target);
    if (strlen(clean) >= WIRE_PATH_MAX_BYTES)
        return nb_fail(err, NB_E_INVALID, 0, "mount at '%.64s...': the path is longer than %u bytes", target, WIRE_PATH_MAX_BYTES - 1);
    *ret_clean = take_ptr(&clean);
    return 0;
}

/* Two at one place would hide each other. */
static int check_is_new(strv record, const char *target, nb_error *err) {
    mount_words words = {0};
    while (mount_next(record, &words)) {
        if (strcmp(words.target, target) == 0)
            return nb_fail(err, NB_E_INVALID, 0, "mount at '%s': two mounts have that path", target);
    }
    return 0;
}

/* ---------------------------------------------------------------------------------------------------------- the source */

static int check_host_path(const nb_mount *mount, nb_error *err) {
    struct stat status;
    if (!mount->source || mount->source[0] != '/')
        return nb_fail(err, NB_E_INVALID, 0, "mount '%s' at '%s': the host's path must be absolute", mount->source ? mount->source : "",
                       mount->target);
    if (strlen(mount->source) >= WIRE_PATH_MAX_BYTES)
        return nb_fail(err, NB_E_INVALID, 0, "mount '%.64s...' at '%s': the host's path is longer than %u bytes", mount->source,
                       mount->target, WIRE_PATH_MAX_BYTES - 1);
    if (stat(mount->source, &status) == 0) {
        if (S_ISDIR(status.st_mode) || S_ISREG(status.st_mode))
            return 0;
        return nb_fail(err, NB_E_INVALID, 0, "mount '%s' at '%s': the host's path is neither a folder nor a regular file", mount->source,
                       mount->target);
    }
    if (errno != ENOENT && errno != ENOTDIR)
        return nb_fail(err, nb_code_of_errno(errno), errno, "mount '%s' at '%s'", mount->source, mount->target);
    return nb_fail_hint(
        err, nb_fail(err, NB_E_NOT_FOUND, 0, "mount '%s' at '%s': the host has no such file or folder", mount->source, mount->target),
        "make it first: mkdir -p '%s'", mount->source);
}

static int check_volume_name(const nb_mount *mount, nb_error *err) {
    if (mount->source && name_is_valid(mount->source))
        return 0;
    return nb_fail_hint(
        err,
        nb_fail(err, NB_E_INVALID, 0,
                "mount the volume '%s' at '%s': a volume's name has 1 to 128 letters, digits, '_', '.', '-' and begins with a "
                "letter or digit",
                mount->source ? mount->source : "", mount->target),
        "for a folder of the host give its absolute path, or one that begins with ./");
}

/* ----------------------------------------------------------------------------------------------------- tmpfs's options */

typedef enum tmpfs_value { VALUE_NONE, VALUE_SIZE, VALUE_MODE, VALUE_NUMBER } tmpfs_value;

static const struct tmpfs_word {
    const char *word;
    tmpfs_value value;
    bool is_flag, is_default; /* a flag of the mount; what it is without the word too */
} tmpfs_words[] = {
    {"size", VALUE_SIZE, false, false},
    {"mode", VALUE_MODE, false, false},
    {"uid", VALUE_NUMBER, false, false},
    {"gid", VALUE_NUMBER, false, false},
    {"nr_inodes", VALUE_NUMBER, false, false},
    {WIRE_MOUNT_READ_ONLY, VALUE_NONE, true, false},
    {"rw", VALUE_NONE, true, true},
    {WIRE_MOUNT_EXEC, VALUE_NONE, true, false},
    {"noexec", VALUE_NONE, true, true},
    {WIRE_MOUNT_SUID, VALUE_NONE, true, false},
    {"nosuid", VALUE_NONE, true, true},
    {WIRE_MOUNT_DEV, VALUE_NONE, true, false},
    {"nodev", VALUE_NONE, true, true},
};

static const struct tmpfs_word *find_tmpfs_word(const char *word, size_t length) {
    for (size_t i = 0; i < ARRAY_LENGTH(tmpfs_words); i++) {
        if (strlen(tmpfs_words[i].word) == length && memcmp(tmpfs_words[i].word, word, length) == 0)
            return &tmpfs_words[i];
    }
    return NULL;
}

static bool value_is_good(tmpfs_value kind, const char *value) {
    uint64_t number;
    char *end;
    switch (kind) {
    case VALUE_NONE:
        return value == NULL;
    case VALUE_SIZE:
        return value && quantity_size(value, &number) && number > 0;
    case VALUE_MODE:
        return value && *value >= '0' && *value <= '7' && strtoul(value, &end, 8) <= MODE_MAX && *end == '\0';
    case VALUE_NUMBER:
        return value && quantity_count(value, 0, UINT32_MAX, &number);
    }
    return false;
}

/* Goes through words with commas between; @at moves on. False: there are no more. */
static bool next_option(const char **at, char word[TMPFS_OPTIONS_MAX_BYTES], char **ret_value) {
    size_t length = strcspn(*at, ",");
    if (**at == '\0' || length >= TMPFS_OPTIONS_MAX_BYTES)
        return false;
    memcpy(word, *at, length);
    word[length] = '\0';
    *at += length + ((*at)[length] == ',');
    *ret_value = strchr(word, '=');
    if (*ret_value)
        *(*ret_value)++ = '\0';
    return true;
}

static int check_tmpfs_options(const nb_mount *mount, nb_error *err) {
    const char *at = mount->options ? mount->options : "";
    char word[TMPFS_OPTIONS_MAX_BYTES], *value;
    if (mount->source && *mount->source)
        return nb_fail(err, NB_E_INVALID, 0, "mount a tmpfs at '%s': it has no source", mount->target);
    if (strlen(at) >= TMPFS_OPTIONS_MAX_BYTES)
        return nb_fail(err, NB_E_INVALID, 0, "mount a tmpfs at '%s': its options are longer than %u bytes", mount->target,
                       TMPFS_OPTIONS_MAX_BYTES - 1);
    while (next_option(&at, word, &value)) {
        const struct tmpfs_word *known = find_tmpfs_word(word, strlen(word));
        if (!known || !value_is_good(known->value, value))
            return nb_fail_hint(err,
                                nb_fail(err, NB_E_INVALID, 0, "mount a tmpfs at '%s': '%s%s%s' is no option of it", mount->target, word,
                                        value ? "=" : "", value ? value : ""),
                                "there are size=64m, mode=1777, uid=, gid=, nr_inodes=, ro, exec, suid and dev");
    }
    return 0;
}

/* What the kernel is told: flags of the mount apart from the file system's options, sizes in bytes. */
static int split_tmpfs_options(const char *options, buf *flags, buf *rest) {
    char word[TMPFS_OPTIONS_MAX_BYTES], text[TMPFS_OPTIONS_MAX_BYTES + 32], *value;
    while (next_option(&options, word, &value)) {
        const struct tmpfs_word *known = find_tmpfs_word(word, strlen(word));
        uint64_t bytes = 0;
        if (!known || known->is_default)
            continue;
        buf *to = known->is_flag ? flags : rest;
        if (known->value == VALUE_SIZE && quantity_size(value, &bytes))
            (void) snprintf(text, sizeof(text), "%s=%llu", word, (unsigned long long) bytes);
        else
            (void) snprintf(text, sizeof(text), "%s%s%s", word, value ? "=" : "", value ? value : "");
        if ((buf_length(to) > 0 && !buf_append(to, ",", 1)) || !buf_append(to, text, strlen(text)))
            return -1;
    }
    return buf_append(flags, "", 1) && buf_append(rest, "", 1) ? 0 : -1;
}

/* ----------------------------------------------------------------------------------------------------------- the whole */

static int keep(const nb_mount *mount, const char *target, buf *record, nb_error *err) {
    const char *kind = mount->kind == NB_MOUNT_BIND     ? MOUNT_RECORD_BIND
                       : mount->kind == NB_MOUNT_VOLUME ? MOUNT_RECORD_VOLUME
                                                        : MOUNT_RECORD_TMPFS;
    char options[TMPFS_OPTIONS_MAX_BYTES + sizeof(",ro")];
    (void) snprintf(options, sizeof(options), "%s%s%s", mount->options ? mount->options : "",
                    mount->options && *mount->options && mount->read_only ? "," : "", mount->read_only ? WIRE_MOUNT_READ_ONLY : "");
    if (!strv_add(record, kind) || !strv_add(record, mount->source ? mount->source : "") || !strv_add(record, target) ||
        !strv_add(record, options))
        return nb_fail_oom(err);
    return 0;
}

int mounts_keep(const nb_mounts *mounts, buf *record, nb_error *err) {
    size_t count = mounts->count + strv_count(strv_of(record)) / WIRE_MOUNT_WORDS;
    if (count > NB_MOUNTS_MAX)
        return nb_fail(err, NB_E_INVALID, 0, "mount %zu volumes: a box has at most %u", count, NB_MOUNTS_MAX);
    for (size_t i = 0; i < mounts->count; i++) {
        const nb_mount *mount = &mounts->items[i];
        CLEANUP(cleanup_free) char *target = NULL;
        int result = mount_target_clean(mount->target, &target, err);
        if (result == 0)
            result = check_is_new(strv_of(record), target, err);
        if (result < 0)
            return result;
        if (mount->kind == NB_MOUNT_BIND)
            result = check_host_path(mount, err);
        else if (mount->kind == NB_MOUNT_VOLUME)
            result = check_volume_name(mount, err);
        else if (mount->kind == NB_MOUNT_TMPFS)
            result = check_tmpfs_options(mount, err);
        else
            result = nb_fail(err, NB_E_INVALID, 0, "mount at '%s': there is no kind %d", mount->target, (int) mount->kind);
        if (result == 0 && mount->kind != NB_MOUNT_TMPFS && mount->options && *mount->options)
            result = nb_fail(err, NB_E_INVALID, 0, "mount '%s' at '%s': only a tmpfs has options", mount->source, mount->target);
        if (result == 0)
            result = keep(mount, target, record, err);
        if (result < 0)
            return result;
    }
    return 0;
}

static int order_tmpfs(const mount_words *words, buf *order, nb_error *err) {
    CLEANUP(buf_done) buf flags, rest;
    buf_init(&flags, TMPFS_OPTIONS_MAX_BYTES * 2);
    buf_init(&rest, TMPFS_OPTIONS_MAX_BYTES * 2);
    if (split_tmpfs_options(words->options, &flags, &rest) < 0 || !strv_add(order, WIRE_MOUNT_TMPFS) ||
        !strv_add(order, (const char *) buf_bytes(&flags)) || !strv_add(order, words->target) ||
        !strv_add(order, (const char *) buf_bytes(&rest)))
        return nb_fail_oom(err);
    return 0;
}

static int order_served(nb_runtime *rt, const mount_words *words, buf *order, nb_error *err) {
    CLEANUP(cleanup_free) char *folder = NULL;
    if (mount_kind(words) == NB_MOUNT_VOLUME) {
        int result = volume_make_folder(rt, words->source, &folder, err);
        if (result < 0)
            return result;
    }
    if (!strv_add(order, WIRE_MOUNT_VOLUME) || !strv_add(order, folder ? folder : words->source) || !strv_add(order, words->target) ||
        !strv_add(order, words->options))
        return nb_fail_oom(err);
    return 0;
}

int mounts_order(nb_runtime *rt, strv record, buf *order, nb_error *err) {
    mount_words words = {0};
    int result = 0;
    while (result == 0 && mount_next(record, &words))
        result = mount_kind(&words) == NB_MOUNT_TMPFS ? order_tmpfs(&words, order, err) : order_served(rt, &words, order, err);
    return result;
}
