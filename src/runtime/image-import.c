/* SPDX-License-Identifier: Apache-2.0
 *
 * image-import.c - a base disk made by a worker, published and recorded
 *
 * Theory of operation
 *   nestbox-image gets the source and an empty file as descriptors and makes the file a base disk; we see none of the image's bytes, only
 *   what the worker says of it in one message. The disk is made durable, renamed to its id, and then recorded: a record means a
 *   whole disk.
 */
#include "runtime/image-import.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "runtime/event.h"
#include "runtime/image-config.h"
#include "runtime/image-name.h"
#include "runtime/image-room.h"
#include "runtime/image-worker.h"
#include "runtime/image.h"
#include "runtime/progress.h"
#include "runtime/usage.h"
#include "wire/frame.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Temporary files of imports; their name ends in the id of the import, and their maker holds their lock. */
#define TEMPORARY_PREFIX ".new-"

/* Imports wait for each other, so that two programs do not make the same disk twice. */
#define IMPORT_LOCK_FILE "lock"

#define SHA256_ID_LENGTH (7 + 64)

static bool id_is_sha256(const char *id) {
    return strlen(id) == SHA256_ID_LENGTH && strncmp(id, "sha256:", 7) == 0 && strspn(id + 7, "0123456789abcdef") == 64;
}

void image_disk_name(const char *id, char ret_name[IMAGE_DISK_NAME_SIZE]) {
    (void) snprintf(ret_name, IMAGE_DISK_NAME_SIZE, "%s.ext4", id + sizeof("sha256:") - 1);
}

char *image_disk_path(const nb_runtime *rt, const char *id) {
    char name[IMAGE_DISK_NAME_SIZE], *path;
    image_disk_name(id, name);
    return asprintf(&path, "%s/" HOME_IMAGES "/%s", rt->home, name) < 0 ? NULL : path;
}

bool image_disk_exists(const nb_runtime *rt, const char *id) {
    CLEANUP(cleanup_free) char *path = image_disk_path(rt, id);
    return path && access(path, R_OK) == 0;
}

static int take_imported(const uint8_t *bytes, size_t length, arena *a, image_record *ret_image, nb_error *err) {
    msg_imported m;
    uint64_t now_ms = clock_wall_ms();
    image_record image = {.source = "", .created_at_ms = now_ms, .used_at_ms = now_ms};
    if (wire_decode_imported(bytes, length, &m) < 0 || (!image_config_take(m.config, a, &image) && !a->failed))
        return nb_fail(err, NB_E_PROTOCOL, 0, "understand the image worker's answer");
    image.id = arena_text(a, m.id.at, m.id.length);
    image.name = arena_text(a, m.name.at, m.name.length);
    image.disk_bytes = m.disk_bytes;
    if (a->failed)
        return nb_fail_oom(err);
    if (!id_is_sha256(image.id))
        return nb_fail(err, NB_E_PROTOCOL, 0, "understand the image worker's answer: '%s' is no id", image.id);
    *ret_image = image;
    return 0;
}

/* Has the worker make the disk. */
static int ask_worker(nb_runtime *rt, const import_order *order, int disk, arena *a, image_record *ret_image, nb_error *err) {
    CLEANUP(buf_done) buf bytes, config;
    const image_limits *limits = &order->settings->limits;
    const uint8_t *answer;
    size_t length;
    buf_init(&bytes, WIRE_READ_BUFFER_BYTES);
    buf_init(&config, WIRE_IMAGE_CONFIG_MAX_BYTES);
    if (order->config && !wire_encode_image_config(&config, order->config))
        return nb_fail_full(err, &config, "the image's command or another text of it is too long");
    msg_import import = {
        .kind = order->kind,
        .reference = wire_str(order->tag),
        .architecture = wire_str(order->architecture),
        .config = {buf_bytes(&config), buf_length(&config)},
        .changes = order->changes,
        .max_layers = limits->max_layers,
        .max_entries = limits->max_entries,
        .max_bytes = limits->max_bytes,
        .max_ratio = limits->max_ratio,
        .max_manifest_bytes = limits->max_manifest_bytes,
    };
    if (!wire_control(&bytes, wire_encode_import, &import))
        return nb_fail_full(err, &bytes, "the image's tag, or what is to be changed, is too long");
    int result = image_worker_ask(rt, &embedded_image, (const int[]){order->source, disk}, 2, &bytes, order->feed, order->until, &answer,
                                  &length, err);
    if (result == -NB_E_TIMEOUT && deadline_passed(order->until))
        return image_settings_time_is_over(order->settings, err);
    return result < 0 ? result : take_imported(answer, length, a, ret_image, err);
}

