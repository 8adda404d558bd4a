/* SPDX-License-Identifier: Apache-2.0
 *
 * find.c - where QEMU is
 */
#include "machine/find.h"

#include "base/cleanup.h"
#include "base/error.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIND_PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

static bool is_program(const char *path) {
    struct stat status;
    if (stat(path, &status) < 0)
        return false;
    if (!S_ISREG(status.st_mode)) {
        errno = EACCES;
        return false;
    }
    return access(path, X_OK) == 0;
}

static int hint_package(const char *architecture, int result, nb_error *err) {
    bool is_arm = strcmp(architecture, "aarch64") == 0;
    return nb_fail_hint(err, result, "install qemu-system-%s, or set NESTBOX_QEMU to the program", is_arm ? "arm" : "x86");
}

static int take_named(const char *named, char **ret_path, nb_error *err) {
    if (named[0] != '/')
        return nb_fail(err, NB_E_MACHINE, 0, "use NESTBOX_QEMU '%s': it is not an absolute path", named);
    if (!is_program(named))
        return nb_fail(err, NB_E_MACHINE, errno, "use NESTBOX_QEMU '%s'", named);
    char *path = strdup(named);
    if (!path)
        return nb_fail_oom(err);
    *ret_path = path;
    return 0;
}

int machine_find_program(const char *architecture, char **ret_path, nb_error *err) {
    const char *named = getenv("NESTBOX_QEMU");
    if (named && named[0])
        return take_named(named, ret_path, err);

    const char *folders = getenv("PATH");
    if (!folders || !folders[0])
        folders = FIND_PATH_DEFAULT;
    for (const char *at = folders; *at;) {
        size_t length = strcspn(at, ":");
        /* A relative folder would mean another program in every working directory. */
        if (length > 0 && at[0] == '/') {
            CLEANUP(cleanup_free) char *path = NULL;
            if (asprintf(&path, "%.*s/qemu-system-%s", (int) length, at, architecture) < 0) {
                path = NULL;
                return nb_fail_oom(err);
            }
            if (is_program(path)) {
                *ret_path = take_ptr(&path);
                return 0;
            }
        }
        at += length;
        at += *at == ':';
    }
    int r = nb_fail(err, NB_E_MACHINE, 0, "look for qemu-system-%s: it is in no folder of PATH", architecture);
    return hint_package(architecture, r, err);
}
