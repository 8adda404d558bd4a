/* SPDX-License-Identifier: Apache-2.0
 *
 * mount.c - mounts in the container, by a process of it
 *
 * Theory of operation
 *   Like the copier (copy.c) the mounter is an exec that goes on in this program. It sees the container's tree as everybody in it does, so
 *   whatever links the image has on the way to a target, they lead to nowhere outside; and a target within another volume is looked up in it,
 *   which only hangs this process should that volume hang. What it mounts was opened by the agent, and comes as a descriptor that is mounted
 *   nowhere yet.
 */
#include "guest/mount.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/size.h"
#include "wire/mount-order.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int make_folders(char *path, size_t length) {
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && i < length)
            continue;
        char after = path[i];
        path[i] = '\0';
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return -1;
        path[i] = after;
    }
    return 0;
}

/* Sees to it that there is something to mount on. 0, or -1 with errno. */
static int make_target(char *target, bool file) {
    size_t length = strlen(target);
    while (length > 1 && target[length - 1] == '/')
        target[--length] = '\0';
    size_t parent = file ? (size_t) (strrchr(target, '/') - target) : length;
    struct stat status;
    if (stat(target, &status) == 0) {
        errno = S_ISDIR(status.st_mode) ? EISDIR : ENOTDIR;
        return S_ISDIR(status.st_mode) == !file ? 0 : -1;
    }
    if (make_folders(target, parent) < 0)
        return -1;
    if (!file)
        return 0;
    int fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
    if (fd < 0)
        return -1;
    (void) fd_close(fd);
    return 0;
}

/* Links are followed, those of /proc are not: they lead past the tree. -1 with errno. */
static int open_target(const char *target) {
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = root < 0 ? -1 : (int) syscall(SYS_openat2, root, target, &how, sizeof(how)), error = errno;
    (void) fd_close(root);
    errno = error;
    return fd;
}

static int mount_on(int tree, char *target, bool file, nb_error *err) {
    if (make_target(target, file) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make '%s' in the box to mount on", target);
    int at = open_target(target);
    if (at < 0 || syscall(SYS_move_mount, tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "mount on '%s' in the box", target);
    return 0;
}

static bool has_flag(const char *flags, const char *flag) {
    size_t length = strlen(flag);
    for (const char *at = flags; *at; at += strcspn(at, ","), at += *at == ',') {
        if (strcspn(at, ",") == length && memcmp(at, flag, length) == 0)
            return true;
    }
    return false;
}

static unsigned tmpfs_attributes(const char *flags) {
    return (has_flag(flags, WIRE_MOUNT_READ_ONLY) ? MOUNT_ATTR_RDONLY : 0) | (has_flag(flags, WIRE_MOUNT_EXEC) ? 0 : MOUNT_ATTR_NOEXEC) |
           (has_flag(flags, WIRE_MOUNT_SUID) ? 0 : MOUNT_ATTR_NOSUID) | (has_flag(flags, WIRE_MOUNT_DEV) ? 0 : MOUNT_ATTR_NODEV);
}

/* "size=64m,mode=1777" into a new tmpfs. 0, or -1 with errno. */
static int set_options(int context, char *options) {
    for (char *word = options, *next; word && *word; word = next) {
        next = strchr(word, ',');
        if (next)
            *next++ = '\0';
        char *value = strchr(word, '=');
        if (value)
            *value++ = '\0';
        if (syscall(SYS_fsconfig, context, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, word, value, 0) < 0)
            return -1;
    }
    return 0;
}

static int mount_tmpfs(const char *flags, char *target, char *options, nb_error *err) {
    int context = (int) syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (context < 0 || set_options(context, options) < 0 || syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make a tmpfs for '%s' in the box", target);
    int tree = (int) syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, tmpfs_attributes(flags));
    if (tree < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make a tmpfs for '%s' in the box", target);
    return mount_on(tree, target, false, err);
}

static int unmount(const char *target, nb_error *err) {
    if (umount2(target, UMOUNT_NOFOLLOW) == 0)
        return 0;
    return nb_fail(err, nb_code_of_errno(errno), errno, "unmount '%s' in the box", target);
}

_Noreturn void mount_become(strv order) {
    char **words = strv_pointers(order);
    nb_error err = {0};
    int result;
    bool whole = true;
    (void) prctl(PR_SET_NAME, "mount");
    fd_close_others(STDERR_FILENO, STDERR_FILENO); /* the zygote's are ours until here */
    for (size_t i = 0; words && words[i]; i++)     /* the order is memory that cannot be written */
        whole = (words[i] = strdup(words[i])) != NULL && whole;
    if (!words || !whole)
        result = nb_fail_oom(&err);
    else if (strv_count(order) != WIRE_MOUNT_WORDS || words[2][0] != '/')
        result = nb_fail(&err, NB_E_INVALID, 0, "there is no such order");
    else if (strcmp(words[0], WIRE_MOUNT_VOLUME) == 0)
        result = mount_on(STDIN_FILENO, words[2], strcmp(words[3], WIRE_MOUNT_FILE) == 0, &err);
    else if (strcmp(words[0], WIRE_MOUNT_REMOVE) == 0)
        result = unmount(words[2], &err);
    else if (strcmp(words[0], WIRE_MOUNT_TMPFS) == 0)
        result = mount_tmpfs(words[1], words[2], words[3], &err);
    else
        result = nb_fail(&err, NB_E_INVALID, 0, "there is no such order");
    if (result < 0)
        (void) dprintf(STDERR_FILENO, "%s\n", err.message);
    _exit(result < 0 ? 1 : 0);
}