/* Finishes the disk, and sees whether there may be one that large. */
static int finish_disk(const import_order *order, int disk, image_record *image, nb_error *err) {
    struct stat status;
    if (fchmod(disk, 0400) < 0 || fsync(disk) < 0 || fstat(disk, &status) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "finish the base disk of '%s'", image->id);
    image->size_bytes = (uint64_t) status.st_blocks * USAGE_BLOCK_BYTES;
    return image_room_fits(order->settings, image->size_bytes + order->blobs_bytes, err);
}

/* Publishes a finished disk under its id. */
static int publish_disk(nb_runtime *rt, const char *temporary, const image_record *image, nb_error *err) {
    char name[IMAGE_DISK_NAME_SIZE];
    image_disk_name(image->id, name);
    /* Two sources may give one image; boxes may be using the disk that is there, and it is the same. */
    if (faccessat(rt->images, name, F_OK, 0) == 0)
        return 0;
    if (renameat(rt->images, temporary, rt->images, name) < 0 || fsync(rt->images) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "publish the base disk '%s'", name);
    return 0;
}

static int import_image(nb_runtime *rt, const import_order *order, arena *a, image_record *ret_image, nb_error *err) {
    char temporary[sizeof(TEMPORARY_PREFIX) + ID_SIZE], id[ID_SIZE];
    if (id_generate(id) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "take random bytes from the kernel");
    (void) snprintf(temporary, sizeof(temporary), TEMPORARY_PREFIX "%s", id);
    CLEANUP(cleanup_fd) int sweeping = home_lock(rt, err); /* between the file's making and its locking nobody must sweep */
    if (sweeping < 0)
        return sweeping;
    CLEANUP(cleanup_fd) int disk = openat(rt->images, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (disk < 0 || lock_take(disk) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make a file in '%s/" HOME_IMAGES "'", rt->home);
    sweeping = fd_close(sweeping);
    image_record image;
    int result = ask_worker(rt, order, disk, a, &image, err);
    if (result == 0)
        result = finish_disk(order, disk, &image, err);
    if (result == 0)
        result = publish_disk(rt, temporary, &image, err);
    (void) unlinkat(rt->images, temporary, 0); /* published under its own name, or worth nothing */
    if (result == 0)
        *ret_image = image;
    return result;
}

int image_import_lock(nb_runtime *rt, int64_t wait_ms, nb_error *err) {
    CLEANUP(cleanup_fd) int fd = openat(rt->images, IMPORT_LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "open the lock of '%s/" HOME_IMAGES "'", rt->home);
    int result = progress_wait_for_lock(rt, fd, wait_ms, "another program's import", err);
    return result < 0 ? result : take_fd(&fd);
}

/* An archive may say "docker.io/library/web:1" of what everybody calls "web:1"; a tag alone is left as it is. */
static const char *name_in_archive(const image_record *image, arena *a) {
    CLEANUP(image_name_done) image_name name = {0};
    if (!image->name[0])
        return image->id;
    CLEANUP(cleanup_free)
    char *familiar = strchr(image->name, '/') && image_name_parse(image->name, &name, NULL) == 0 ? image_name_familiar(&name) : NULL;
    return familiar ? arena_string(a, familiar) : image->name;
}

int image_import_named(nb_runtime *rt, const import_order *order, const char *name, const char *source, arena *a, image_record *ret_image,
                       nb_error *err) {
    image_record image;
    int result = import_image(rt, order, a, &image, err);
    if (result < 0)
        return result;
    image.name = name[0] ? arena_string(a, name) : name_in_archive(&image, a);
    image.source = arena_string(a, source);
    result = a->failed ? nb_fail_oom(err) : store_add_image(rt->store, &image, err);
    if (result < 0)
        return result;
    if (order->event)
        event_tell_one(rt, EVENT_IMAGE, order->event, image.id, EVENT_NAME, image.name);
    *ret_image = image;
    return 0;
}

void image_sweep(nb_runtime *rt) {
    DIR *folder = file_list(rt->images);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        if (strncmp(entry->d_name, TEMPORARY_PREFIX, sizeof(TEMPORARY_PREFIX) - 1) != 0)
            continue;
        CLEANUP(cleanup_fd) int fd = openat(rt->images, entry->d_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0 && !lock_is_held(fd)) {
            log_info(&rt->log, "image: removing '%s', which an import that was killed left behind", entry->d_name);
            (void) unlinkat(rt->images, entry->d_name, 0);
        }
    }
    if (folder)
        (void) closedir(folder);
}
