/* SPDX-License-Identifier: Apache-2.0
 *
 * guest-bundle.c - makes the guest bundle: kernel, modules, built-in image
 *
 * A program of the build: nestbox-guest-bundle KERNEL_DIR OUT_DIR
 *
 * KERNEL_DIR has vmlinuz, version (one line), modules/ (the tree with modules.dep and kernel/ in it), busybox (static), and where they are
 * there busybox.copyright and busybox.list (the applets' paths, for a busybox that this machine cannot run).
 * OUT_DIR gets, each by an atomic rename and always with the same bytes for the same input:
 *   vmlinuz, kernel-version
 *   modules.cpio   a part of the initramfs: lib/nestbox/modules/NN-name.ko in an order in which they can be loaded, and "order" beside
 *                  them, which names those that the agent loads at its start
 *   busybox.tar    the built-in image's root file system
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/size.h"
#include "base/strv.h"
#include "machine/cpio.h"
#include "machine/modules.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define KERNEL_MAX_BYTES MIB(256)
#define MODULE_MAX_BYTES MIB(32)
#define TEXT_MAX_BYTES MIB(8)
#define BUSYBOX_MAX_BYTES MIB(64)
#define MODULES_ARCHIVE_MAX_BYTES MIB(64)
#define IMAGE_MAX_BYTES MIB(128)
#define PATHS_MAX_BYTES KIB(64)

#define MODULES_FOLDER "lib/nestbox/modules"

extern char **environ;

/* The modules that a machine of ours has a use for, with what they need. Some kernels have some of them built in. */
static const struct {
    const char *name;
    bool boot;     /* loaded at the agent's start; the others are carried and loaded on need */
    bool required; /* as a module or built in */
} wanted_modules[] = {
    {"virtio_ring", true, true},  {"virtio", true, true},     {"virtio_mmio", true, true},    {"virtio_console", true, true},
    {"virtio_blk", true, true},   {"failover", false, false}, {"net_failover", false, false}, {"virtio_net", false, true},
    {"virtio_rng", false, false}, {"fuse", false, true},      {"overlay", false, true},       {"virtio_balloon", false, false},
};

static int read_at(int folder, const char *name, size_t max_bytes, char **ret_bytes, size_t *ret_length, nb_error *err) {
    if (file_read(folder, name, max_bytes, ret_bytes, ret_length) < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "read '%s'", name);
    return 0;
}

static int write_at(int folder, const char *name, const void *bytes, size_t length, nb_error *err) {
    /* Every user reads the bundle; a fresh file is its owner's alone. */
    if (file_write_atomic(folder, name, bytes, length, false) < 0 || fchmodat(folder, name, 0644, 0) < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "write '%s'", name);
    return 0;
}

/* ---------------------------------------------------------------------------------------------- kernel */

static int bundle_kernel(int from, int to, nb_error *err) {
    CLEANUP(cleanup_free) char *kernel = NULL, *version = NULL;
    size_t kernel_length, version_length;
    int r = read_at(from, "vmlinuz", KERNEL_MAX_BYTES, &kernel, &kernel_length, err);
    if (r == 0)
        r = read_at(from, "version", KIB(4), &version, &version_length, err);
    if (r == 0 && (version_length == 0 || strcspn(version, "\n") == 0))
        r = nb_fail(err, NB_E_INVALID, 0, "read 'version': it is empty");
    if (r == 0)
        r = write_at(to, "vmlinuz", kernel, kernel_length, err);
    if (r == 0)
        r = write_at(to, "kernel-version", version, version_length, err);
    return r;
}

/* ---------------------------------------------------------------------------------------------- modules */

/* Fills @paths with the wanted modules in load order, and @ret_boot with how many of them the boot needs: they come first. */
static int order_modules(int modules, buf *paths, size_t *ret_boot, nb_error *err) {
    CLEANUP(cleanup_free) char *dep = NULL, *builtin = NULL;
    size_t dep_length, builtin_length = 0;
    int r = read_at(modules, "modules.dep", TEXT_MAX_BYTES, &dep, &dep_length, err);
    if (r < 0)
        return r;
    if (file_read(modules, "modules.builtin", TEXT_MAX_BYTES, &builtin, &builtin_length) < 0 && errno != ENOENT)
        return nb_fail(err, NB_E_STORAGE, errno, "read 'modules.builtin'");
    *ret_boot = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(wanted_modules); i++) {
        const char *name = wanted_modules[i].name;
        r = modules_add(paths, dep, dep_length, name, err);
        if (r == -NB_E_NOT_FOUND && (!wanted_modules[i].required || (builtin && modules_is_builtin(builtin, builtin_length, name))))
            r = 0;
        if (r < 0)
            return r;
        if (wanted_modules[i].boot)
            *ret_boot = strv_count(strv_of(paths));
    }
    return 0;
}

