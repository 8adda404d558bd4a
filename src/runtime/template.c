/* SPDX-License-Identifier: Apache-2.0
 *
 * template.c - saved machines that boxes go on from, instead of booting: finding and making them
 *
 * Theory of operation
 *   A template is named by a digest of everything that shapes the machine: change any of it, and another template is looked for. There are two
 *   kinds. One is of a machine alone, and serves every image. The other is of a machine with an image's disk mounted and a container over it;
 *   it serves boxes of that image, with a disk of that size, which have never run. Each takes a hundred megabytes, so the second kind
 *   is made for an image that is used again, and all of them together are kept within a bound, $NESTBOX_IMAGE_TEMPLATES.
 */
#include "runtime/template.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/quantity.h"
#include "base/size.h"
#include "machine/memory.h"
#include "runtime/channel.h"
#include "runtime/embedded.h"
#include "runtime/launch.h"
#include "wire/message.h"
#include "wire/template.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sha2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Counts up with what a template holds, or is asked to do. */
#define TEMPLATE_FORM 3
#define SHAPE_MAX_BYTES ((size_t) 64 << 10)
#define BOOT_ID_SIZE 64
/* Beyond the boot itself: the save, and a loaded host. */
#define MAKE_ALLOWANCE_MS 90000
#define SEND_TIMEOUT_MS 10000

/* What of a base disk tells it from another one of the same image: its superblock, with the time and the version that made it, and the descriptors of
 * its groups, with the checksums of their tables. */
#define BASE_DISK_HEAD_BYTES ((size_t) 64 << 10)

#define IMAGE_TEMPLATES_DEFAULT_BYTES GIB(2)

/* --------------------------------------------------------------------------------------------------------------------- keys */

static bool add_line(buf *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool add_line(buf *text, const char *format, ...) {
    CLEANUP(cleanup_free) char *line = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&line, format, arguments);
    va_end(arguments);
    return length >= 0 && buf_append(text, line, (size_t) length);
}

