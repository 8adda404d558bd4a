/* SPDX-License-Identifier: Apache-2.0
 *
 * image.c - images of a home: prepared by a worker, recorded, removed
 *
 * Theory of operation
 *   nestbox-image gets the source and an empty file as descriptors and makes the file a base disk; we see none of the image's bytes, only
 *   what the worker says of it in one message. The disk is made durable, renamed to its id, and then recorded: a record means a
 *   whole disk. A name remembers what its source looked like (device, inode, size, times), so that the next use of an unchanged source
 *   costs one stat.
 */
#include "runtime/image.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "runtime/channel.h"
#include "runtime/embedded.h"
#include "runtime/image-reference.h"
#include "runtime/launch.h"
#include "runtime/options.h"
#include "runtime/result.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Temporary files of imports; their name ends in the id of the import, and their maker holds their lock. */
#define TEMPORARY_PREFIX ".new-"

/* The worker reports its progress several times a second; one that says nothing for this long hangs. */
#define WORKER_SILENCE_MS 300000

/* Imports wait for each other, so that two programs do not make the same disk twice; the longest sensible import. */
#define IMPORT_WAIT_MS 3600000
#define IMPORT_LOCK_FILE "lock"

#define SHA256_ID_LENGTH (7 + 64)
#define BUILT_IN_IMAGE "busybox"

/* What an import is made of. */
typedef struct import_order {
    uint8_t kind;
    int source;
    const char *tag;
    strv command;
} import_order;

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

static bool disk_exists(const nb_runtime *rt, const char *id) {
    CLEANUP(cleanup_free) char *path = image_disk_path(rt, id);
    return path && access(path, R_OK) == 0;
}

/* ------------------------------------------------------------------------------------------------------------- import */

static int run_worker(nb_runtime *rt, const import_order *order, int disk, int *ret_socket, nb_error *err) {
    CLEANUP(cleanup_free) char *cache_path = NULL;
    if (asprintf(&cache_path, "%s/" HOME_CACHE, rt->home) < 0)
        return nb_fail_oom(err);
    CLEANUP(cleanup_fd) int program = embedded_open(&embedded_image, rt->cache, cache_path, &rt->log, NULL, err);
    int ends[2];
    if (program < 0)
        return program;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "make a socket pair");
    pid_t pid = launch_program(program, "nestbox-image", (const int[3]){ends[1], order->source, disk}, 3, err);
    (void) fd_close(ends[1]);
    if (pid < 0) {
        (void) fd_close(ends[0]);
        return (int) pid;
    }
    *ret_socket = ends[0];
    return 0;
}

static void report_progress(nb_runtime *rt, const uint8_t *bytes, size_t length) {
    msg_progress progress;
    if (!rt->options.progress || wire_decode_progress(bytes, length, &progress) < 0)
        return;
    char what[256];
    (void) snprintf(what, sizeof(what), "%.*s", (int) (progress.what.length < 255 ? progress.what.length : 255),
                    (const char *) progress.what.at);
    rt->options.progress(rt->options.progress_user, what, progress.done_bytes, progress.total_bytes);
}

static const char *text_of(arena *a, wire_bytes text) {
    return arena_text(a, text.at, text.length);
}

static strv list_of(arena *a, strv list) {
    return (strv){arena_text(a, list.at, list.bytes), list.bytes};
}

static int take_imported(const uint8_t *bytes, size_t length, arena *a, image_record *ret_image, nb_error *err) {
    msg_imported m;
    if (wire_decode_imported(bytes, length, &m) < 0)
        return nb_fail(err, NB_E_PROTOCOL, 0, "understand the image worker's answer");
    image_record image = {
        .id = text_of(a, m.id),
        .name = text_of(a, m.name),
        .source = "",
        .created_at_ms = clock_wall_ms(),
        .disk_bytes = m.disk_bytes,
        .entrypoint = list_of(a, m.entrypoint),
        .command = list_of(a, m.command),
        .env = list_of(a, m.env),
        .labels = list_of(a, m.labels),
        .cwd = text_of(a, m.cwd),
        .user = text_of(a, m.user),
        .stop_signal = text_of(a, m.stop_signal),
        .architecture = text_of(a, m.architecture),
        .os = text_of(a, m.os),
    };
    if (a->failed)
        return nb_fail_oom(err);
    if (!id_is_sha256(image.id))
        return nb_fail(err, NB_E_PROTOCOL, 0, "understand the image worker's answer: '%s' is no id", image.id);
    *ret_image = image;
    return 0;
}

