/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime.c - opening a home, and what the library says of itself
 */
#include "runtime/runtime.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/process.h"
#include "base/size.h"
#include "machine/accel.h"
#include "machine/find.h"
#include "runtime/box.h"
#include "runtime/image.h"
#include "runtime/options.h"
#include "runtime/pull.h"
#include "runtime/result.h"
#include "runtime/volume.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef NESTBOX_LIBDIR
#error "the build says where the library is installed"
#endif

#define KERNEL_VERSION_MAX_BYTES 127u

/* A sweep may have a large folder to remove. */
#define HOME_LOCK_WAIT_MS 60000

const char *nb_version(void) {
    return NB_VERSION;
}

const char *nb_error_text(int code) {
    return nb_code_text(code < 0 ? -code : code);
}

int nb_signal_number(const char *name) {
    return name ? signal_number(name) : 0;
}

const char *host_architecture(void) {
    return strcmp(host_machine(), "aarch64") == 0 ? "arm64" : "amd64";
}

const char *host_machine(void) {
    struct utsname names;
    return uname(&names) == 0 && strcmp(names.machine, "aarch64") == 0 ? "aarch64" : "x86_64";
}

/* ------------------------------------------------------------------------------------------------------- guest bundle */

void guest_bundle_done(guest_bundle *bundle) {
    free(bundle->kernel);
    free(bundle->modules);
    free(bundle->busybox);
    *bundle = (guest_bundle){0};
}

static char *join(const char *folder, const char *name) {
    char *path;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* 0, or -1 with errno. */
static int read_bundle(const char *folder, guest_bundle *ret_bundle) {
    CLEANUP(cleanup_fd) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(cleanup_free) char *version = NULL;
    size_t length;
    if (fd < 0 || faccessat(fd, "vmlinuz", R_OK, 0) < 0 || faccessat(fd, "modules.cpio", R_OK, 0) < 0 ||
        faccessat(fd, "busybox.tar", R_OK, 0) < 0 || file_read(fd, "kernel-version", KERNEL_VERSION_MAX_BYTES, &version, &length) < 0)
        return -1;
    guest_bundle bundle = {join(folder, "vmlinuz"), join(folder, "modules.cpio"), join(folder, "busybox.tar"), ""};
    (void) snprintf(bundle.kernel_version, sizeof(bundle.kernel_version), "%.*s", (int) strcspn(version, "\n"), version);
    if (!bundle.kernel || !bundle.modules || !bundle.busybox) {
        guest_bundle_done(&bundle);
        errno = ENOMEM;
        return -1;
    }
    *ret_bundle = bundle;
    return 0;
}

/* Beside the library, or the program that it is linked into: a build folder, a wheel, an npm package; or as it is installed, wherever. 0, or -1
 * with errno. */
static int read_bundle_beside_us(guest_bundle *ret_bundle) {
    static const char *const names[] = {"guest", "nestbox/guest"};
    Dl_info here;
    char path[PATH_MAX];
    errno = ENOENT;
    if (!dladdr((void *) guest_bundle_find, &here) || !here.dli_fname)
        return -1;
    CLEANUP(cleanup_free) char *file = realpath(strchr(here.dli_fname, '/') ? here.dli_fname : "/proc/self/exe", NULL);
    char *slash = file ? strrchr(file, '/') : NULL;
    if (!slash)
        return -1;
    *slash = '\0';
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        (void) snprintf(path, sizeof(path), "%s/%s", file, names[i]);
        if (read_bundle(path, ret_bundle) == 0)
            return 0;
        if (errno == ENOMEM)
            return -1;
    }
    return -1;
}

int guest_bundle_find(guest_bundle *ret_bundle, nb_error *err) {
    const char *given = getenv("NESTBOX_GUEST_DIR");
    if (given && *given) {
        CLEANUP(cleanup_free) char *absolute = realpath(given, NULL);
        if (absolute && read_bundle(absolute, ret_bundle) == 0)
            return 0;
        if (errno == ENOMEM)
            return nb_fail_oom(err);
        return nb_fail_hint(err, nb_fail(err, NB_E_MACHINE, errno, "find the guest kernel in '%s' ($NESTBOX_GUEST_DIR)", given),
                            "the folder must hold vmlinuz, modules.cpio, busybox.tar and kernel-version");
    }
    int result = read_bundle_beside_us(ret_bundle);
    if (result < 0 && errno != ENOMEM)
        result = read_bundle(NESTBOX_LIBDIR "/nestbox/guest", ret_bundle);
    if (result == 0)
        return 0;
    if (errno == ENOMEM)
        return nb_fail_oom(err);
    return nb_fail_hint(err, nb_fail(err, NB_E_MACHINE, errno, "find the guest kernel in '%s'", NESTBOX_LIBDIR "/nestbox/guest"),
                        "install the guest bundle, or say where it is with $NESTBOX_GUEST_DIR");
}

