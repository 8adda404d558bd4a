/* SPDX-License-Identifier: Apache-2.0
 *
 * store.h - the database of a home: which boxes and images there are, and how they were made
 *
 * What a box is doing is not here: that is in its folder, kept by its shim and guarded by its lock (state.h), so that no crash can make
 * the two disagree.
 */
#ifndef RUNTIME_STORE_H
#define RUNTIME_STORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct store store;

/* What its supervisor, and sweeps, see to by themselves; 0: they do not. */
typedef struct box_care {
    uint32_t restart; /* nb_restart_policy */
    uint32_t restart_retries;
    uint64_t auto_stop_ms, max_lifetime_ms, auto_delete_ms;
    strv health_command; /* as it is executed; empty: none */
    uint64_t health_interval_ms, health_timeout_ms, health_start_period_ms;
    uint32_t health_retries;
} box_care;

/* A box as it was created; strings and lists belong to the arena given when it was read. */
typedef struct box_record {
    const char *id, *name; /* name "" where it has none */
    const char *image, *image_id;
    uint64_t created_at_ms;
    strv argv, env, labels;
    strv cap_add, cap_drop, ulimits; /* as they were given */
    strv mounts;                     /* runtime/mount-record.h */
    const char *cwd, *user, *hostname;
    uint64_t memory_bytes, disk_bytes;
    uint64_t timeout_ms;
    uint64_t io_bytes_per_second; /* 0, like the next two: no limit */
    uint32_t io_operations_per_second, cpu_millis;
    uint32_t cpus, pids_max, stop_signal, stop_timeout_ms, boot_timeout_ms;
    bool tty, open_stdin, detach, auto_remove, init, keep, no_new_privileges;
    box_care care;
} box_record;

typedef struct image_record {
    const char *id, *name; /* name: the one it was found by; "" when found by id */
    const char *source;    /* what the name was made from, with its state then; "" where that cannot be known */
    uint64_t created_at_ms, size_bytes, disk_bytes;
    uint64_t used_at_ms; /* when it was last made, pulled, named, or, to the minute, a box made from it */
    strv entrypoint, command, env, labels;
    const char *cwd, *user, *stop_signal, *architecture, *os;
    strv exposed_ports, volumes, shell;
    strv health_test; /* empty: none */
    uint64_t health_interval_ns, health_timeout_ns, health_start_period_ns;
    uint32_t health_retries;
} image_record;

/* Opens or makes the database @path. -NB_E_DATABASE: damaged, or of a newer version. */
int store_open(const char *path, store **ret_store, nb_error *err);
void store_close(store *s);
/* Looks through the whole of it. -NB_E_DATABASE: something is damaged. */
int store_check(store *s, nb_error *err);

/* Its image is used now. -NB_E_ALREADY_EXISTS: the name is taken. -NB_E_NOT_FOUND: the image has gone meanwhile. */
int store_add_box(store *s, const box_record *box, nb_error *err);
/* Looks up by name, id, or an unambiguous prefix of an id. -NB_E_NOT_FOUND, -NB_E_INVALID (several begin so). */
int store_find_box(store *s, const char *name_or_id, arena *a, box_record *ret_box, nb_error *err);
/* Newest first. */
int store_list_boxes(store *s, arena *a, box_record **ret_boxes, size_t *ret_count, nb_error *err);
/* -NB_E_ALREADY_EXISTS, -NB_E_NOT_FOUND. */
int store_rename_box(store *s, const char *id, const char *name, nb_error *err);
/* What is not there is no error.
 *
 * @ret_gone  it was there */
int store_remove_box(store *s, const char *id, bool *ret_gone, nb_error *err);
/* Replaces what a box has mounted by what @change makes of it, in one transaction. Its result is the call's. */
int store_change_mounts(store *s, const char *id, int (*change)(void *user, strv before, buf *after, nb_error *err), void *user,
                        nb_error *err);
int store_has_box(store *s, const char *id, bool *ret_has, nb_error *err);

/* Records an image and gives it @image->name, which may have been another's. One that is here keeps its sizes and its age. */
int store_add_image(store *s, const image_record *image, nb_error *err);
/* Gives an image that is here @image->name, which may have been another's: it is used now. -NB_E_NOT_FOUND: the image has gone meanwhile. */
int store_name_image(store *s, const image_record *image, nb_error *err);
/* Which blobs of the layout an image was made from, a packed list of digests; they are forgotten with the image. */
int store_set_image_blobs(store *s, const char *image_id, strv digests, nb_error *err);
/* Of one image, or with NULL of all; then some stand there twice. */
int store_list_blobs(store *s, const char *image_id, arena *a, strv *ret_digests, nb_error *err);
/* By name, id, or an unambiguous prefix of an id with at least four digits, with or without "sha256:". -NB_E_NOT_FOUND, -NB_E_INVALID. */
int store_find_image(store *s, const char *name_or_id, arena *a, image_record *ret_image, nb_error *err);
/* One entry for each name, newest first. */
int store_list_images(store *s, arena *a, image_record **ret_images, size_t *ret_count, nb_error *err);
/* Images that no box is made from, without their names; what was used longest ago comes first. */
int store_list_unused_images(store *s, arena *a, image_record **ret_images, size_t *ret_count, nb_error *err);
/* Removes a name, or an id with all its names.
 *
 * @ret_gone  the image has no name left and was removed
 * -NB_E_INVALID_STATE: its last name, and a box is made from it. */
int store_remove_image(store *s, const image_record *image, bool *ret_gone, nb_error *err);

/* Whether a box is made from it. */
int store_image_is_used(store *s, const char *id, bool *ret_used, nb_error *err);

typedef struct volume_record {
    const char *name;
    uint64_t created_at_ms;
    uint64_t boxes; /* that mount it */
} volume_record;

/* Records a volume; one that is here stays as it is.
 *
 * @ret_new  it was not here */
int store_add_volume(store *s, const char *name, bool *ret_new, nb_error *err);
/* -NB_E_NOT_FOUND. */
int store_find_volume(store *s, const char *name, arena *a, volume_record *ret_volume, nb_error *err);
/* By name. */
int store_list_volumes(store *s, arena *a, volume_record **ret_volumes, size_t *ret_count, nb_error *err);
/* -NB_E_NOT_FOUND, -NB_E_INVALID_STATE (a box mounts it). */
int store_remove_volume(store *s, const char *name, nb_error *err);

int store_count(store *s, size_t *ret_boxes, size_t *ret_images, nb_error *err);

#endif
