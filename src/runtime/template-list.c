/* SPDX-License-Identifier: Apache-2.0
 *
 * template-list.c - which templates there are, and what becomes of one
 */
#include <nestbox/template.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "machine/template.h"
#include "runtime/result.h"
#include "runtime/template-info.h"
#include "runtime/template.h"
#include "wire/message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A beginning that short is more likely a slip than a key. */
#define PREFIX_MIN 4u

/* ------------------------------------------------------------------------------------------------------- what one is */

/* The image's name, of those that it has; "" where it is gone. */
static int find_image_name(nb_runtime *rt, const char *id, arena *a, const char **ret_name, nb_error *err) {
    arena records = {0};
    image_record *images = NULL;
    size_t count = 0;
    int result = *id ? store_list_images(rt->store, &records, &images, &count, err) : 0;
    *ret_name = "";
    for (size_t i = 0; result == 0 && i < count && !**ret_name; i++) {
        if (strcmp(images[i].id, id) == 0)
            *ret_name = arena_string(a, images[i].name);
    }
    arena_done(&records);
    return result;
}

/* A template without a note of what it is of says nothing of it. */
static msg_template_about read_about(const template_folder *folder, const char *key, char **ret_bytes, uint64_t *ret_created_at_ms) {
    char path[TEMPLATE_KEY_SIZE + sizeof("/" TEMPLATE_ABOUT_FILE)];
    msg_template_about about = {0};
    struct stat status;
    size_t length;
    (void) snprintf(path, sizeof(path), "%s/" TEMPLATE_ABOUT_FILE, key);
    *ret_bytes = NULL;
    *ret_created_at_ms = 0;
    if (fstatat(folder->fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0)
        *ret_created_at_ms = (uint64_t) status.st_mtim.tv_sec * 1000 + (uint64_t) status.st_mtim.tv_nsec / 1000000;
    if (file_read(folder->fd, path, TEMPLATE_ABOUT_MAX_BYTES, ret_bytes, &length) < 0 ||
        wire_decode_template_about((const uint8_t *) *ret_bytes, length, &about) < 0)
        return (msg_template_about){0};
    return about;
}

int template_info_fill(nb_runtime *rt, const template_folder *folder, const char *key, arena *a, nb_template_info *ret_info,
                       nb_error *err) {
    CLEANUP(cleanup_free) char *bytes = NULL;
    uint64_t created_at_ms, used_at_ms, size_bytes;
    const char *image = "";
    if (!template_folder_measure(folder, key, &size_bytes, &used_at_ms))
        return nb_fail(err, NB_E_NOT_FOUND, 0, "template '%s': it is gone", key);
    const msg_template_about about = read_about(folder, key, &bytes, &created_at_ms);
    const char *image_id = arena_text(a, about.image_id.at, about.image_id.length);
    int result = image_id ? find_image_name(rt, image_id, a, &image, err) : nb_fail_oom(err);
    if (result < 0)
        return result;
    *ret_info = (nb_template_info){
        .key = arena_string(a, key),
        .image_id = image_id,
        .image = image,
        .accelerator = arena_text(a, about.accelerator.at, about.accelerator.length),
        .memory_bytes = about.memory_bytes,
        .cpus = about.cpus,
        .disk_bytes = about.disk_bytes,
        .init = about.setup_flags & WIRE_SETUP_INIT,
        .size_bytes = size_bytes,
        .created_at_ms = created_at_ms,
        .used_at_ms = used_at_ms,
    };
    return a->failed ? nb_fail_oom(err) : 0;
}

/* --------------------------------------------------------------------------------------------------------------- all of them */

typedef struct keys {
    char (*items)[TEMPLATE_KEY_SIZE];
    size_t count;
    nb_error *err;
} keys;

static void keys_done(keys *k) {
    free(k->items);
}

static int add_key(void *user, const char *key) {
    keys *k = user;
    char(*grown)[TEMPLATE_KEY_SIZE] = realloc(k->items, (k->count + 1) * sizeof(*grown));
    if (!grown)
        return nb_fail_oom(k->err);
    k->items = grown;
    (void) snprintf(k->items[k->count++], TEMPLATE_KEY_SIZE, "%.*s", TEMPLATE_KEY_SIZE - 1, key);
    return 0;
}

static int compare_by_use(const void *a, const void *b) {
    const nb_template_info *one = a, *other = b;
    return one->used_at_ms == other->used_at_ms ? strcmp(one->key, other->key) : one->used_at_ms < other->used_at_ms ? 1 : -1;
}

/* The home's templates: where none are wanted, none. */
static int find_keys(const nb_runtime *rt, template_folder *folder, keys *ret_keys, nb_error *err) {
    *ret_keys = (keys){.err = err};
    int result = template_folder_open(rt, folder, err);
    if (result == 0)
        result = template_folder_each(folder, add_key, ret_keys, err);
    return result == -NB_E_UNSUPPORTED ? 0 : result;
}

/* @ret_items  room for all of @found */
static int fill_list(nb_runtime *rt, const template_folder *folder, const keys *found, arena *a, nb_template_info *ret_items,
                     size_t *ret_count, nb_error *err) {
    *ret_count = 0;
    for (size_t i = 0; i < found->count; i++) {
        int result = template_info_fill(rt, folder, found->items[i], a, &ret_items[*ret_count], err);
        if (result == 0)
            ++*ret_count;
        else if (result != -NB_E_NOT_FOUND) /* that one went meanwhile */
            return result;
    }
    if (*ret_count > 1)
        qsort(ret_items, *ret_count, sizeof(*ret_items), compare_by_use);
    return 0;
}

int nb_template_list_get(nb_runtime *rt, nb_template_list **ret_list, nb_error *err) {
    if (!rt || !ret_list)
        return nb_fail(err, NB_E_INVALID, 0, "list the templates: an argument is NULL");
    arena *a;
    CLEANUP(keys_done) keys found = {0};
    CLEANUP(template_folder_close) template_folder folder;
    int result = find_keys(rt, &folder, &found, err);
    if (result < 0)
        return nb_fail_within(err, result, "list the templates");
    nb_template_list *list = result_new(sizeof(*list), &a);
    nb_template_info *items = list ? arena_alloc(a, (found.count + 1) * sizeof(*items)) : NULL;
    size_t count = 0;
    result = items ? fill_list(rt, &folder, &found, a, items, &count, err) : nb_fail_oom(err);
    if (result < 0) {
        result_free(list);
        return result;
    }
    *list = (nb_template_list){items, count};
    *ret_list = list;
    return 0;
}

void nb_template_list_free(nb_template_list *list) {
    result_free(list);
}

/* -------------------------------------------------------------------------------------------------------------------- one */

typedef struct search {
    const char *prefix;
    size_t length, found;
    char key[TEMPLATE_KEY_SIZE];
} search;

static int match_key(void *user, const char *key) {
    search *s = user;
    if (strncmp(key, s->prefix, s->length) != 0)
        return 0;
    s->found++;
    (void) snprintf(s->key, sizeof(s->key), "%.*s", TEMPLATE_KEY_SIZE - 1, key);
    return 0;
}

/* Opens the folder too, which the caller closes in any case. */
static int find_key(const nb_runtime *rt, const char *prefix, template_folder *ret_folder, char ret_key[TEMPLATE_KEY_SIZE], nb_error *err) {
    search s = {.prefix = prefix, .length = strlen(prefix)};
    *ret_folder = (template_folder){.fd = -1};
    if (s.length < PREFIX_MIN || s.length >= TEMPLATE_KEY_SIZE || strspn(prefix, "0123456789abcdef") != s.length)
        return nb_fail(err, NB_E_INVALID, 0, "template '%.80s': a key has 64 hexadecimal digits, of which at least the first %u are given",
                       prefix, PREFIX_MIN);
    int result = template_folder_open(rt, ret_folder, err);
    if (result == 0)
        result = template_folder_each(ret_folder, match_key, &s, err);
    if (result < 0 && result != -NB_E_UNSUPPORTED)
        return nb_fail_within(err, result, "template '%s'", prefix);
    if (s.found > 1)
        return nb_fail(err, NB_E_INVALID, 0, "template '%s': %zu templates' keys begin so", prefix, s.found);
    if (s.found == 0)
        return nb_fail_hint(err, nb_fail(err, NB_E_NOT_FOUND, 0, "template '%s': there is no such template", prefix),
                            "nestbox template ls");
    memcpy(ret_key, s.key, TEMPLATE_KEY_SIZE);
    return 0;
}

int nb_template_remove(nb_runtime *rt, const char *prefix, nb_error *err) {
    char key[TEMPLATE_KEY_SIZE];
    if (!rt || !prefix)
        return nb_fail(err, NB_E_INVALID, 0, "remove a template: an argument is NULL");
    CLEANUP(template_folder_close) template_folder folder;
    int result = find_key(rt, prefix, &folder, key, err);
    if (result == 0 && template_folder_remove(&folder, key) < 0)
        result = nb_fail(err, nb_code_of_errno(errno), errno, "remove the template '%s'", key);
    return result;
}

int nb_template_verify(nb_runtime *rt, const char *prefix, nb_error *err) {
    char key[TEMPLATE_KEY_SIZE];
    if (!rt || !prefix)
        return nb_fail(err, NB_E_INVALID, 0, "verify a template: an argument is NULL");
    CLEANUP(template_folder_close) template_folder folder;
    int result = find_key(rt, prefix, &folder, key, err);
    if (result < 0)
        return result;
    CLEANUP(cleanup_free) char *path = NULL;
    if (asprintf(&path, "%s/%s", folder.path, key) < 0) {
        path = NULL;
        return nb_fail_oom(err);
    }
    result = template_verify(path, err);
    return result < 0 ? nb_fail_hint(err, nb_fail_within(err, result, "template '%.12s'", key),
                                     "nestbox template rm; the next start makes it anew")
                      : 0;
}

void template_forget_image(nb_runtime *rt, const char *image_id) {
    CLEANUP(keys_done) keys found = {0};
    CLEANUP(template_folder_close) template_folder folder;
    if (find_keys(rt, &folder, &found, NULL) < 0)
        return;
    for (size_t i = 0; i < found.count; i++) {
        CLEANUP(cleanup_free) char *bytes = NULL;
        uint64_t created_at_ms;
        const msg_template_about about = read_about(&folder, found.items[i], &bytes, &created_at_ms);
        if (about.image_id.length > 0 && about.image_id.length == strlen(image_id) &&
            memcmp(about.image_id.at, image_id, about.image_id.length) == 0)
            (void) template_folder_remove(&folder, found.items[i]);
    }
}
