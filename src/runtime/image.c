/* SPDX-License-Identifier: Apache-2.0
 *
 * image.c - images of a home: made ready, looked at, removed
 *
 * A name remembers what its source looked like (device, inode, size, times), so that the next use of an unchanged source costs one stat.
 */
#include "runtime/image.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/file.h"
#include "runtime/event.h"
#include "runtime/image-config.h"
#include "runtime/image-import.h"
#include "runtime/image-reference.h"
#include "runtime/image-room.h"
#include "runtime/options.h"
#include "runtime/pull.h"
#include "runtime/result.h"
#include "runtime/template.h"
#include "wire/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------------------- prepare */

static const char *kind_name(uint8_t kind) {
    static const char *const names[] = {[WIRE_IMAGE_ROOTFS] = "rootfs",           [WIRE_IMAGE_OCI_LAYOUT] = "oci",
                                        [WIRE_IMAGE_OCI_ARCHIVE] = "oci-archive", [WIRE_IMAGE_DOCKER_ARCHIVE] = "docker-archive",
                                        [WIRE_IMAGE_DIRECTORY] = "dir",           [WIRE_IMAGE_ARCHIVE] = "archive"};
    return names[kind];
}

/* What the source looks like now, or "" where a look at one file cannot tell whether it changed. */
static int describe_source(const image_reference *reference, int source, arena *a, const char **ret_text, nb_error *err) {
    struct stat status;
    char *text;
    if (reference->kind == WIRE_IMAGE_DIRECTORY) {
        *ret_text = "";
        return 0;
    }
    int result =
        reference->kind == WIRE_IMAGE_OCI_LAYOUT ? fstatat(source, "index.json", &status, AT_SYMLINK_NOFOLLOW) : fstat(source, &status);
    if (result < 0)
        return nb_fail_hint(err, nb_fail(err, NB_E_IMAGE, errno, "read '%s/index.json'", reference->path),
                            "an OCI layout is a folder that has one");
    if (asprintf(&text, "%s:%s:%s:%ju:%ju:%jd:%jd.%09ld:%jd.%09ld", kind_name(reference->kind), reference->path, reference->tag,
                 (uintmax_t) status.st_dev, (uintmax_t) status.st_ino, (intmax_t) status.st_size, (intmax_t) status.st_mtim.tv_sec,
                 status.st_mtim.tv_nsec, (intmax_t) status.st_ctim.tv_sec, status.st_ctim.tv_nsec) < 0)
        return nb_fail_oom(err);
    *ret_text = arena_string(a, text);
    free(text);
    return 0;
}

static bool is_ready(nb_runtime *rt, const char *name, const char *source, arena *a, image_record *ret_image) {
    image_record image;
    if (!source[0] || store_find_image(rt->store, name, a, &image, NULL) < 0 || strcmp(image.source, source) != 0 ||
        !image_disk_exists(rt, image.id))
        return false;
    *ret_image = image;
    return true;
}

static int open_source(const image_reference *reference, nb_error *err) {
    bool folder = reference->kind == WIRE_IMAGE_OCI_LAYOUT || reference->kind == WIRE_IMAGE_DIRECTORY;
    int fd = open(reference->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (folder ? O_DIRECTORY : 0));
    return fd < 0 ? nb_fail(err, nb_code_of_errno(errno), errno, "open '%s'", reference->path) : fd;
}

static int prepare_from(nb_runtime *rt, const image_reference *reference, const char *name, strv command, arena *a, image_record *ret_image,
                        nb_error *err) {
    const char *source_text = "";
    CLEANUP(cleanup_fd) int source = open_source(reference, err);
    if (source < 0)
        return source;
    int result = describe_source(reference, source, a, &source_text, err);
    if (result < 0 || is_ready(rt, name, source_text, a, ret_image))
        return result;
    image_settings settings;
    if ((result = image_settings_load(&settings, err)) < 0)
        return result;
    CLEANUP(cleanup_fd) int lock = image_import_lock(rt, image_settings_time_ms(&settings), err);
    if (lock < 0)
        return lock;
    if (is_ready(rt, name, source_text, a, ret_image)) /* made while we waited */
        return 0;
    log_info(&rt->log, "image: making '%s' ready from '%s'", name, reference->path);
    msg_image_config config = image_config_plain(command);
    import_order order = {.kind = reference->kind,
                          .source = source,
                          .tag = reference->tag,
                          .architecture = host_architecture(),
                          .config = &config,
                          .settings = &settings,
                          .event = "import",
                          .until = deadline_in(image_settings_time_ms(&settings))};
    result = nb_fail_within(err, image_import_named(rt, &order, name, source_text, a, ret_image, err), "use the image '%s'", name);
    lock = fd_close(lock);
    if (result == 0)
        image_make_room(rt, &settings, ret_image->id);
    return result;
}

