/* SPDX-License-Identifier: Apache-2.0
 *
 * content.c - operations on what is in files
 */
#include "files/volume.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "files/check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Of a guest's flags those that are the file's affair and not the guest's kernel's. */
#define OPEN_FLAGS (O_ACCMODE | O_SYNC | O_DSYNC)

/* Opens exactly this regular file. -1 with errno. */
static int open_file(node *n, int flags) {
    const char *name;
    struct stat status;
    int at;
    /* One that has no name any more, and the root of a volume that is a file, are opened through a descriptor that means them. */
    if (n->handles || !n->parent) {
        CLEANUP(cleanup_fd) int path = node_open_path(n);
        return path < 0 ? -1 : openat(volume_served.descriptors, volume_descriptor(path).text, flags | O_NONBLOCK | O_CLOEXEC);
    }
    if (node_place(n, &at, &name) < 0)
        return -1;
    CLEANUP(cleanup_fd) int fd = openat(at, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &status) == 0 && node_is(n, &status))
        return take_fd(&fd);
    if (fd >= 0 || errno == ENOENT || errno == ELOOP)
        errno = ESTALE;
    return -1;
}

static void reply_open(fuse_req_t request, handle *h, int flags, struct fuse_file_info *info) {
    h->append = flags & O_APPEND;
    info->fh = h->number;
    if (fuse_reply_open(request, info) == -ENOENT)
        handle_free(h); /* interrupted: nobody will close it */
}

