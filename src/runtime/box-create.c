/* SPDX-License-Identifier: Apache-2.0
 *
 * box-create.c - making a box: options checked and merged with the image's, a disk, a record
 *
 * Theory of operation
 *   The folder is made under a temporary name and its lock held by us; when all is in it, it is renamed to the box's id and then recorded,
 *   in this order, so that whoever finds the record finds a whole folder. A folder without a record and without a held lock is what a
 *   crash left, and box_sweep() removes it.
 */
#include "runtime/box.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"
#include "base/size.h"
#include "machine/qcow2.h"
#include "runtime/care.h"
#include "runtime/event.h"
#include "runtime/image-config.h"
#include "runtime/image.h"
#include "runtime/mount.h"
#include "runtime/options.h"
#include "runtime/privileges.h"
#include "wire/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* sethostname(2) takes 64 bytes. */
#define HOSTNAME_MAX_BYTES 64u

static int check_options(const nb_box_options *o, nb_error *err) {
    if (!o->image || !*o->image)
        return nb_fail(err, NB_E_INVALID, 0, "create a box: no image is named");
    if (o->name && options_check_name(o->name, err) < 0)
        return -NB_E_INVALID;
    if (o->hostname && (!*o->hostname || strlen(o->hostname) > HOSTNAME_MAX_BYTES || strpbrk(o->hostname, " \t\n/")))
        return nb_fail(err, NB_E_INVALID, 0, "host name '%s': it must have 1 to %u characters, none of them white space or '/'",
                       o->hostname, HOSTNAME_MAX_BYTES);
    if (o->working_directory && o->working_directory[0] != '/')
        return nb_fail(err, NB_E_INVALID, 0, "working directory '%s': it must be an absolute path", o->working_directory);
    if (o->stop_signal && *o->stop_signal && signal_number(o->stop_signal) == 0)
        return nb_fail(err, NB_E_INVALID, 0, "stop signal '%s': there is no such signal", o->stop_signal);
    if (o->keep && (o->command.count > 0 || o->entrypoint.count > 0))
        return nb_fail(err, NB_E_INVALID, 0, "create a box: it cannot both have a command and be kept without one");
    int result = options_check_range(o->memory_bytes, NB_MEMORY_MIN_BYTES, NB_MEMORY_MAX_BYTES, "memory", err);
    if (result == 0)
        result = options_check_range(o->disk_bytes, NB_DISK_MIN_BYTES, NB_DISK_MAX_BYTES, "disk", err);
    if (result == 0)
        result = options_check_range(o->cpus, 1, NB_CPUS_MAX, "cpus", err);
    if (result == 0)
        result = options_check_range(o->cpu_millis, NB_CPU_MILLIS_MIN, (uint64_t) (o->cpus ? o->cpus : NB_CPUS_MAX) * 1000,
                                     "thousandths of cpus", err);
    if (result == 0)
        result = options_check_range(o->io_bytes_per_second, NB_IO_BYTES_MIN, NB_IO_BYTES_MAX, "bytes of the disk per second", err);
    if (result == 0)
        result = options_check_range(o->io_operations_per_second, 1, NB_IO_OPERATIONS_MAX, "operations of the disk per second", err);
    if (result == 0)
        result = care_check(o, err);
    if (result == 0)
        result = options_check_pairs(o->environment, "environment variable", err);
    if (result == 0)
        result = options_check_pairs(o->labels, "label", err);
    return result;
}

/* What the box runs, Docker's way: an entrypoint given replaces the image's command too. */
static int merge_command(const nb_box_options *o, const image_record *image, buf *argv, nb_error *err) {
    bool own_entrypoint = o->entrypoint.count > 0 || o->clear_entrypoint;
    int result = options_add_strings(argv, o->entrypoint, "entrypoint", err);
    if (result == 0 && !own_entrypoint && !buf_append(argv, image->entrypoint.at, image->entrypoint.bytes))
        result = nb_fail_oom(err);
    if (result == 0)
        result = options_add_strings(argv, o->command, "command", err);
    if (result == 0 && o->command.count == 0 && !own_entrypoint && !buf_append(argv, image->command.at, image->command.bytes))
        result = nb_fail_oom(err);
    if (result == 0 && buf_length(argv) == 0)
        result =
            nb_fail_hint(err, nb_fail(err, NB_E_INVALID, 0, "create a box: no command was given and the image '%s' has none", o->image),
                         "name the command after the image");
    return result;
}