static int prepare_built_in(nb_runtime *rt, arena *a, image_record *ret_image, nb_error *err) {
    static const char shell[] = "sh";
    guest_bundle bundle;
    int result = guest_bundle_find(&bundle, err);
    if (result < 0)
        return result;
    image_reference reference = {.kind = WIRE_IMAGE_ROOTFS, .path = bundle.busybox, .tag = (char *) ""};
    result = prepare_from(rt, &reference, BUILT_IN_IMAGE, (strv){shell, sizeof(shell)}, a, ret_image, err);
    guest_bundle_done(&bundle);
    return result;
}

static int use_recorded(nb_runtime *rt, const char *name, arena *a, image_record *ret_image, nb_error *err) {
    image_record image;
    int result = store_find_image(rt->store, name, a, &image, err);
    if (result == 0 && !image_disk_exists(rt, image.id))
        return nb_fail_hint(err, nb_fail(err, NB_E_STORAGE, 0, "use the image '%s': its base disk is gone from the home", name),
                            "remove it with nestbox rmi and make it again");
    if (result == 0)
        *ret_image = image;
    return result;
}

/* Whether an image that is here is what is wanted. */
static bool platform_fits(const image_record *image, const image_wish *wish) {
    return !wish->architecture[0] || strcmp(image->architecture, wish->architecture) == 0;
}

/* A name as it was given, or as a pull records it; then the registry, as the policy says. */
static int prepare_by_name(nb_runtime *rt, const image_wish *wish, arena *a, image_record *ret_image, nb_error *err) {
    CLEANUP(image_name_done) image_name name = {0};
    int result = -NB_E_NOT_FOUND;
    if (wish->pull != NB_PULL_ALWAYS)
        result = use_recorded(rt, wish->reference, a, ret_image, err);
    if (result == 0 && !platform_fits(ret_image, wish))
        result = -NB_E_NOT_FOUND;
    if (result != -NB_E_NOT_FOUND)
        return result;
    if (strcmp(wish->reference, BUILT_IN_IMAGE) == 0)
        return prepare_built_in(rt, a, ret_image, err);
    nb_error parsing = {0};
    int parsed = image_name_parse(wish->reference, &name, &parsing);
    CLEANUP(cleanup_free) char *familiar = parsed == 0 ? image_name_familiar(&name) : NULL;
    if (parsed < 0 || !familiar) {
        if (err)
            *err = parsing;
        return parsed < 0 ? parsed : nb_fail_oom(err);
    }
    if (wish->pull != NB_PULL_ALWAYS && use_recorded(rt, familiar, a, ret_image, err) == 0 && platform_fits(ret_image, wish))
        return 0;
    if (wish->pull == NB_PULL_NEVER)
        return nb_fail_hint(err, nb_fail(err, NB_E_NOT_FOUND, 0, "the image '%s' is not here", wish->reference),
                            "without --pull never it is fetched first");
    return image_pull(rt, &name, familiar, wish, a, ret_image, err);
}