static int add_module(cpio_writer *w, int modules, const char *path, size_t number, bool boot, buf *order, nb_error *err) {
    CLEANUP(cleanup_free) char *bytes = NULL;
    size_t length;
    int r = read_at(modules, path, MODULE_MAX_BYTES, &bytes, &length, err);
    if (r < 0)
        return r;
    const char *slash = strrchr(path, '/');
    char name[256];
    int n = snprintf(name, sizeof(name), MODULES_FOLDER "/%02zu-%s", number, slash ? slash + 1 : path);
    if (n < 0 || (size_t) n >= sizeof(name))
        return nb_fail(err, NB_E_INVALID, 0, "name the module '%s': too long", path);
    if (boot && (!buf_append(order, name + sizeof(MODULES_FOLDER), strlen(name) - sizeof(MODULES_FOLDER)) || !buf_append(order, "\n", 1)))
        return nb_fail_oom(err);
    if (cpio_add_file(w, name, 0644, bytes, length) < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "archive '%s'", path);
    return 0;
}

static int archive_modules(int modules, const buf *paths, size_t boot, buf *archive, nb_error *err) {
    CLEANUP(buf_done) buf order;
    buf_init(&order, PATHS_MAX_BYTES);
    cpio_writer w = cpio_to_buf(archive);
    if (cpio_add_folder(&w, "lib", 0755) < 0 || cpio_add_folder(&w, "lib/nestbox", 0755) < 0 ||
        cpio_add_folder(&w, MODULES_FOLDER, 0755) < 0)
        return nb_fail_oom(err);
    size_t number = 0;
    for (const char *path = strv_next(strv_of(paths), NULL); path; path = strv_next(strv_of(paths), path)) {
        int r = add_module(&w, modules, path, number, number < boot, &order, err);
        if (r < 0)
            return r;
        number++;
    }
    if (cpio_add_file(&w, MODULES_FOLDER "/order", 0644, buf_bytes(&order), buf_length(&order)) < 0 || cpio_end(&w) < 0)
        return nb_fail_oom(err);
    return 0;
}

static int bundle_modules(int from, int to, nb_error *err) {
    CLEANUP(buf_done) buf paths;
    CLEANUP(buf_done) buf archive;
    buf_init(&paths, PATHS_MAX_BYTES);
    buf_init(&archive, MODULES_ARCHIVE_MAX_BYTES);
    CLEANUP(cleanup_fd) int modules = openat(from, "modules", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (modules < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "open 'modules'");
    size_t boot = 0;
    int r = order_modules(modules, &paths, &boot, err);
    if (r == 0)
        r = archive_modules(modules, &paths, boot, &archive, err);
    if (r == 0)
        r = write_at(to, "modules.cpio", buf_bytes(&archive), buf_length(&archive), err);
    return r;
}

/* ---------------------------------------------------------------------------------------------- built-in image */

/* Runs `busybox --list-full` and reads what it prints. */
static int ask_busybox(const char *program, char **ret_text, size_t *ret_length, nb_error *err) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "make a pipe");
    CLEANUP(cleanup_fd) int reader = ends[0];
    CLEANUP(cleanup_fd) int writer = ends[1];
    char *const argv[] = {(char *) "busybox", (char *) "--list-full", NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int e = posix_spawn_file_actions_init(&actions);
    if (e == 0) {
        e = posix_spawn_file_actions_adddup2(&actions, writer, STDOUT_FILENO);
        if (e == 0)
            e = posix_spawn(&pid, program, &actions, NULL, argv, environ);
        (void) posix_spawn_file_actions_destroy(&actions);
    }
    if (e != 0)
        return nb_fail_hint(err, nb_fail(err, NB_E_INTERNAL, e, "run '%s --list-full'", program),
                            "for another architecture's busybox, put its list of applets beside it as busybox.list");
    writer = fd_close(writer);
    int status, read_result = fd_read_file(reader, TEXT_MAX_BYTES, ret_text, ret_length), read_errno = errno;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (read_result < 0)
        return nb_fail(err, NB_E_INTERNAL, read_errno, "read the list of '%s'", program);
    if (status != 0)
        return nb_fail(err, NB_E_INTERNAL, 0, "run '%s --list-full': it ended with status %d", program, status);
    return 0;
}