static int merge_environment(const nb_box_options *o, const image_record *image, const char *hostname, buf *env, nb_error *err) {
    buf defaults, given, merged;
    buf_init(&defaults, WIRE_ENV_MAX_BYTES);
    buf_init(&given, WIRE_ENV_MAX_BYTES);
    buf_init(&merged, WIRE_ENV_MAX_BYTES);
    char host[sizeof("HOSTNAME=") + HOSTNAME_MAX_BYTES + 1];
    (void) snprintf(host, sizeof(host), "HOSTNAME=%s", hostname);
    int result = options_add_strings(&given, o->environment, "environment", err);
    if (result == 0 &&
        (!strv_add(&defaults, IMAGE_DEFAULT_PATH) || !strv_add(&defaults, host) || (o->tty && !strv_add(&defaults, "TERM=xterm")) ||
         !strv_env_merge(&merged, strv_of(&defaults), image->env) || !strv_env_merge(env, strv_of(&merged), strv_of(&given))))
        result = defaults.no_memory || merged.no_memory
                     ? nb_fail_oom(err)
                     : nb_fail_full(err, env, "use the environment: it is longer than %u bytes", WIRE_ENV_MAX_BYTES);
    buf_done(&defaults);
    buf_done(&given);
    buf_done(&merged);
    return result;
}

static int merge_labels(const nb_box_options *o, const image_record *image, buf *labels, nb_error *err) {
    CLEANUP(buf_done) buf given;
    buf_init(&given, WIRE_ENV_MAX_BYTES);
    int result = options_add_strings(&given, o->labels, "labels", err);
    if (result == 0 && !strv_env_merge(labels, image->labels, strv_of(&given)))
        result = nb_fail_full(err, labels, "use the labels: with the image's they are longer than %u bytes", WIRE_ENV_MAX_BYTES);
    return result;
}

/* What a box's record points to. */
typedef struct box_lists {
    buf argv, env, labels, cap_add, cap_drop, ulimits, mounts, health_command;
} box_lists;

static void box_lists_init(box_lists *l) {
    buf_init(&l->argv, WIRE_ARGV_MAX_BYTES);
    buf_init(&l->env, WIRE_ENV_MAX_BYTES);
    buf_init(&l->labels, WIRE_ENV_MAX_BYTES);
    buf_init(&l->cap_add, OPTIONS_LIST_MAX_BYTES);
    buf_init(&l->cap_drop, OPTIONS_LIST_MAX_BYTES);
    buf_init(&l->ulimits, OPTIONS_LIST_MAX_BYTES);
    buf_init(&l->mounts, MOUNT_RECORD_MAX_BYTES);
    buf_init(&l->health_command, WIRE_IMAGE_LIST_MAX_BYTES);
}

static void box_lists_done(box_lists *l) {
    buf_done(&l->argv);
    buf_done(&l->env);
    buf_done(&l->labels);
    buf_done(&l->cap_add);
    buf_done(&l->cap_drop);
    buf_done(&l->ulimits);
    buf_done(&l->mounts);
    buf_done(&l->health_command);
}

/* Kept as they were given; that they can be used is found out now. */
static int keep_privileges(const nb_box_options *o, box_lists *lists, nb_error *err) {
    privileges tried = {0};
    int result = options_add_strings(&lists->cap_add, o->cap_add, "capabilities to add", err);
    if (result == 0)
        result = options_add_strings(&lists->cap_drop, o->cap_drop, "capabilities to drop", err);
    if (result == 0)
        result = options_add_strings(&lists->ulimits, o->ulimits, "limits", err);
    if (result == 0)
        result = privileges_add(&tried, strv_of(&lists->cap_add), strv_of(&lists->cap_drop), strv_of(&lists->ulimits), false, err);
    privileges_done(&tried);
    return result;
}

