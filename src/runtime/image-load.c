/* SPDX-License-Identifier: Apache-2.0
 *
 * image-load.c - images of archives that a caller has: a root file system, or what docker save wrote
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "runtime/image-config.h"
#include "runtime/image-import.h"
#include "runtime/image-room.h"
#include "runtime/image.h"
#include "runtime/options.h"
#include "runtime/progress.h"
#include "wire/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES ((size_t) 256 << 10)
/* How often who waits for a slow source is asked whether to go on. */
#define TELL_EVERY_MS 500

static int import_under_lock(nb_runtime *rt, const import_order *wanted, const image_settings *settings, const char *name,
                             nb_image_info **ret_image, nb_error *err) {
    arena a = {0};
    image_record image;
    CLEANUP(cleanup_fd) int lock = image_import_lock(rt, image_settings_time_ms(settings), err);
    if (lock < 0)
        return lock;
    import_order order = *wanted;
    order.settings = settings;
    order.until = deadline_in(image_settings_time_ms(settings));
    int result = image_import_named(rt, &order, name, "", &a, &image, err);
    lock = fd_close(lock);
    if (result == 0)
        image_make_room(rt, settings, image.id);
    if (result == 0)
        result = image_give(&image, ret_image, err);
    arena_done(&a);
    return result;
}

int nb_image_import(nb_runtime *rt, int fd, const char *name, const nb_import_options *options, nb_image_info **ret_image, nb_error *err) {
    nb_import_options o;
    image_settings settings;
    buf command, changes;
    if (!rt || fd < 0 || !name || !*name || !ret_image)
        return nb_fail(err, NB_E_INVALID, 0, "import an image: it needs a source and a name");
    int result = options_take(&o, sizeof(o), options, "nb_import_options", err);
    if (result < 0)
        return result;
    buf_init(&command, WIRE_ARGV_MAX_BYTES);
    buf_init(&changes, WIRE_IMAGE_LIST_MAX_BYTES);
    result = options_add_strings(&command, o.command, "command", err);
    if (result == 0)
        result = options_add_strings(&changes, o.changes, "changes", err);
    msg_image_config config = image_config_plain(strv_of(&command));
    import_order order = {.kind = WIRE_IMAGE_ROOTFS,
                          .source = fd,
                          .tag = "",
                          .architecture = host_architecture(),
                          .config = &config,
                          .changes = strv_of(&changes),
                          .event = "import"};
    if (result == 0)
        result = image_settings_load(&settings, err);
    if (result == 0)
        result = import_under_lock(rt, &order, &settings, name, ret_image, err);
    buf_done(&command);
    buf_done(&changes);
    return result;
}

/* ------------------------------------------------------------------------------------------------------------------ load */

/* Waits until @fd is readable. */
static int await_bytes(nb_runtime *rt, int fd, uint64_t done_bytes, deadline until, const image_settings *settings, nb_error *err) {
    for (;;) {
        struct pollfd one = {.fd = fd, .events = POLLIN};
        int n = poll(&one, 1, TELL_EVERY_MS);
        if (n < 0 && errno != EINTR)
            return nb_fail(err, NB_E_INTERNAL, errno, "wait for the archive");
        if (n > 0)
            return 0;
        if (deadline_passed(until))
            return image_settings_time_is_over(settings, err);
        int result = progress_tell(rt, &(nb_progress){"waiting for the archive", "", done_bytes, 0}, err);
        if (result < 0)
            return result;
    }
}

/* Both formats need seeking. An archive that has more than its layers may have is not copied to its end first. */
static int copy_archive(nb_runtime *rt, int from, int to, const image_settings *settings, nb_error *err) {
    CLEANUP(cleanup_free) uint8_t *block = malloc(COPY_BYTES);
    deadline until = deadline_in(image_settings_time_ms(settings));
    uint64_t max_bytes = image_layers_max_bytes(&settings->limits), done_bytes = 0;
    if (!block)
        return nb_fail_oom(err);
    for (;;) {
        int result = await_bytes(rt, from, done_bytes, until, settings, err);
        if (result < 0)
            return result;
        ssize_t n = read(from, block, COPY_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nb_fail(err, NB_E_STORAGE, errno, "read the archive");
        if (n == 0)
            return 0;
        done_bytes += (uint64_t) n;
        if (done_bytes > max_bytes)
            return nb_fail_hint(err,
                                nb_fail(err, NB_E_EXHAUSTED, 0, "the archive has more than %llu bytes, %u times %llu",
                                        (unsigned long long) max_bytes, IMAGE_LAYERS_PER_DISK,
                                        (unsigned long long) settings->limits.max_bytes),
                                "if it is to be trusted, raise max_bytes in images.json (docs/images.md)");
        if (fd_write_all(to, block, (size_t) n) < 0)
            return nb_fail(err, nb_code_of_errno(errno), errno, "copy the archive into '%s/" HOME_IMAGES "'", rt->home);
        if ((result = progress_tell(rt, &(nb_progress){"reading the archive", "", done_bytes, 0}, err)) < 0)
            return result;
    }
}

/* The archive at the beginning of a regular file can be read where it is; anything else is copied. A descriptor, or a negative code. */
static int open_stream(nb_runtime *rt, int fd, const image_settings *settings, nb_error *err) {
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && lseek(fd, 0, SEEK_CUR) == 0) {
        int same = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        return same < 0 ? nb_fail(err, NB_E_INTERNAL, errno, "keep the archive open") : same;
    }
    CLEANUP(cleanup_fd) int copy = openat(rt->images, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (copy < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make a temporary file in '%s/" HOME_IMAGES "'", rt->home);
    int result = copy_archive(rt, fd, copy, settings, err);
    return result < 0 ? result : take_fd(&copy);
}

static int open_path(const char *path, nb_error *err) {
    CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return nb_fail(err, errno == ENOENT ? NB_E_NOT_FOUND : nb_code_of_errno(errno), errno, "open '%s'", path);
    if (!S_ISREG(status.st_mode))
        return nb_fail(err, NB_E_INVALID, 0, "load '%s': it is no regular file", path);
    return take_fd(&fd);
}

int nb_image_load(nb_runtime *rt, const char *path, int fd, nb_image_info **ret_image, nb_error *err) {
    image_settings settings;
    if (!rt || (!path && fd < 0) || !ret_image)
        return nb_fail(err, NB_E_INVALID, 0, "load an image: it needs a source");
    int result = image_settings_load(&settings, err);
    if (result < 0)
        return result;
    const char *called = path ? path : "standard input";
    CLEANUP(cleanup_fd) int source = path ? open_path(path, err) : open_stream(rt, fd, &settings, err);
    if (source < 0)
        return path ? source : nb_fail_within(err, source, "load '%s'", called);
    import_order order = {.kind = WIRE_IMAGE_ARCHIVE, .source = source, .tag = "", .architecture = host_architecture(), .event = "load"};
    return nb_fail_within(err, import_under_lock(rt, &order, &settings, "", ret_image, err), "load '%s'", called);
}