/* --------------------------------------------------------------------------------------------------------- the home */

static int choose_home(const char *wanted, char **ret_home, nb_error *err) {
    const char *data = getenv("XDG_DATA_HOME"), *user = getenv("HOME"), *given = getenv("NESTBOX_HOME");
    char *home = NULL;
    if (!wanted && given && *given)
        wanted = given;
    if (wanted && !*wanted)
        return nb_fail(err, NB_E_INVALID, 0, "open the home '': it has no name");
    int length;
    if (wanted)
        length = asprintf(&home, "%s", wanted);
    else if (data && *data == '/')
        length = asprintf(&home, "%s/nestbox", data);
    else if (user && *user == '/')
        length = asprintf(&home, "%s/.local/share/nestbox", user);
    else
        return nb_fail_hint(err, nb_fail(err, NB_E_INVALID, 0, "choose a home: neither $NESTBOX_HOME nor $HOME is set"),
                            "set $NESTBOX_HOME");
    if (length < 0)
        return nb_fail_oom(err);
    *ret_home = home;
    return 0;
}

static int fail_home(nb_error *err, const char *home, int error) {
    int result = nb_fail(err, nb_code_of_errno(error), error, "open the home '%s'", home);
    return error == ENOSPC ? nb_fail_hint(err, result, "make room on its file system, or name another with --home or $NESTBOX_HOME")
                           : nb_fail_hint(err, result, "name a folder that you may write with --home or $NESTBOX_HOME");
}