/* What is no name in a registry is made from what it names, or already is here. */
static int prepare(nb_runtime *rt, const image_wish *wish, arena *a, image_record *ret_image, nb_error *err) {
    CLEANUP(image_reference_done) image_reference reference = {0};
    int result = image_reference_parse(wish->reference, &reference, err);
    if (result < 0)
        return result;
    if (wish->pull == NB_PULL_NEVER && (reference.kind || strcmp(wish->reference, BUILT_IN_IMAGE) == 0))
        return nb_fail_hint(err, use_recorded(rt, wish->reference, a, ret_image, err), "without --pull never it is made ready first");
    if (reference.kind)
        return prepare_from(rt, &reference, wish->reference, (strv){0}, a, ret_image, err);
    if (strcmp(wish->reference, BUILT_IN_IMAGE) == 0)
        return prepare_built_in(rt, a, ret_image, err);
    return prepare_by_name(rt, wish, a, ret_image, err);
}

int image_prepare(nb_runtime *rt, const image_wish *wish, const char *name, arena *a, image_record *ret_image, nb_error *err) {
    int result = prepare(rt, wish, a, ret_image, err);
    if (result < 0 || !name)
        return result;
    image_record named = *ret_image;
    named.name = arena_string(a, name);
    named.source = "";
    result = a->failed ? nb_fail_oom(err) : store_name_image(rt->store, &named, err);
    if (result == 0)
        *ret_image = named;
    return result;
}

int image_wish_make(const char *reference, const char *platform, nb_pull_policy pull, image_wish *ret_wish, nb_error *err) {
    image_wish wish = {.reference = reference, .pull = pull};
    if (!platform || !*platform) {
        *ret_wish = wish;
        return 0;
    }
    const char *os = "linux/", *at = platform;
    if (strncmp(at, os, strlen(os)) == 0)
        at += strlen(os);
    size_t length = strcspn(at, "/");
    const char *variant = at[length] ? at + length + 1 : "";
    if (length == 0 || length >= sizeof(wish.architecture) || strlen(variant) >= sizeof(wish.variant) || strchr(variant, '/'))
        return nb_fail_hint(err,
                            nb_fail(err, NB_E_INVALID, 0, "use the platform '%.100s': it is not linux/ARCHITECTURE[/VARIANT]", platform),
                            "linux/amd64, linux/arm64, linux/arm/v7 are some");
    (void) snprintf(wish.architecture, sizeof(wish.architecture), "%.*s", (int) length, at);
    (void) snprintf(wish.variant, sizeof(wish.variant), "%s", variant);
    *ret_wish = wish;
    return 0;
}

/* ---------------------------------------------------------------------------------------------------- the public calls */

static void fill_info(nb_image_info *info, arena *a, const image_record *image) {
    *info = (nb_image_info){
        .id = arena_string(a, image->id),
        .name = arena_string(a, image->name),
        .created_at_ms = image->created_at_ms,
        .size_bytes = image->size_bytes,
        .disk_bytes = image->disk_bytes,
        .entrypoint = result_strings(a, image->entrypoint),
        .command = result_strings(a, image->command),
        .environment = result_strings(a, image->env),
        .working_directory = arena_string(a, image->cwd),
        .user = arena_string(a, image->user),
        .stop_signal = arena_string(a, image->stop_signal),
        .architecture = arena_string(a, image->architecture),
        .os = arena_string(a, image->os),
        .exposed_ports = result_strings(a, image->exposed_ports),
        .volumes = result_strings(a, image->volumes),
        .labels = result_strings(a, image->labels),
        .shell = result_strings(a, image->shell),
        .health_check = {.test = result_strings(a, image->health_test),
                         .interval_ns = image->health_interval_ns,
                         .timeout_ns = image->health_timeout_ns,
                         .start_period_ns = image->health_start_period_ns,
                         .retries = image->health_retries},
    };
}

int image_give(const image_record *image, nb_image_info **ret_image, nb_error *err) {
    arena *a;
    nb_image_info *info = result_new(sizeof(*info), &a);
    if (info)
        fill_info(info, a, image);
    if (!info || a->failed) {
        result_free(info);
        return nb_fail_oom(err);
    }
    *ret_image = info;
    return 0;
}

int nb_image_prepare(nb_runtime *rt, const char *reference, const char *name, nb_image_info **ret_image, nb_error *err) {
    if (!rt || !reference || !ret_image)
        return nb_fail(err, NB_E_INVALID, 0, "prepare an image: an argument is NULL");
    arena a = {0};
    image_record image;
    int result = image_prepare(rt, &(image_wish){.reference = reference}, name, &a, &image, err);
    if (result == 0)
        result = image_give(&image, ret_image, err);
    arena_done(&a);
    return result;
}

