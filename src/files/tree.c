/* SPDX-License-Identifier: Apache-2.0
 *
 * tree.c - operations on names: looked up, made, linked, moved, removed
 */
#include "files/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void on_lookup(fuse_req_t request, fuse_ino_t parent_number, const char *name) {
    node *parent;
    if (volume_folder(request, parent_number, name, &parent) >= 0)
        volume_reply_entry(request, parent, name);
}

static void on_forget(fuse_req_t request, fuse_ino_t number, uint64_t lookups) {
    node *n = node_find(number);
    if (n)
        node_forget(n, lookups);
    fuse_reply_none(request);
}

static void on_forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets) {
    for (size_t i = 0; i < count; i++) {
        node *n = node_find(forgets[i].ino);
        if (n)
            node_forget(n, forgets[i].nlookup);
    }
    fuse_reply_none(request);
}

static void on_mknod(fuse_req_t request, fuse_ino_t parent_number, const char *name, mode_t mode, dev_t device) {
    node *parent;
    int fd;
    if (volume_refuses_write(request) || (fd = volume_folder(request, parent_number, name, &parent)) < 0)
        return;
    if (!S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode)) {
        (void) fuse_reply_err(request, EPERM); /* devices of the guest's are none of the host's */
        return;
    }
    volume_begin_as(request);
    int result = mknodat(fd, name, volume_mode(mode, false) | (mode & S_IFMT), 0);
    volume_end_as();
    if (result < 0)
        (void) fuse_reply_err(request, errno);
    else
        volume_reply_entry(request, parent, name);
}

static void on_mkdir(fuse_req_t request, fuse_ino_t parent_number, const char *name, mode_t mode) {
    node *parent;
    int fd;
    if (volume_refuses_write(request) || (fd = volume_folder(request, parent_number, name, &parent)) < 0)
        return;
    volume_begin_as(request);
    int result = mkdirat(fd, name, volume_mode(mode, true));
    volume_end_as();
    if (result < 0)
        (void) fuse_reply_err(request, errno);
    else
        volume_reply_entry(request, parent, name);
}

static void on_symlink(fuse_req_t request, const char *target, fuse_ino_t parent_number, const char *name) {
    node *parent;
    int fd;
    if (volume_refuses_write(request) || (fd = volume_folder(request, parent_number, name, &parent)) < 0)
        return;
    volume_begin_as(request);
    int result = symlinkat(target, fd, name);
    volume_end_as();
    if (result < 0)
        (void) fuse_reply_err(request, errno);
    else
        volume_reply_entry(request, parent, name);
}

static void on_readlink(fuse_req_t request, fuse_ino_t number) {
    static char target[4096 + 1];
    node *n = volume_node(request, number);
    const char *name;
    int fd;
    if (!n)
        return;
    if (node_place(n, &fd, &name) < 0) {
        (void) fuse_reply_err(request, errno);
        return;
    }
    ssize_t length = readlinkat(fd, name, target, sizeof(target) - 1);
    if (length < 0) {
        (void) fuse_reply_err(request, errno);
        return;
    }
    target[length] = '\0';
    (void) fuse_reply_readlink(request, target);
}

static void on_link(fuse_req_t request, fuse_ino_t number, fuse_ino_t parent_number, const char *new_name) {
    node *n = volume_node(request, number), *parent;
    const char *name;
    struct stat status;
    int from, to;
    if (!n || volume_refuses_write(request) || volume_folder(request, parent_number, new_name, &parent) < 0)
        return;
    /* Both folders are wanted at once: the second is found last, and finding it never closes the first, which was used just now. */
    if (node_stat(n, &status) < 0 || node_place(n, &from, &name) < 0 || (to = node_folder(parent)) < 0 ||
        linkat(from, name, to, new_name, 0) < 0) {
        (void) fuse_reply_err(request, errno);
        return;
    }
    volume_reply_entry(request, parent, new_name);
}

static void remove_name(fuse_req_t request, fuse_ino_t parent_number, const char *name, int flags) {
    node *parent;
    int fd;
    if (volume_refuses_write(request) || (fd = volume_folder(request, parent_number, name, &parent)) < 0)
        return;
    (void) fuse_reply_err(request, unlinkat(fd, name, flags) < 0 ? errno : 0);
}

static void on_unlink(fuse_req_t request, fuse_ino_t parent_number, const char *name) {
    remove_name(request, parent_number, name, 0);
}

static void on_rmdir(fuse_req_t request, fuse_ino_t parent_number, const char *name) {
    remove_name(request, parent_number, name, AT_REMOVEDIR);
}

static void on_rename(fuse_req_t request, fuse_ino_t old_number, const char *old_name, fuse_ino_t new_number, const char *new_name,
                      unsigned flags) {
    node *old_parent, *new_parent;
    int from, to;
    if (volume_refuses_write(request) || volume_folder(request, old_number, old_name, &old_parent) < 0 ||
        volume_folder(request, new_number, new_name, &new_parent) < 0)
        return;
    /* as in on_link() */
    if (flags & ~(unsigned) (RENAME_NOREPLACE | RENAME_EXCHANGE))
        errno = EINVAL;
    else if ((from = node_folder(old_parent)) >= 0 && (to = node_folder(new_parent)) >= 0 &&
             renameat2(from, old_name, to, new_name, flags) == 0)
        errno = 0;
    int error = errno;
    if (error == 0) {
        node_moved(new_parent, new_name);
        if (flags & RENAME_EXCHANGE)
            node_moved(old_parent, old_name);
    }
    (void) fuse_reply_err(request, error);
}

void tree_operations(struct fuse_lowlevel_ops *ops) {
    ops->lookup = on_lookup;
    ops->forget = on_forget;
    ops->forget_multi = on_forget_multi;
    ops->mknod = on_mknod;
    ops->mkdir = on_mkdir;
    ops->symlink = on_symlink;
    ops->readlink = on_readlink;
    ops->link = on_link;
    ops->unlink = on_unlink;
    ops->rmdir = on_rmdir;
    ops->rename = on_rename;
}
