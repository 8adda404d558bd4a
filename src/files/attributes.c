/* SPDX-License-Identifier: Apache-2.0
 *
 * attributes.c - operations on what a file is: mode, owner, size, times, extended attributes; and on the file system
 *
 * Of extended attributes a guest may have "user.*" alone: the others mean something to the host.
 */
#include "files/volume.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* linux/limits.h: XATTR_SIZE_MAX, XATTR_LIST_MAX */
#define ATTRIBUTE_MAX_BYTES 65536u

static void on_getattr(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info) {
    node *n = volume_node(request, number);
    if (n)
        volume_reply_attributes(request, n);
}

static int change_mode(node *n, mode_t mode) {
    CLEANUP(cleanup_fd) int fd = node_open_path(n);
    return fd < 0 ? -1 : fchmodat(volume_served.descriptors, volume_descriptor(fd).text, volume_mode(mode, n->type == S_IFDIR), 0);
}

static int change_owner(node *n, uid_t user, gid_t group) {
    CLEANUP(cleanup_fd) int fd = node_open_path(n);
    return fd < 0 ? -1 : fchownat(fd, "", user, group, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
}

static int change_size(node *n, const handle *open_file, off_t size) {
    if (open_file)
        return ftruncate(open_file->fd, size);
    CLEANUP(cleanup_fd) int path = n->type == S_IFREG ? node_open_path(n) : -1;
    if (n->type != S_IFREG)
        errno = EINVAL;
    CLEANUP(cleanup_fd)
    int fd = path < 0 ? -1 : openat(volume_served.descriptors, volume_descriptor(path).text, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 ? -1 : ftruncate(fd, size);
}

static struct timespec wanted_time(const struct timespec *given, int what, int set, int now) {
    if (what & now)
        return (struct timespec){.tv_nsec = UTIME_NOW};
    return what & set ? *given : (struct timespec){.tv_nsec = UTIME_OMIT};
}

static int change_times(node *n, const struct stat *wanted, int what) {
    const struct timespec times[2] = {wanted_time(&wanted->st_atim, what, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW),
                                      wanted_time(&wanted->st_mtim, what, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW)};
    CLEANUP(cleanup_fd) int fd = node_open_path(n);
    return fd < 0 ? -1 : utimensat(fd, "", times, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
}

/* In the order of the kernel's own: whoever may give a file away may set its mode first. */
static int change(node *n, const handle *open_file, const struct stat *wanted, int what) {
    uid_t user;
    gid_t group;
    if (what & FUSE_SET_ATTR_MODE && change_mode(n, wanted->st_mode) < 0)
        return -1;
    if (what & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) {
        if (volume_owner_of(what & FUSE_SET_ATTR_UID ? wanted->st_uid : (uid_t) -1, what & FUSE_SET_ATTR_GID ? wanted->st_gid : (gid_t) -1,
                            &user, &group) < 0) {
            errno = EPERM;
            return -1;
        }
        if (change_owner(n, user, group) < 0)
            return -1;
    }
    if (what & FUSE_SET_ATTR_SIZE && change_size(n, open_file, wanted->st_size) < 0)
        return -1;
    if (what & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW))
        return change_times(n, wanted, what);
    return 0;
}

static void on_setattr(fuse_req_t request, fuse_ino_t number, struct stat *wanted, int what, struct fuse_file_info *info) {
    node *n = volume_node(request, number);
    const handle *open_file = n && info ? volume_handle(request, info) : NULL;
    if (!n || (info && !open_file) || volume_refuses_write(request))
        return;
    if (change(n, open_file, wanted, what) < 0)
        (void) fuse_reply_err(request, errno);
    else
        volume_reply_attributes(request, n);
}

static void on_statfs(fuse_req_t request, fuse_ino_t number) {
    struct statvfs status;
    const node *root = node_find(NODE_ROOT);
    if (fstatvfs(root->fd, &status) < 0)
        (void) fuse_reply_err(request, errno);
    else
        (void) fuse_reply_statfs(request, &status);
}

/* ------------------------------------------------------------------------------------------------ extended attributes */

static bool is_users(const char *name) {
    return strncmp(name, "user.", 5) == 0;
}

/* These calls know no folder to start from: the working folder is /proc/self/fd. The descriptor is the caller's to close; -1 with errno. */
static int enter(node *n, descriptor_name *ret_name) {
    int fd = node_open_path(n);
    if (fd >= 0)
        *ret_name = volume_descriptor(fd);
    return fd;
}

static void on_getxattr(fuse_req_t request, fuse_ino_t number, const char *attribute, size_t size) {
    static char value[ATTRIBUTE_MAX_BYTES];
    node *n = volume_node(request, number);
    descriptor_name name;
    if (!n)
        return;
    CLEANUP(cleanup_fd) int fd = is_users(attribute) ? enter(n, &name) : -1;
    if (!is_users(attribute))
        errno = EOPNOTSUPP;
    ssize_t length = fd < 0 ? -1 : getxattr(name.text, attribute, value, sizeof(value));
    if (length < 0)
        (void) fuse_reply_err(request, errno);
    else if (size == 0)
        (void) fuse_reply_xattr(request, (size_t) length);
    else if ((size_t) length > size)
        (void) fuse_reply_err(request, ERANGE);
    else
        (void) fuse_reply_buf(request, value, (size_t) length);
}

/* Keeps the names that a guest may know. */
static size_t filter_names(char *names, size_t length) {
    size_t kept = 0;
    for (size_t at = 0, bytes; at < length; at += bytes) {
        bytes = strnlen(names + at, length - at) + 1;
        if (at + bytes > length)
            break;
        if (!is_users(names + at))
            continue;
        memmove(names + kept, names + at, bytes);
        kept += bytes;
    }
    return kept;
}

static void on_listxattr(fuse_req_t request, fuse_ino_t number, size_t size) {
    static char names[ATTRIBUTE_MAX_BYTES];
    node *n = volume_node(request, number);
    descriptor_name name;
    if (!n)
        return;
    CLEANUP(cleanup_fd) int fd = enter(n, &name);
    ssize_t all = fd < 0 ? -1 : listxattr(name.text, names, sizeof(names));
    size_t length = all < 0 ? 0 : filter_names(names, (size_t) all);
    if (all < 0)
        (void) fuse_reply_err(request, errno);
    else if (size == 0)
        (void) fuse_reply_xattr(request, length);
    else if (length > size)
        (void) fuse_reply_err(request, ERANGE);
    else
        (void) fuse_reply_buf(request, names, length);
}

static void on_setxattr(fuse_req_t request, fuse_ino_t number, const char *attribute, const char *value, size_t size, int flags) {
    node *n = volume_node(request, number);
    descriptor_name name;
    if (!n || volume_refuses_write(request))
        return;
    CLEANUP(cleanup_fd) int fd = is_users(attribute) ? enter(n, &name) : -1;
    if (!is_users(attribute))
        errno = EOPNOTSUPP;
    (void) fuse_reply_err(request, fd < 0 || setxattr(name.text, attribute, value, size, flags) < 0 ? errno : 0);
}

static void on_removexattr(fuse_req_t request, fuse_ino_t number, const char *attribute) {
    node *n = volume_node(request, number);
    descriptor_name name;
    if (!n || volume_refuses_write(request))
        return;
    CLEANUP(cleanup_fd) int fd = is_users(attribute) ? enter(n, &name) : -1;
    if (!is_users(attribute))
        errno = EOPNOTSUPP;
    (void) fuse_reply_err(request, fd < 0 || removexattr(name.text, attribute) < 0 ? errno : 0);
}

void attribute_operations(struct fuse_lowlevel_ops *ops) {
    ops->getattr = on_getattr;
    ops->setattr = on_setattr;
    ops->statfs = on_statfs;
    ops->getxattr = on_getxattr;
    ops->listxattr = on_listxattr;
    ops->setxattr = on_setxattr;
    ops->removexattr = on_removexattr;
}