typedef struct image {
    struct archive *archive;
    buf tar;
} image;

static la_ssize_t on_archive_write(struct archive *a, void *user, const void *bytes, size_t length) {
    if (buf_append(user, bytes, length))
        return (la_ssize_t) length;
    archive_set_error(a, ENOMEM, "the image is too large");
    return -1;
}

/* One entry, owned by root, with time 0. @target: of a symbolic link; @bytes: of a file. */
static int add_entry(image *i, const char *path, mode_t mode, const char *target, const void *bytes, size_t length, nb_error *err) {
    struct archive_entry *entry = archive_entry_new();
    if (!entry)
        return nb_fail_oom(err);
    archive_entry_set_pathname(entry, path);
    archive_entry_set_mode(entry, mode);
    archive_entry_set_mtime(entry, 0, 0);
    archive_entry_set_uid(entry, 0);
    archive_entry_set_gid(entry, 0);
    archive_entry_set_size(entry, (la_int64_t) length);
    if (target)
        archive_entry_set_symlink(entry, target);
    bool ok = archive_write_header(i->archive, entry) == ARCHIVE_OK &&
              (length == 0 || archive_write_data(i->archive, bytes, length) == (la_ssize_t) length);
    archive_entry_free(entry);
    return ok ? 0 : nb_fail(err, NB_E_STORAGE, 0, "archive '%s': %s", path, archive_error_string(i->archive));
}

static int add_text(image *i, const char *path, const char *text, nb_error *err) {
    return add_entry(i, path, S_IFREG | 0644, NULL, text, strlen(text), err);
}

static const struct {
    const char *path;
    mode_t permissions;
} image_folders[] = {
    {"bin", 0755},       {"dev", 0755},           {"etc", 0755},
    {"home", 0755},      {"lib", 0755},           {"mnt", 0755},
    {"opt", 0755},       {"proc", 0555},          {"root", 0700},
    {"run", 0755},       {"sbin", 0755},          {"srv", 0755},
    {"sys", 0555},       {"tmp", 01777},          {"usr", 0755},
    {"usr/bin", 0755},   {"usr/sbin", 0755},      {"usr/lib", 0755},
    {"usr/share", 0755}, {"usr/share/doc", 0755}, {"usr/share/doc/busybox", 0755},
    {"usr/local", 0755}, {"usr/local/bin", 0755}, {"usr/local/sbin", 0755},
    {"var", 0755},       {"var/cache", 0755},     {"var/lib", 0755},
    {"var/log", 0755},   {"var/tmp", 01777},
};