static int fill_lists(const nb_box_options *o, const image_record *image, const char *hostname, box_lists *lists, nb_error *err) {
    int result = o->keep ? 0 : merge_command(o, image, &lists->argv, err);
    if (result == 0)
        result = merge_environment(o, image, hostname, &lists->env, err);
    if (result == 0)
        result = merge_labels(o, image, &lists->labels, err);
    if (result == 0)
        result = mounts_keep(&o->mounts, &lists->mounts, err);
    return result == 0 ? keep_privileges(o, lists, err) : result;
}

/* Fills @box from the options and the image; the lists point into @lists. */
static int merge(const nb_box_options *o, const image_record *image, const char *id, box_lists *lists, box_record *box, nb_error *err) {
    const char *hostname = o->hostname ? o->hostname : id;
    int result = fill_lists(o, image, hostname, lists, err);
    if (result < 0)
        return result;
    const char *stop_signal = o->stop_signal && *o->stop_signal ? o->stop_signal : image->stop_signal;
    int signal = *stop_signal ? signal_number(stop_signal) : SIGTERM;
    *box = (box_record){
        .id = id,
        .name = o->name ? o->name : "",
        .image = o->image,
        .image_id = image->id,
        .created_at_ms = clock_wall_ms(),
        .argv = strv_of(&lists->argv),
        .env = strv_of(&lists->env),
        .labels = strv_of(&lists->labels),
        .cap_add = strv_of(&lists->cap_add),
        .cap_drop = strv_of(&lists->cap_drop),
        .ulimits = strv_of(&lists->ulimits),
        .mounts = strv_of(&lists->mounts),
        .cwd = o->working_directory ? o->working_directory
               : image->cwd[0]      ? image->cwd
                                    : "/",
        .user = o->user ? o->user : image->user,
        .hostname = hostname,
        .memory_bytes = o->memory_bytes ? o->memory_bytes : NB_MEMORY_DEFAULT_BYTES,
        .disk_bytes = o->disk_bytes,
        .cpus = o->cpus         ? o->cpus
                : o->cpu_millis ? (o->cpu_millis + 999) / 1000
                                : NB_CPUS_DEFAULT,
        .cpu_millis = o->cpu_millis,
        .io_bytes_per_second = o->io_bytes_per_second,
        .io_operations_per_second = o->io_operations_per_second,
        .pids_max = o->pids_max ? o->pids_max : NB_PIDS_DEFAULT,
        .stop_signal = (uint32_t) (signal ? signal : SIGTERM),
        .stop_timeout_ms = o->stop_timeout_ms ? o->stop_timeout_ms : NB_STOP_TIMEOUT_DEFAULT_MS,
        .boot_timeout_ms = o->boot_timeout_ms ? o->boot_timeout_ms : NB_BOOT_TIMEOUT_DEFAULT_MS,
        .tty = o->tty,
        .open_stdin = o->open_stdin,
        .detach = o->detach,
        .auto_remove = o->auto_remove,
        .init = o->init,
        .keep = o->keep,
        .no_new_privileges = o->no_new_privileges,
        .timeout_ms = o->timeout_ms,
    };
    result = care_merge(o, image, &lists->health_command, &box->care, err);
    if (result < 0)
        return result;
    return image_take_disk_size(image, o->image, &box->disk_bytes, err);
}