static int open_subfolder(nb_runtime *rt, const char *name, int *ret_fd, nb_error *err) {
    if (mkdirat(rt->folder, name, 0700) < 0 && errno != EEXIST)
        return fail_home(err, rt->home, errno);
    *ret_fd = openat(rt->folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return *ret_fd < 0 ? fail_home(err, rt->home, errno) : 0;
}

static int open_home(nb_runtime *rt, const char *wanted, nb_error *err) {
    CLEANUP(cleanup_free) char *chosen = NULL;
    int result = choose_home(wanted, &chosen, err);
    if (result < 0)
        return result;
    if (file_make_folders(chosen, 0700) < 0)
        return fail_home(err, chosen, errno);
    rt->home = realpath(chosen, NULL);
    if (!rt->home)
        return fail_home(err, chosen, errno);
    struct stat status;
    rt->folder = open(rt->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (rt->folder < 0 || fstat(rt->folder, &status) < 0)
        return fail_home(err, rt->home, errno);
    if (status.st_uid != geteuid())
        return nb_fail_hint(
            err, nb_fail(err, NB_E_PERMISSION, 0, "open the home '%s': it belongs to another user (uid %u)", rt->home, status.st_uid),
            "name a folder of your own with --home or $NESTBOX_HOME");
    if (faccessat(rt->folder, ".", W_OK, AT_EACCESS) < 0)
        return fail_home(err, rt->home, errno);
    result = open_subfolder(rt, HOME_BOXES, &rt->boxes, err);
    if (result == 0)
        result = open_subfolder(rt, HOME_IMAGES, &rt->images, err);
    if (result == 0)
        result = open_subfolder(rt, HOME_CACHE, &rt->cache, err);
    return result;
}

static int open_lock(const nb_runtime *rt) {
    return openat(rt->folder, HOME_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

int home_lock(const nb_runtime *rt, nb_error *err) {
    CLEANUP(cleanup_fd) int fd = open_lock(rt);
    if (fd < 0 || lock_wait(fd, HOME_LOCK_WAIT_MS) < 0)
        return nb_fail(err, errno == EAGAIN ? NB_E_TIMEOUT : nb_code_of_errno(errno), errno, "lock the home '%s'", rt->home);
    return take_fd(&fd);
}

int home_program(const nb_runtime *rt, const embedded_program *program, char **ret_path, nb_error *err) {
    CLEANUP(cleanup_free) char *cache = NULL;
    if (asprintf(&cache, "%s/" HOME_CACHE, rt->home) < 0)
        return nb_fail_oom(err);
    return embedded_open(program, rt->cache, cache, &rt->log, ret_path, err);
}

/* Who cannot have the lock leaves the sweeping to who has it. */
static void sweep(nb_runtime *rt) {
    CLEANUP(cleanup_fd) int fd = open_lock(rt);
    if (fd < 0 || lock_take(fd) < 0)
        return;
    box_sweep(rt);
    volume_sweep(rt);
    image_sweep(rt);
    pull_sweep(rt, (strv){0});
}

int nb_runtime_sweep(nb_runtime *rt, nb_error *err) {
    if (!rt)
        return nb_fail(err, NB_E_INVALID, 0, "sweep a home: it is NULL");
    sweep(rt);
    return 0;
}

/* The public enum and the internal one are the same numbers. */
static void forward_log(void *user, int level, const char *line) {
    nb_runtime *rt = user;
    rt->options.log(rt->options.log_user, (nb_log_level) level, line);
}

static int open_runtime(nb_runtime *rt, nb_error *err) {
    int result = 0;
    const char *accelerator = rt->options.accelerator ? rt->options.accelerator : getenv("NESTBOX_ACCEL");
    if (rt->options.log)
        rt->log = (log_sink){.write = forward_log, .user = rt, .max_level = (int) rt->options.log_level};
    if (accelerator && *accelerator) {
        if (strcmp(accelerator, "kvm") != 0 && strcmp(accelerator, "tcg") != 0)
            return nb_fail(err, NB_E_INVALID, 0, "use the accelerator '%s': it must be kvm or tcg", accelerator);
        rt->accelerator = strdup(accelerator);
        if (!rt->accelerator)
            return nb_fail_oom(err);
    }
    result = open_home(rt, rt->options.home, err);
    if (result < 0)
        return result;
    CLEANUP(cleanup_free) char *database = join(rt->home, HOME_DATABASE);
    if (!database)
        return nb_fail_oom(err);
    result = store_open(database, &rt->store, err);
    if (result == 0)
        sweep(rt);
    return result;
}

int nb_runtime_open(const nb_runtime_options *options, nb_runtime **ret_runtime, nb_error *err) {
    nb_runtime_options given;
    int result = options_take(&given, sizeof(given), options, "nb_runtime_options", err);
    if (result < 0)
        return result;
    nb_runtime *rt = calloc(1, sizeof(*rt));
    if (!rt)
        return nb_fail_oom(err);
    rt->folder = rt->boxes = rt->images = rt->cache = -1;
    rt->options = given;
    result = open_runtime(rt, err);
    rt->options.home = rt->options.accelerator = NULL; /* the caller's memory */
    if (result < 0) {
        nb_runtime_close(rt);
        return result;
    }
    *ret_runtime = rt;
    return 0;
}

void nb_runtime_close(nb_runtime *rt) {
    if (!rt)
        return;
    store_close(rt->store);
    (void) fd_close(rt->boxes);
    (void) fd_close(rt->images);
    (void) fd_close(rt->cache);
    (void) fd_close(rt->folder);
    free(rt->home);
    free(rt->accelerator);
    free(rt);
}

/* -------------------------------------------------------------------------------------------------------------- info */

int nb_runtime_info(nb_runtime *rt, nb_info **ret_info, nb_error *err) {
    arena *a;
    nb_info *info = result_new(sizeof(*info), &a);
    if (!info)
        return nb_fail_oom(err);
    accel_choice accel;
    CLEANUP(cleanup_free) char *qemu = NULL;
    guest_bundle bundle = {0};
    int result = store_count(rt->store, &info->boxes, &info->images, err);
    if (result == 0)
        result = box_count_running(rt, &info->boxes_running, err);
    if (result < 0) {
        result_free(info);
        return result;
    }
    nb_error why;
    if (accel_choose(rt->accelerator, &accel, &why) == 0) {
        info->accelerator = arena_string(a, accel.name);
        info->accelerator_reason = arena_string(a, accel.reason);
    } else {
        info->accelerator = arena_string(a, rt->accelerator);
        info->accelerator_reason = arena_string(a, why.message);
    }
    info->version = NB_VERSION;
    info->home = arena_string(a, rt->home);
    info->architecture = host_architecture();
    if (machine_find_program(host_machine(), &qemu, NULL) == 0)
        info->qemu = arena_string(a, qemu);
    if (guest_bundle_find(&bundle, NULL) == 0) {
        info->kernel = arena_string(a, bundle.kernel);
        info->kernel_version = arena_string(a, bundle.kernel_version);
        guest_bundle_done(&bundle);
    }
    if (a->failed) {
        result_free(info);
        return nb_fail_oom(err);
    }
    *ret_info = info;
    return 0;
}

void nb_info_free(nb_info *info) {
    result_free(info);
}