static int add_frame(image *i, nb_error *err) {
    int r = 0;
    for (size_t f = 0; f < ARRAY_LENGTH(image_folders) && r == 0; f++)
        r = add_entry(i, image_folders[f].path, S_IFDIR | image_folders[f].permissions, NULL, NULL, 0, err);
    if (r == 0)
        r = add_text(i, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n", err);
    if (r == 0)
        r = add_text(i, "etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n", err);
    return r;
}

/* An applet's path as busybox prints it: relative, in one of the image's folders or at the top. */
static bool is_applet_path(const char *path) {
    if (path[0] == '\0' || path[0] == '/' || strstr(path, "..") || strcmp(path, "bin/busybox") == 0)
        return false;
    const char *slash = strrchr(path, '/');
    if (!slash)
        return true;
    for (size_t f = 0; f < ARRAY_LENGTH(image_folders); f++) {
        if (strlen(image_folders[f].path) == (size_t) (slash - path) && strncmp(image_folders[f].path, path, (size_t) (slash - path)) == 0)
            return true;
    }
    return false;
}

static int add_applets(image *i, char *list, nb_error *err) {
    size_t count = 0;
    for (char *rest = list, *path; (path = strsep(&rest, "\n"));) {
        if (!is_applet_path(path))
            continue;
        int r = add_entry(i, path, S_IFLNK | 0777, "/bin/busybox", NULL, 0, err);
        if (r < 0)
            return r;
        count++;
    }
    return count > 0 ? 0 : nb_fail(err, NB_E_INVALID, 0, "list busybox's applets: there are none");
}

static int fill_image(image *i, int from, const char *kernel_dir, nb_error *err) {
    CLEANUP(cleanup_free) char *busybox = NULL, *copyright = NULL, *list = NULL;
    size_t busybox_length, copyright_length, list_length;
    int r = read_at(from, "busybox", BUSYBOX_MAX_BYTES, &busybox, &busybox_length, err);
    if (r < 0)
        return r;
    if (file_read(from, "busybox.list", TEXT_MAX_BYTES, &list, &list_length) < 0) {
        char program[4096];
        if (errno != ENOENT)
            return nb_fail(err, NB_E_STORAGE, errno, "read 'busybox.list'");
        (void) snprintf(program, sizeof(program), "%s/busybox", kernel_dir);
        r = ask_busybox(program, &list, &list_length, err);
        if (r < 0)
            return r;
    }
    r = add_frame(i, err);
    if (r == 0)
        r = add_entry(i, "bin/busybox", S_IFREG | 0755, NULL, busybox, busybox_length, err);
    if (r == 0)
        r = add_applets(i, list, err);
    if (r < 0)
        return r;
    if (file_read(from, "busybox.copyright", TEXT_MAX_BYTES, &copyright, &copyright_length) == 0)
        return add_entry(i, "usr/share/doc/busybox/copyright", S_IFREG | 0644, NULL, copyright, copyright_length, err);
    return errno == ENOENT ? 0 : nb_fail(err, NB_E_STORAGE, errno, "read 'busybox.copyright'");
}

static int bundle_image(int from, int to, const char *kernel_dir, nb_error *err) {
    image i = {.archive = archive_write_new()};
    if (!i.archive)
        return nb_fail_oom(err);
    buf_init(&i.tar, IMAGE_MAX_BYTES);
    int r = 0;
    if (archive_write_set_format_ustar(i.archive) != ARCHIVE_OK ||
        archive_write_open(i.archive, &i.tar, NULL, on_archive_write, NULL) != ARCHIVE_OK)
        r = nb_fail(err, NB_E_INTERNAL, 0, "make an archive: %s", archive_error_string(i.archive));
    if (r == 0)
        r = fill_image(&i, from, kernel_dir, err);
    if (r == 0 && archive_write_close(i.archive) != ARCHIVE_OK)
        r = nb_fail(err, NB_E_STORAGE, 0, "end the archive: %s", archive_error_string(i.archive));
    if (r == 0)
        r = write_at(to, "busybox.tar", buf_bytes(&i.tar), buf_length(&i.tar), err);
    (void) archive_write_free(i.archive);
    buf_done(&i.tar);
    return r;
}

/* ---------------------------------------------------------------------------------------------- program */

static int bundle(const char *kernel_dir, const char *out_dir, nb_error *err) {
    CLEANUP(cleanup_fd) int from = open(kernel_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "open '%s'", kernel_dir);
    CLEANUP(cleanup_fd) int to = -1;
    if (file_make_folders(out_dir, 0755) < 0 || (to = open(out_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "make '%s'", out_dir);
    int r = bundle_kernel(from, to, err);
    if (r == 0)
        r = bundle_modules(from, to, err);
    if (r == 0)
        r = bundle_image(from, to, kernel_dir, err);
    return r < 0 ? nb_fail_within(err, r, "bundle '%s'", kernel_dir) : 0;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        (void) fprintf(stderr, "usage: nestbox-guest-bundle KERNEL_DIR OUT_DIR\n");
        return 2;
    }
    nb_error error = {0};
    if (bundle(argv[1], argv[2], &error) == 0)
        return 0;
    (void) fprintf(stderr, "nestbox-guest-bundle: %s\n", error.message);
    if (error.hint[0])
        (void) fprintf(stderr, "hint: %s\n", error.hint);
    return 1;
}