int nb_image_pull(nb_runtime *rt, const char *reference, const char *platform, nb_image_info **ret_image, nb_error *err) {
    if (!rt || !reference || !ret_image)
        return nb_fail(err, NB_E_INVALID, 0, "pull an image: an argument is NULL");
    arena a = {0};
    image_wish wish;
    image_record image;
    int result = image_wish_make(reference, platform, NB_PULL_ALWAYS, &wish, err);
    if (result == 0)
        result = image_prepare(rt, &wish, NULL, &a, &image, err);
    if (result == 0)
        result = image_give(&image, ret_image, err);
    arena_done(&a);
    return result;
}

int nb_image_list_get(nb_runtime *rt, nb_image_list **ret_list, nb_error *err) {
    if (!rt || !ret_list)
        return nb_fail(err, NB_E_INVALID, 0, "list images: an argument is NULL");
    arena records = {0};
    image_record *images = NULL;
    size_t count = 0;
    int result = store_list_images(rt->store, &records, &images, &count, err);
    arena *a;
    nb_image_list *list = result < 0 ? NULL : result_new(sizeof(*list), &a);
    if (list) {
        nb_image_info *items = arena_alloc(a, count * sizeof(*items));
        for (size_t i = 0; items && i < count; i++)
            fill_info(&items[i], a, &images[i]);
        *list = (nb_image_list){items, items ? count : 0};
    }
    arena_done(&records);
    if (result == 0 && (!list || a->failed)) {
        result_free(list);
        return nb_fail_oom(err);
    }
    if (result == 0)
        *ret_list = list;
    return result;
}

void nb_image_list_free(nb_image_list *list) {
    result_free(list);
}

int image_find(nb_runtime *rt, const char *name_or_id, arena *a, image_record *ret_image, nb_error *err) {
    CLEANUP(image_name_done) image_name name = {0};
    int result = store_find_image(rt->store, name_or_id, a, ret_image, err);
    if (result != -NB_E_NOT_FOUND || image_name_parse(name_or_id, &name, NULL) < 0)
        return result;
    CLEANUP(cleanup_free) char *familiar = image_name_familiar(&name);
    return familiar && store_find_image(rt->store, familiar, a, ret_image, NULL) == 0 ? 0 : result;
}

int image_take_disk_size(const image_record *image, const char *named, uint64_t *bytes, nb_error *err) {
    if (*bytes && *bytes < image->disk_bytes)
        return nb_fail(err, NB_E_INVALID, 0, "disk: %" PRIu64 " bytes are less than the image '%s' takes: %" PRIu64, *bytes, named,
                       image->disk_bytes);
    if (!*bytes)
        *bytes = image->disk_bytes > NB_DISK_DEFAULT_BYTES ? image->disk_bytes : NB_DISK_DEFAULT_BYTES;
    return 0;
}

int nb_image_inspect(nb_runtime *rt, const char *name_or_id, nb_image_info **ret_image, nb_error *err) {
    if (!rt || !name_or_id || !ret_image)
        return nb_fail(err, NB_E_INVALID, 0, "look at an image: an argument is NULL");
    arena a = {0};
    image_record image;
    int result = image_find(rt, name_or_id, &a, &image, err);
    if (result == 0)
        result = image_give(&image, ret_image, err);
    arena_done(&a);
    return result;
}

void nb_image_free(nb_image_info *image) {
    result_free(image);
}

int image_name_for_tag(const char *name, char **ret_familiar, nb_error *err) {
    CLEANUP(image_name_done) image_name parsed = {0};
    int result = image_name_parse(name, &parsed, err);
    if (result == 0 && parsed.digest)
        result = nb_fail(err, NB_E_INVALID, 0, "tag the image as '%s': a digest is no tag", name);
    if (result < 0)
        return result;
    *ret_familiar = image_name_familiar(&parsed);
    return *ret_familiar ? 0 : nb_fail_oom(err);
}