static bool wants_to_write(int flags) {
    return (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
}

static void on_open(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info) {
    node *n = volume_node(request, number);
    if (!n || (wants_to_write(info->flags) && volume_refuses_write(request)))
        return;
    if (n->type != S_IFREG) {
        (void) fuse_reply_err(request, EINVAL);
        return;
    }
    CLEANUP(cleanup_fd) int fd = open_file(n, info->flags & OPEN_FLAGS);
    handle *h = fd < 0 || (info->flags & O_TRUNC && ftruncate(fd, 0) < 0) ? NULL : handle_new(n, take_fd(&fd));
    if (h)
        reply_open(request, h, info->flags, info);
    else
        (void) fuse_reply_err(request, errno);
}

/* Makes the file, or opens the one that is there. -1 with errno. */
static int create_file(fuse_req_t request, int folder, const char *name, mode_t mode, int flags) {
    struct stat status;
    volume_begin_as(request);
    CLEANUP(cleanup_fd)
    int fd = openat(folder, name, (flags & (OPEN_FLAGS | O_EXCL)) | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                    volume_mode(mode, false));
    volume_end_as();
    if (fd < 0 || fstat(fd, &status) < 0)
        return -1;
    if (!S_ISREG(status.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    return flags & O_TRUNC && ftruncate(fd, 0) < 0 ? -1 : take_fd(&fd);
}

static void on_create(fuse_req_t request, fuse_ino_t parent_number, const char *name, mode_t mode, struct fuse_file_info *info) {
    node *parent;
    struct stat status;
    struct fuse_entry_param entry;
    int folder;
    if (volume_refuses_write(request) || (folder = volume_folder(request, parent_number, name, &parent)) < 0)
        return;
    CLEANUP(cleanup_fd) int fd = create_file(request, folder, name, mode, info->flags);
    if (fd < 0 || fstat(fd, &status) < 0 || volume_entry(parent, name, &status, &entry) < 0) {
        (void) fuse_reply_err(request, errno);
        return;
    }
    node *n = node_find(entry.ino);
    handle *h = handle_new(n, take_fd(&fd));
    if (!h) {
        (void) fuse_reply_err(request, errno);
        node_forget(n, 1);
        return;
    }
    h->append = info->flags & O_APPEND;
    info->fh = h->number;
    if (fuse_reply_create(request, &entry, info) == -ENOENT) {
        handle_free(h);
        node_forget(n, 1);
    }
}

static void on_read(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *info) {
    static char bytes[CHECK_WRITE_MAX_BYTES];
    const handle *h = volume_handle(request, info);
    if (!h)
        return;
    ssize_t n = pread(h->fd, bytes, size < sizeof(bytes) ? size : sizeof(bytes), offset);
    if (n < 0)
        (void) fuse_reply_err(request, errno);
    else
        (void) fuse_reply_buf(request, bytes, (size_t) n);
}

static void on_write(fuse_req_t request, fuse_ino_t number, const char *bytes, size_t size, off_t offset, struct fuse_file_info *info) {
    const handle *h = volume_handle(request, info);
    if (!h || volume_refuses_write(request))
        return;
    /* What is appended goes to where the end is now, which another program on the host may have moved; a page that the guest had mapped goes
     * where it belongs. */
    struct iovec piece = {.iov_base = (void *) (uintptr_t) bytes, .iov_len = size};
    ssize_t n = pwritev2(h->fd, &piece, 1, offset, h->append && !info->writepage ? RWF_APPEND : 0);
    if (n < 0)
        (void) fuse_reply_err(request, errno);
    else
        (void) fuse_reply_write(request, (size_t) n);
}

/* A close of the guest's, of which there may be several to an open: the host's file system may have an error to tell. */
static void on_flush(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info) {
    const handle *h = volume_handle(request, info);
    if (!h)
        return;
    int copy = fcntl(h->fd, F_DUPFD_CLOEXEC, 0);
    (void) fuse_reply_err(request, copy < 0 || close(copy) < 0 ? errno : 0);
}

static void on_release(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info) {
    handle *h = volume_handle(request, info);
    if (!h)
        return;
    handle_free(h);
    (void) fuse_reply_err(request, 0);
}

static void on_fsync(fuse_req_t request, fuse_ino_t number, int data_only, struct fuse_file_info *info) {
    const handle *h = volume_handle(request, info);
    if (h)
        (void) fuse_reply_err(request, (data_only ? fdatasync(h->fd) : fsync(h->fd)) < 0 ? errno : 0);
}

static void on_fallocate(fuse_req_t request, fuse_ino_t number, int mode, off_t offset, off_t length, struct fuse_file_info *info) {
    const handle *h = volume_handle(request, info);
    if (h && !volume_refuses_write(request))
        (void) fuse_reply_err(request, fallocate(h->fd, mode, offset, length) < 0 ? errno : 0);
}

static void on_lseek(fuse_req_t request, fuse_ino_t number, off_t offset, int whence, struct fuse_file_info *info) {
    const handle *h = volume_handle(request, info);
    if (!h)
        return;
    off_t found = lseek(h->fd, offset, whence);
    if (found < 0)
        (void) fuse_reply_err(request, errno);
    else
        (void) fuse_reply_lseek(request, found);
}

static void on_copy_file_range(fuse_req_t request, fuse_ino_t from_number, off_t from_offset, struct fuse_file_info *from_info,
                               fuse_ino_t to_number, off_t to_offset, struct fuse_file_info *to_info, size_t length, int flags) {
    const handle *from = volume_handle(request, from_info);
    const handle *to = from ? volume_handle(request, to_info) : NULL;
    if (!to || volume_refuses_write(request))
        return;
    ssize_t n = copy_file_range(from->fd, &from_offset, to->fd, &to_offset, length, (unsigned) flags);
    if (n < 0)
        (void) fuse_reply_err(request, errno);
    else
        (void) fuse_reply_write(request, (size_t) n);
}

void content_operations(struct fuse_lowlevel_ops *ops) {
    ops->open = on_open;
    ops->create = on_create;
    ops->read = on_read;
    ops->write = on_write;
    ops->flush = volume_served.close_tells ? on_flush : NULL; /* without one the guest's kernel stops asking, once it has asked */
    ops->release = on_release;
    ops->fsync = on_fsync;
    ops->fallocate = on_fallocate;
    ops->lseek = on_lseek;
    ops->copy_file_range = on_copy_file_range;
}