/* Asks, passes progress on, and takes the answer. */
static int talk_to_worker(nb_runtime *rt, int socket, const import_order *order, arena *a, image_record *ret_image, nb_error *err) {
    buf bytes;
    buf_init(&bytes, WIRE_READ_BUFFER_BYTES);
    msg_import import = {
        .kind = order->kind,
        .reference = wire_str(order->tag),
        .architecture = wire_str(host_architecture()),
        .command = order->command,
    };
    int result = wire_control(&bytes, wire_encode_import, &import)
                     ? channel_send(socket, &bytes, deadline_in(WORKER_SILENCE_MS), err)
                     : nb_fail(err, NB_E_INVALID, 0, "the image's tag or command is too long");
    while (result == 0) {
        const uint8_t *message;
        size_t length;
        result = channel_receive(socket, TO_OWNER, deadline_in(WORKER_SILENCE_MS), &bytes, &message, &length, err);
        if (result == -NB_E_BOX_GONE)
            result = nb_fail(err, NB_E_IMAGE, 0, "the image worker died, of a limit on its memory or of a fault");
        if (result < 0)
            break;
        uint16_t id = wire_message_id(message, length);
        if (id == id_of_msg_progress) {
            report_progress(rt, message, length);
            continue;
        }
        result = id == id_of_msg_imported ? take_imported(message, length, a, ret_image, err) : channel_failed(message, length, err);
        break;
    }
    buf_done(&bytes);
    return result;
}

/* Publishes a finished disk under its id. */
static int publish_disk(nb_runtime *rt, int disk, const char *temporary, image_record *image, nb_error *err) {
    char name[IMAGE_DISK_NAME_SIZE];
    struct stat status;
    image_disk_name(image->id, name);
    if (fchmod(disk, 0400) < 0 || fsync(disk) < 0 || fstat(disk, &status) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "finish the base disk '%s'", name);
    image->size_bytes = (uint64_t) status.st_blocks * 512;
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
    CLEANUP(cleanup_fd) int socket = -1;
    image_record image;
    int result = run_worker(rt, order, disk, &socket, err);
    if (result == 0)
        result = talk_to_worker(rt, socket, order, a, &image, err);
    if (result == 0)
        result = publish_disk(rt, disk, temporary, &image, err);
    (void) unlinkat(rt->images, temporary, 0); /* published under its own name, or worth nothing */
    if (result == 0)
        *ret_image = image;
    return result;
}

/* One import at a time per home. */
static int lock_imports(nb_runtime *rt, nb_error *err) {
    CLEANUP(cleanup_fd) int fd = openat(rt->images, IMPORT_LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "open the lock of '%s/" HOME_IMAGES "'", rt->home);
    if (lock_wait(fd, IMPORT_WAIT_MS) < 0)
        return nb_fail(err, errno == EAGAIN ? NB_E_TIMEOUT : NB_E_STORAGE, errno, "wait for another program's import into '%s'", rt->home);
    return take_fd(&fd);
}

/* Imports and records under @name, or under what the archive itself calls it where that is "". */
static int import_named(nb_runtime *rt, const import_order *order, const char *name, const char *source, arena *a, image_record *ret_image,
                        nb_error *err) {
    image_record image;
    int result = import_image(rt, order, a, &image, err);
    if (result < 0)
        return result;
    if (name[0])
        image.name = arena_string(a, name);
    else if (!image.name[0])
        image.name = image.id;
    image.source = arena_string(a, source);
    result = a->failed ? nb_fail_oom(err) : store_add_image(rt->store, &image, err);
    if (result == 0)
        *ret_image = image;
    return result;
}

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
        !disk_exists(rt, image.id))
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
    CLEANUP(cleanup_fd) int lock = lock_imports(rt, err);
    if (lock < 0)
        return lock;
    if (is_ready(rt, name, source_text, a, ret_image)) /* made while we waited */
        return 0;
    log_info(&rt->log, "image: making '%s' ready from '%s'", name, reference->path);
    import_order order = {.kind = reference->kind, .source = source, .tag = reference->tag, .command = command};
    return nb_fail_within(err, import_named(rt, &order, name, source_text, a, ret_image, err), "use the image '%s'", name);
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

static int prepare_by_name(nb_runtime *rt, const char *name, arena *a, image_record *ret_image, nb_error *err) {
    int result = store_find_image(rt->store, name, a, ret_image, err);
    if (result == 0 && !disk_exists(rt, ret_image->id))
        return nb_fail_hint(err, nb_fail(err, NB_E_STORAGE, 0, "use the image '%s': its base disk is gone from the home", name),
                            "remove it with nestbox rmi and make it again");
    if (result != -NB_E_NOT_FOUND)
        return result;
    if (strcmp(name, BUILT_IN_IMAGE) == 0)
        return prepare_built_in(rt, a, ret_image, err);
    return nb_fail_hint(err, result,
                        "registries are not supported yet; use busybox, rootfs:FILE, oci:DIR, docker-archive:FILE or dir:PATH");
}