int nb_image_tag(nb_runtime *rt, const char *name_or_id, const char *name, nb_error *err) {
    if (!rt || !name_or_id || !name)
        return nb_fail(err, NB_E_INVALID, 0, "tag an image: an argument is NULL");
    CLEANUP(cleanup_free) char *familiar = NULL;
    arena a = {0};
    image_record image;
    int result = image_name_for_tag(name, &familiar, err);
    if (result == 0)
        result = image_find(rt, name_or_id, &a, &image, err);
    if (result == 0) {
        image.name = familiar;
        if (strncmp(image.source, IMAGE_SOURCE_REGISTRY, strlen(IMAGE_SOURCE_REGISTRY)) != 0)
            image.source = "";
        result = nb_fail_within(err, store_name_image(rt->store, &image, err), "tag the image as '%s'", name);
    }
    if (result == 0)
        event_tell_one(rt, EVENT_IMAGE, "tag", image.id, EVENT_NAME, familiar);
    arena_done(&a);
    return result;
}

int image_forget(nb_runtime *rt, const image_record *image, arena *a, strv *ret_blobs, bool *ret_gone, nb_error *err) {
    int result = store_list_blobs(rt->store, image->id, a, ret_blobs, err);
    if (result == 0)
        result = store_remove_image(rt->store, image, ret_gone, err);
    if (result < 0)
        return result;
    event_tell_one(rt, EVENT_IMAGE, *ret_gone ? "remove" : "untag", image->id, EVENT_NAME, image->name);
    if (!*ret_gone)
        return 0;
    template_forget_image(rt, image->id);
    CLEANUP(cleanup_free) char *path = image_disk_path(rt, image->id);
    if (!path || (unlink(path) < 0 && errno != ENOENT))
        result = nb_fail(err, nb_code_of_errno(errno), errno, "remove its base disk");
    return result;
}

static int remove_image(nb_runtime *rt, const image_record *image, arena *a, bool *ret_gone, nb_error *err) {
    strv blobs = {0};
    int result = image_forget(rt, image, a, &blobs, ret_gone, err);
    if (*ret_gone)
        pull_sweep(rt, blobs);
    return result;
}

int nb_image_remove(nb_runtime *rt, const char *name_or_id, nb_error *err) {
    if (!rt || !name_or_id)
        return nb_fail(err, NB_E_INVALID, 0, "remove an image: an argument is NULL");
    arena a = {0};
    image_record image;
    bool gone = false;
    int result = image_find(rt, name_or_id, &a, &image, err);
    if (result == 0)
        result = nb_fail_within(err, remove_image(rt, &image, &a, &gone, err), "remove the image '%s'", name_or_id);
    arena_done(&a);
    return result;
}

int nb_image_prune(nb_runtime *rt, bool all, nb_image_list **ret_removed, nb_error *err) {
    if (!rt || !ret_removed)
        return nb_fail(err, NB_E_INVALID, 0, "prune images: an argument is NULL");
    arena records = {0};
    arena *a;
    image_record *images = NULL;
    size_t count = 0;
    int result = store_list_images(rt->store, &records, &images, &count, err);
    nb_image_list *list = result < 0 ? NULL : result_new(sizeof(*list), &a);
    nb_image_info *items = list ? arena_alloc(a, (count + 1) * sizeof(*items)) : NULL;
    size_t removed = 0;
    for (size_t i = 0; result == 0 && items && i < count; i++) {
        bool gone = false, used = false;
        if (images[i].name[0] && !all)
            continue;
        result = store_image_is_used(rt->store, images[i].id, &used, err);
        if (result == 0 && !used)
            result = nb_fail_within(err, remove_image(rt, &images[i], &records, &gone, err), "remove the image '%s'", images[i].id);
        if (result == -NB_E_INVALID_STATE) /* a box was made from it just now */
            result = 0;
        if (result == 0 && gone)
            fill_info(&items[removed++], a, &images[i]);
    }
    arena_done(&records);
    if (result == 0 && (!list || !items || a->failed))
        result = nb_fail_oom(err);
    if (result < 0) {
        result_free(list);
        return result;
    }
    *list = (nb_image_list){items, removed};
    *ret_removed = list;
    return 0;
}