/* A file by what changes with its contents. */
static bool add_file(buf *text, const char *name, const char *path) {
    struct stat status;
    return stat(path, &status) == 0 &&
           add_line(text, "%s %ju %ju %jd %jd.%09ld\n", name, (uintmax_t) status.st_dev, (uintmax_t) status.st_ino,
                    (intmax_t) status.st_size, (intmax_t) status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

/* The host's clocks and processors are the same until it boots again. */
static void read_boot_id(char *ret_id) {
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length;
    int result = file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", BOOT_ID_SIZE, &text, &length);
    (void) snprintf(ret_id, BOOT_ID_SIZE, "%.*s", result < 0 ? 0 : (int) strcspn(text, "\n"), result < 0 ? "" : text);
}

static bool add_shape(buf *text, const template_shape *shape) {
    char boot_id[BOOT_ID_SIZE];
    read_boot_id(boot_id);
    return add_line(text, "form %d\nhost %s\naccelerator %s\nmemory %" PRIu64 "\ncpus %" PRIu32 "\nagent %s\nshim %s\n", TEMPLATE_FORM,
                    boot_id, shape->parts->accel.name, machine_memory_class(shape->memory_bytes), shape->cpus, embedded_guest.sha256,
                    embedded_shim.sha256) &&
           add_file(text, "qemu", shape->parts->qemu) && add_file(text, "kernel", shape->parts->bundle.kernel) &&
           add_file(text, "modules", shape->parts->bundle.modules);
}

/* The same image's disk in another home is the same disk, bit for bit, if the same program made it. */
static bool add_content(buf *text, const template_content *content) {
    char digest[SHA256_DIGEST_STRING_LENGTH];
    uint8_t head[BASE_DISK_HEAD_BYTES];
    struct stat status;
    CLEANUP(cleanup_fd) int fd = open(content->base_disk, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 || fstat(fd, &status) < 0 ? -1 : fd_read_full(fd, head, sizeof(head));
    if (length < 0)
        return false;
    (void) SHA256Data(head, (size_t) length, digest);
    return add_line(text, "image %s\nworker %s\nbase %jd %s\ndisk %" PRIu64 "\ninit %d\n", content->image_id, embedded_image.sha256,
                    (intmax_t) status.st_size, digest, content->disk_bytes, content->init);
}

/* @content  NULL: of a template for every image */
static bool make_key(const template_shape *shape, const template_content *content, char ret_key[TEMPLATE_KEY_SIZE]) {
    _Static_assert(SHA256_DIGEST_STRING_LENGTH == TEMPLATE_KEY_SIZE, "libmd's hexadecimal digest is the key");
    CLEANUP(buf_done) buf text;
    buf_init(&text, SHAPE_MAX_BYTES);
    if (!add_shape(&text, shape) || (content && !add_content(&text, content)))
        return false;
    (void) SHA256Data(buf_bytes(&text), buf_length(&text), ret_key);
    return true;
}

/* ------------------------------------------------------------------------------------------------------------------ making */

typedef struct order {
    const template_shape *shape;
    const template_content *content; /* NULL, like the next: the machine boots, and is saved without either */
    const char *template;
} order;

static uint8_t setup_flags(const template_content *content) {
    return content && content->init ? WIRE_SETUP_INIT : 0;
}

static int write_about(const order *o, int folder, nb_error *err) {
    CLEANUP(buf_done) buf bytes;
    const msg_template_about about = {
        .accelerator = wire_str(o->shape->parts->accel.name),
        .memory_bytes = machine_memory_class(o->shape->memory_bytes),
        .cpus = o->shape->cpus,
        .image_id = wire_str(o->content ? o->content->image_id : ""),
        .disk_bytes = o->content ? o->content->disk_bytes : 0,
        .setup_flags = setup_flags(o->content),
    };
    buf_init(&bytes, TEMPLATE_ABOUT_MAX_BYTES);
    if (!wire_encode_template_about(&bytes, &about))
        return nb_fail_full(err, &bytes, "an image's id is too long");
    if (file_write_atomic(folder, TEMPLATE_ABOUT_FILE, buf_bytes(&bytes), buf_length(&bytes), false) < 0 ||
        fchmodat(folder, TEMPLATE_ABOUT_FILE, 0400, 0) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "write '%s'", TEMPLATE_ABOUT_FILE);
    return 0;
}

static int make(void *user, int folder, nb_error *err) {
    const order *o = user;
    const template_shape *shape = o->shape;
    const machine_parts *parts = shape->parts;
    CLEANUP(buf_done) buf bytes;
    const uint8_t *answer;
    size_t length;
    msg_template_made made;
    msg_template message = {
        .qemu = wire_str(parts->qemu),
        .accelerator = wire_str(parts->accel.name),
        .kernel = wire_str(parts->bundle.kernel),
        .modules = wire_str(parts->bundle.modules),
        .agent = wire_str(parts->agent),
        .memory_bytes = shape->memory_bytes,
        .cpus = shape->cpus,
        .boot_timeout_ms = shape->boot_timeout_ms,
        .setup_flags = setup_flags(o->content),
    };
    if (o->content) {
        message.template_path = wire_str(o->template);
        message.base_disk = wire_str(o->content->base_disk);
        message.disk_bytes = o->content->disk_bytes;
    }
    buf_init(&bytes, WIRE_READ_BUFFER_BYTES);
    int result = write_about(o, folder, err);
    if (result < 0)
        return result;
    CLEANUP(cleanup_fd) int socket = launch_shim(parts->shim, WIRE_TEMPLATE_PROGRAM, folder, err);
    if (socket < 0)
        return socket;
    if (!wire_control(&bytes, wire_encode_template, &message))
        return nb_fail_full(err, &bytes, "a path of the machine is too long");
    result = channel_send(socket, &bytes, deadline_in(SEND_TIMEOUT_MS), err);
    if (result == 0)
        result = channel_receive(socket, TO_CLIENT, deadline_in((int64_t) shape->boot_timeout_ms + MAKE_ALLOWANCE_MS), &bytes, &answer,
                                 &length, err);
    if (result < 0)
        return result;
    return wire_decode_template_made(answer, length, &made) < 0 ? channel_failed(answer, length, err) : 0;
}

static char *path_of(const template_folder *folder, const char *key) {
    char *path = NULL;
    return asprintf(&path, "%s/%s", folder->path, key) < 0 ? NULL : path;
}

static int provide_machine(const template_folder *folder, const char *key, const template_shape *shape, bool retry, nb_error *err) {
    order o = {.shape = shape};
    const template_maker maker = {make, &o, .wait_ms = (int64_t) shape->boot_timeout_ms + MAKE_ALLOWANCE_MS, .retry = retry};
    return template_folder_provide(folder, key, &maker, err);
}

char *template_prepare(nb_runtime *rt, const template_shape *shape) {
    char key[TEMPLATE_KEY_SIZE];
    nb_error why;
    CLEANUP(template_folder_close) template_folder folder;
    int result = template_folder_open(rt, &folder, &why);
    if (result < 0) {
        if (result != -NB_E_UNSUPPORTED)
            log_warning(&rt->log, "template: %s", why.message);
        return NULL;
    }
    if (!make_key(shape, NULL, key))
        return NULL;
    if (provide_machine(&folder, key, shape, false, &why) == 0)
        return path_of(&folder, key);
    log_info(&rt->log, "template: none: %s", why.message);
    return NULL;
}

/* How much those of images may take; 0: none are wanted. */
static uint64_t image_templates_bound(const nb_runtime *rt) {
    const char *given = getenv("NESTBOX_IMAGE_TEMPLATES");
    uint64_t bytes;
    if (!given || !*given)
        return IMAGE_TEMPLATES_DEFAULT_BYTES;
    if (strcmp(given, "off") == 0)
        return 0;
    if (quantity_size(given, &bytes))
        return bytes;
    log_warning(&rt->log, "template: NESTBOX_IMAGE_TEMPLATES is '%s': expected off, or " QUANTITY_SIZE_FORM ": taken as off", given);
    return 0;
}

/* @template  the path of one of the machine's shape */
static int provide_image(const template_folder *folder, const char *key, order *o, uint64_t max_bytes, bool retry, nb_error *err) {
    const template_maker maker = {.make = make, .user = o, .retry = retry};
    if (template_folder_use(folder, key))
        return 0;
    if (!template_folder_make_room(folder, strrchr(o->template, '/') + 1, max_bytes))
        return nb_fail_hint(
            err, nb_fail(err, NB_E_INVALID_STATE, 0, "it finds no room among those of images, which were all used within ten minutes"),
            "let them have more: NESTBOX_IMAGE_TEMPLATES, or remove one: nestbox template rm");
    return template_folder_provide(folder, key, &maker, err);
}

char *template_prepare_image(nb_runtime *rt, const template_shape *shape, const template_content *content, const char *template) {
    char key[TEMPLATE_KEY_SIZE];
    uint64_t max_bytes = image_templates_bound(rt);
    nb_error why;
    order o = {shape, content, template};
    CLEANUP(template_folder_close) template_folder folder = {.fd = -1};
    if (max_bytes == 0 || template_folder_open(rt, &folder, NULL) < 0 || !make_key(shape, content, key))
        return NULL;
    if (!template_folder_use(&folder, key) && !template_folder_ask(&folder, key))
        return NULL;
    if (provide_image(&folder, key, &o, max_bytes, false, &why) == 0)
        return path_of(&folder, key);
    log_info(&rt->log, "template: none of the image: %s", why.message);
    return NULL;
}

int template_make(nb_runtime *rt, const template_shape *shape, const template_content *content, char **ret_path, nb_error *err) {
    char machine_key[TEMPLATE_KEY_SIZE], key[TEMPLATE_KEY_SIZE];
    uint64_t max_bytes = image_templates_bound(rt);
    CLEANUP(template_folder_close) template_folder folder;
    int result = template_folder_open(rt, &folder, err);
    if (result < 0)
        return result;
    if (content && max_bytes == 0)
        return nb_fail(err, NB_E_UNSUPPORTED, 0, "NESTBOX_IMAGE_TEMPLATES is off");
    if (!make_key(shape, NULL, machine_key) || !make_key(shape, content, key))
        return nb_fail(err, nb_code_of_errno(errno), errno, "look at the files that the machine is made of");
    CLEANUP(cleanup_free) char *machine_path = path_of(&folder, machine_key);
    CLEANUP(cleanup_free) char *path = path_of(&folder, key);
    order o = {shape, content, machine_path};
    if (!machine_path || !path)
        return nb_fail_oom(err);
    result = provide_machine(&folder, machine_key, shape, true, err);
    if (result == 0 && content)
        result = provide_image(&folder, key, &o, max_bytes, true, err);
    if (result == 0)
        *ret_path = take_ptr(&path);
    return result;
}

void template_look(const nb_runtime *rt, size_t *ret_count, char *ret_failure, size_t size) {
    CLEANUP(template_folder_close) template_folder folder;
    *ret_count = 0;
    ret_failure[0] = '\0';
    if (template_folder_open(rt, &folder, NULL) == 0)
        template_folder_look(&folder, ret_count, ret_failure, size);
}
