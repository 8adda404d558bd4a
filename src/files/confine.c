/* SPDX-License-Identifier: Apache-2.0
 *
 * confine.c - leaves a file server nothing of the host but its volume
 *
 * Theory of operation
 *   The server parses what a guest sends. Should one ever take it over, it shall find nothing that it did not have anyway: the volume. So the
 *   process moves into namespaces of its own, as root directly, else by a user namespace in which it is only itself; there a tmpfs becomes
 *   its root, with the volume as the only thing in it. A host that forbids user namespaces leaves an ordinary user's server with its user's
 *   rights; what it opens is then held to the volume by the way it is opened alone (node.h).
 */
#include "files/confine.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

/* What is needed to be every user of the guest's on the volume: root's server keeps these. */
#define ROOT_CAPABILITIES                                                                                                            \
    (1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER | 1u << CAP_FSETID | 1u << CAP_SETUID | \
     1u << CAP_SETGID)

static int write_text(const char *path, const char *text) {
    CLEANUP(cleanup_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 ? -1 : fd_write_all(fd, text, strlen(text));
}

/* A user namespace with nobody in it but ourselves, under our own number. */
static int become_alone(uid_t user, gid_t group) {
    char text[64];
    (void) write_text("/proc/self/setgroups", "deny");
    (void) snprintf(text, sizeof(text), "%u %u 1\n", (unsigned) user, (unsigned) user);
    if (write_text("/proc/self/uid_map", text) < 0)
        return -1;
    (void) snprintf(text, sizeof(text), "%u %u 1\n", (unsigned) group, (unsigned) group);
    return write_text("/proc/self/gid_map", text);
}

static int enter_namespaces(void) {
    uid_t user = geteuid();
    gid_t group = getegid();
    if (user == 0)
        return unshare(NAMESPACES);
    return unshare(NAMESPACES | CLONE_NEWUSER) < 0 ? -1 : become_alone(user, group);
}

/* The volume as "v" in a tmpfs that becomes the root. 0, or -1 with errno. */
static int move_to_volume(const char *path, bool folder, bool read_only) {
    static const char stage[] = "/tmp"; /* any folder that is there: it is covered in our namespace alone */
    char target[sizeof(stage) + 2];
    (void) snprintf(target, sizeof(target), "%s/v", stage);
    CLEANUP(cleanup_fd) int tree = -1, file = -1;
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) /* what is mounted below it later shows, as in other containers */
        return -1;
    tree = (int) syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0 || mount("tmpfs", stage, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,mode=755") < 0)
        return -1;
    if (folder ? mkdir(target, 0700) < 0 : (file = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) < 0)
        return -1;
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (read_only ? MOUNT_ATTR_RDONLY : 0)};
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof(attributes)) < 0 ||
        syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -1;
    if (chdir(stage) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
        return -1;
    return chdir("/");
}

static int drop_capabilities(void) {
    uint32_t kept = geteuid() == 0 ? ROOT_CAPABILITIES : 0;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2] = {{.effective = kept, .permitted = kept}, {0}};
    if (syscall(SYS_capset, &header, sets) < 0)
        return -1;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void) setrlimit(RLIMIT_NOFILE, &limit);
}

int confine_to(const char *path, bool read_only, int *ret_root, int *ret_descriptors, nb_error *err) {
    struct stat status, inside;
    CLEANUP(cleanup_fd) int root = open(path, O_PATH | O_CLOEXEC);
    if (root < 0 || fstat(root, &status) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "open '%s'", path);
    CLEANUP(cleanup_fd) int descriptors = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (descriptors < 0)
        return nb_fail(err, NB_E_UNSUPPORTED, errno, "open /proc/self/fd");
    raise_descriptor_limit();
    if (enter_namespaces() == 0) {
        if (move_to_volume(path, S_ISDIR(status.st_mode), read_only) < 0)
            return nb_fail(err, NB_E_PERMISSION, errno, "leave all but '%s'", path);
        root = fd_close(root);
        root = open("/v", O_PATH | O_CLOEXEC);
        if (root < 0 || fstat(root, &inside) < 0 || inside.st_dev != status.st_dev || inside.st_ino != status.st_ino)
            return nb_fail(err, NB_E_STORAGE, root < 0 ? errno : 0, "open '%s' again: it was replaced just now", path);
    }
    if (fchdir(descriptors) < 0 || drop_capabilities() < 0)
        return nb_fail(err, NB_E_PERMISSION, errno, "give up rights");
    *ret_root = take_fd(&root);
    *ret_descriptors = take_fd(&descriptors);
    return 0;
}