int image_prepare(nb_runtime *rt, const char *text, const char *name, arena *a, image_record *ret_image, nb_error *err) {
    image_reference reference;
    int result = image_reference_parse(text, &reference, err);
    if (result < 0)
        return result;
    if (reference.kind)
        result = prepare_from(rt, &reference, text, (strv){0}, a, ret_image, err);
    else if (strcmp(text, BUILT_IN_IMAGE) == 0)
        result = prepare_built_in(rt, a, ret_image, err);
    else
        result = prepare_by_name(rt, text, a, ret_image, err);
    image_reference_done(&reference);
    if (result < 0 || !name)
        return result;
    image_record named = *ret_image;
    named.name = arena_string(a, name);
    named.source = "";
    result = a->failed ? nb_fail_oom(err) : store_add_image(rt->store, &named, err);
    if (result == 0)
        *ret_image = named;
    return result;
}

void image_sweep(nb_runtime *rt) {
    int copy = openat(rt->images, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = copy < 0 ? NULL : fdopendir(copy);
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
    };
}

static int give_image(const image_record *image, nb_image_info **ret_image, nb_error *err) {
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
    int result = image_prepare(rt, reference, name, &a, &image, err);
    if (result == 0)
        result = give_image(&image, ret_image, err);
    arena_done(&a);
    return result;
}

static int import_under_lock(nb_runtime *rt, const import_order *order, const char *name, nb_image_info **ret_image, nb_error *err) {
    arena a = {0};
    image_record image;
    CLEANUP(cleanup_fd) int lock = lock_imports(rt, err);
    if (lock < 0)
        return lock;
    int result = import_named(rt, order, name, "", &a, &image, err);
    if (result == 0)
        result = give_image(&image, ret_image, err);
    arena_done(&a);
    return result;
}

int nb_image_import(nb_runtime *rt, int fd, const char *name, nb_strings command, nb_image_info **ret_image, nb_error *err) {
    if (!rt || fd < 0 || !name || !*name || !ret_image)
        return nb_fail(err, NB_E_INVALID, 0, "import an image: it needs a source and a name");
    buf packed;
    buf_init(&packed, WIRE_ARGV_MAX_BYTES);
    int result = options_add_strings(&packed, command, "command", err);
    import_order order = {.kind = WIRE_IMAGE_ROOTFS, .source = fd, .tag = "", .command = strv_of(&packed)};
    if (result == 0)
        result = import_under_lock(rt, &order, name, ret_image, err);
    buf_done(&packed);
    return result;
}

int nb_image_load(nb_runtime *rt, const char *path, int fd, nb_image_info **ret_image, nb_error *err) {
    if (!rt || (!path && fd < 0) || !ret_image)
        return nb_fail(err, NB_E_INVALID, 0, "load an image: it needs a source");
    CLEANUP(cleanup_fd)
    int source = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : openat(rt->images, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    struct stat status;
    if (source < 0 || fstat(source, &status) < 0)
        return path ? nb_fail(err, errno == ENOENT ? NB_E_NOT_FOUND : nb_code_of_errno(errno), errno, "open '%s'", path)
                    : nb_fail(err, nb_code_of_errno(errno), errno, "make a temporary file in '%s/" HOME_IMAGES "'", rt->home);
    if (!S_ISREG(status.st_mode))
        return nb_fail(err, NB_E_INVALID, 0, "load '%s': it is no regular file", path);
    if (!path && (file_copy(fd, source) < 0 || lseek(source, 0, SEEK_SET) < 0))
        return nb_fail(err, nb_code_of_errno(errno), errno, "copy the archive into '%s/" HOME_IMAGES "'", rt->home);
    import_order order = {.kind = WIRE_IMAGE_ARCHIVE, .source = source, .tag = ""};
    return nb_fail_within(err, import_under_lock(rt, &order, "", ret_image, err), "load '%s'", path ? path : "standard input");
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

int nb_image_inspect(nb_runtime *rt, const char *name_or_id, nb_image_info **ret_image, nb_error *err) {
    if (!rt || !name_or_id || !ret_image)
        return nb_fail(err, NB_E_INVALID, 0, "look at an image: an argument is NULL");
    arena a = {0};
    image_record image;
    int result = store_find_image(rt->store, name_or_id, &a, &image, err);
    if (result == 0)
        result = give_image(&image, ret_image, err);
    arena_done(&a);
    return result;
}

void nb_image_free(nb_image_info *image) {
    result_free(image);
}

int nb_image_remove(nb_runtime *rt, const char *name_or_id, nb_error *err) {
    if (!rt || !name_or_id)
        return nb_fail(err, NB_E_INVALID, 0, "remove an image: an argument is NULL");
    arena a = {0};
    image_record image;
    bool gone = false;
    int result = store_find_image(rt->store, name_or_id, &a, &image, err);
    if (result == 0)
        result = nb_fail_within(err, store_remove_image(rt->store, &image, &gone, err), "remove the image '%s'", name_or_id);
    if (result == 0 && gone) {
        CLEANUP(cleanup_free) char *path = image_disk_path(rt, image.id);
        if (!path || (unlink(path) < 0 && errno != ENOENT))
            result = nb_fail(err, nb_code_of_errno(errno), errno, "remove the base disk of '%s'", name_or_id);
    }
    arena_done(&a);
    return result;
}
