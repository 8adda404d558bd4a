/* SPDX-License-Identifier: Apache-2.0
 *
 * policy.c - which files a machine's process may have opened for it
 *
 * What QEMU 7.2 was seen to open at its start, what its libraries do, and the like elsewhere: nothing that is anybody's. Nothing is opened for writing
 * but a few devices; all else that QEMU writes to was given to it open.
 */
#include "jail/policy.h"

#include "base/path.h"
#include "base/size.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* What changes a file, or makes one. */
#define CHANGING_FLAGS (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))

static const char *const folders[] = {
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/qemu",
    "/usr/local/share/qemu",
    "/nix/store",
    "/usr/share/seabios",
    "/usr/share/zoneinfo",
    "/gnu/store",
    "/sys/devices/system",
    "/sys/bus/nd",
};

static const char *const files[] = {
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/libnl/classid",
    "/proc/filesystems",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/mounts",
    "/proc/sys/vm/overcommit_memory",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size",
};

/* Of the asker's own entry. */
static const char *const own_files[] = {"status", "stat", "maps", "auxv"};

static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/kvm", "/dev/urandom", "/dev/random"};

static bool is_listed(const char *const *list, size_t count, const char *path) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(path, list[i]) == 0)
            return true;
    }
    return false;
}

/* PREFIX/bin/qemu-...: PREFIX/lib, PREFIX/lib64, PREFIX/libexec, PREFIX/share/qemu. */
static bool is_installed_with(const char *program, const char *path) {
    static const char *const beside[] = {"/lib", "/lib64", "/libexec", "/share/qemu"};
    const char *name = strrchr(program, '/');
    static const char bin[] = "/bin";
    size_t prefix = name ? (size_t) (name - program) : 0;
    if (prefix <= sizeof(bin) - 1 || strncmp(program + prefix - (sizeof(bin) - 1), bin, sizeof(bin) - 1) != 0)
        return false;
    prefix -= sizeof(bin) - 1;
    if (strncmp(path, program, prefix) != 0)
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(beside); i++) {
        if (path_is_within(path + prefix, beside[i]))
            return true;
    }
    return false;
}

static bool is_of_the_system(const char *program, const char *path) {
    for (size_t i = 0; i < ARRAY_LENGTH(folders); i++) {
        if (path_is_within(path, folders[i]))
            return true;
    }
    /* Itself: it may be a script, which its shell reads. */
    return is_listed(files, ARRAY_LENGTH(files), path) || strcmp(path, program) == 0 || is_installed_with(program, path);
}

/* "fd/3": digits alone. */
static bool is_descriptor(const char *rest) {
    return strncmp(rest, "fd/", 3) == 0 && rest[3] && strspn(rest + 3, "0123456789") == strlen(rest + 3);
}

policy_verdict policy_judge(const char *program, const char *path, int flags, char *ret_path) {
    static const char self[] = "/proc/self/";
    if (path[0] != '/' || strlen(path) >= PATH_MAX - 1)
        return POLICY_REFUSED;
    ret_path[0] = '/';
    path_clean(ret_path + 1, 0, path);
    if (is_listed(devices, ARRAY_LENGTH(devices), ret_path) && !(flags & (CHANGING_FLAGS & ~O_RDWR)))
        return POLICY_DEVICE;
    bool is_own = strncmp(ret_path, self, sizeof(self) - 1) == 0 && is_descriptor(ret_path + sizeof(self) - 1);
    /* QEMU asks for its memory's file as if it were to write to it, and is content with less. */
    if (flags & (is_own ? CHANGING_FLAGS & ~O_RDWR : CHANGING_FLAGS))
        return POLICY_REFUSED;
    if (strncmp(ret_path, self, sizeof(self) - 1) == 0) {
        memmove(ret_path, ret_path + sizeof(self) - 1, strlen(ret_path) - (sizeof(self) - 1) + 1);
        return is_own ? POLICY_OWN : is_listed(own_files, ARRAY_LENGTH(own_files), ret_path) ? POLICY_ASKER : POLICY_REFUSED;
    }
    return is_of_the_system(program, ret_path) ? POLICY_READ : POLICY_REFUSED;
}