static int make_disk(const nb_runtime *rt, int folder, const box_record *box, nb_error *err) {
    /* As seen from the overlay's folder, so that a home can be moved, and its path be as long as it likes. */
    char name[IMAGE_DISK_NAME_SIZE], base[sizeof("../../" HOME_IMAGES "/") + IMAGE_DISK_NAME_SIZE];
    image_disk_name(box->image_id, name);
    (void) snprintf(base, sizeof(base), "../../" HOME_IMAGES "/%s", name);
    CLEANUP(cleanup_fd) int disk = openat(folder, STATE_DISK_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (disk < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make the disk of the box");
    return qcow2_create_overlay(disk, base, align_up(box->disk_bytes, IMAGE_DISK_ALIGNMENT), err);
}

/* Makes the folder under @temporary, with its disk. The descriptor of its lock, held; anything else is cleaned up by the caller. */
static int make_folder(const nb_runtime *rt, const char *temporary, const box_record *box, nb_error *err) {
    CLEANUP(cleanup_fd) int sweeping = home_lock(rt, err); /* between the folder's making and its locking nobody must sweep */
    if (sweeping < 0)
        return sweeping;
    if (mkdirat(rt->boxes, temporary, 0700) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make a folder in '%s/" HOME_BOXES "'", rt->home);
    CLEANUP(cleanup_fd) int folder = openat(rt->boxes, temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (folder < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "open a folder in '%s/" HOME_BOXES "'", rt->home);
    CLEANUP(cleanup_fd) int lock = box_lock(folder, err);
    if (lock < 0)
        return lock;
    sweeping = fd_close(sweeping);
    int result = make_disk(rt, folder, box, err);
    return result < 0 ? result : take_fd(&lock);
}

/* A named volume must not be on its way out meanwhile (volume.c). */
static int record(nb_runtime *rt, const box_record *box, nb_error *err) {
    CLEANUP(cleanup_fd) int lock = -1;
    if (mounts_name_volumes(box->mounts)) {
        lock = home_lock(rt, err);
        if (lock < 0)
            return lock;
    }
    return store_add_box(rt->store, box, err);
}

static int create(nb_runtime *rt, const box_record *box, nb_error *err) {
    char temporary[sizeof(BOX_TEMPORARY_PREFIX) + ID_SIZE];
    (void) snprintf(temporary, sizeof(temporary), BOX_TEMPORARY_PREFIX "%s", box->id);
    CLEANUP(cleanup_fd) int lock = make_folder(rt, temporary, box, err);
    int result = lock;
    if (result >= 0)
        result = renameat(rt->boxes, temporary, rt->boxes, box->id) < 0
                     ? nb_fail(err, nb_code_of_errno(errno), errno, "name the box's folder in '%s/" HOME_BOXES "'", rt->home)
                     : 0;
    if (result == 0)
        result = record(rt, box, err);
    if (result < 0) {
        (void) file_remove_tree(rt->boxes, temporary);
        (void) file_remove_tree(rt->boxes, box->id);
    } else {
        event_tell_created(rt, box);
    }
    return result;
}

static int prepare_image(nb_runtime *rt, const nb_box_options *o, arena *a, image_record *ret_image, nb_error *err) {
    image_wish wish;
    int result = image_wish_make(o->image, o->platform, o->pull, &wish, err);
    if (result == 0)
        result = image_prepare(rt, &wish, NULL, a, ret_image, err);
    if (result == 0 && strcmp(ret_image->architecture, host_architecture()) != 0)
        result =
            nb_fail(err, NB_E_UNSUPPORTED, 0, "use the image '%s': it is for linux/%s, and a box for another processor than linux/%s %s",
                    o->image, ret_image->architecture, host_architecture(), "cannot be run yet");
    return result;
}

int nb_box_create(nb_runtime *rt, const nb_box_options *options, nb_box **ret_box, nb_error *err) {
    nb_box_options o;
    if (!rt || !options || !ret_box)
        return nb_fail(err, NB_E_INVALID, 0, "create a box: an argument is NULL");
    int result = options_take(&o, sizeof(o), options, "nb_box_options", err);
    if (result == 0)
        result = check_options(&o, err);
    if (result < 0)
        return result;
    nb_box *box = calloc(1, sizeof(*box));
    if (!box)
        return nb_fail_oom(err);
    box->runtime = rt;
    arena a = {0};
    image_record image;
    box_record record;
    box_lists lists;
    box_lists_init(&lists);
    result = id_generate(box->id) < 0 ? nb_fail(err, NB_E_INTERNAL, errno, "take random bytes from the kernel") : 0;
    (void) snprintf(box->called, sizeof(box->called), "%s", o.name ? o.name : box->id);
    if (result == 0)
        result = prepare_image(rt, &o, &a, &image, err);
    if (result == 0)
        result = merge(&o, &image, box->id, &lists, &record, err);
    if (result == 0)
        result = create(rt, &record, err);
    box_lists_done(&lists);
    arena_done(&a);
    if (result < 0)
        nb_box_free(box);
    else
        *ret_box = box;
    return result;
}
