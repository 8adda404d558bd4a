/* SPDX-License-Identifier: Apache-2.0
 *
 * file.c - folders and whole files, relative to a folder's descriptor
 */
#include "base/file.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/id.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Folders nested deeper than this are not of our making; removing them by recursion would cost a descriptor each. */
#define FILE_TREE_DEPTH_MAX 64

int file_make_folders(const char *path, mode_t mode) {
    char so_far[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof(so_far)) {
        errno = length ? ENAMETOOLONG : ENOENT;
        return -1;
    }
    memcpy(so_far, path, length + 1);
    for (char *slash = so_far + 1;; slash++) {
        slash += strcspn(slash, "/");
        bool last = *slash == '\0';
        *slash = '\0';
        if (mkdir(so_far, mode) < 0 && errno != EEXIST)
            return -1;
        if (last)
            break;
        *slash = '/';
    }
    struct stat status;
    if (stat(path, &status) < 0)
        return -1;
    if (!S_ISDIR(status.st_mode)) {
        errno = ENOTDIR;
        return -1;
    }
    return 0;
}

int file_write_atomic(int folder, const char *name, const void *bytes, size_t length, bool durable) {
    char temporary[NAME_MAX + 1], id[ID_SIZE];
    if (id_generate(id) < 0)
        return -1;
    if (snprintf(temporary, sizeof(temporary), ".%s.%s", name, id) >= (int) sizeof(temporary)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    CLEANUP(cleanup_fd) int fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    if (fd_write_all(fd, bytes, length) < 0 || (durable && fsync(fd) < 0) || renameat(folder, temporary, folder, name) < 0) {
        int saved = errno;
        (void) unlinkat(folder, temporary, 0);
        errno = saved;
        return -1;
    }
    return durable ? fsync(folder) : 0;
}

int file_read(int folder, const char *name, size_t max_bytes, char **ret_text, size_t *ret_length) {
    CLEANUP(cleanup_fd) int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    return fd_read_file(fd, max_bytes, ret_text, ret_length);
}

DIR *file_list(int folder) {
    int own = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = own < 0 ? NULL : fdopendir(own);
    if (!list && own >= 0)
        (void) fd_close(own);
    return list;
}

static int remove_tree(int folder, const char *name, unsigned depth);

static int remove_entries(int folder, unsigned depth) {
    DIR *entries = fdopendir(folder); /* takes the descriptor over */
    if (!entries) {
        (void) fd_close(folder);
        return -1;
    }
    int result = 0, first_errno = 0;
    struct dirent *entry;
    while ((entry = readdir(entries))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (remove_tree(dirfd(entries), entry->d_name, depth + 1) < 0 && result == 0) {
            result = -1;
            first_errno = errno;
        }
    }
    (void) closedir(entries);
    if (result < 0)
        errno = first_errno;
    return result;
}

static int remove_tree(int folder, const char *name, unsigned depth) {
    if (depth > FILE_TREE_DEPTH_MAX) {
        errno = ELOOP;
        return -1;
    }
    if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    int inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (inner < 0)
        return errno == ENOENT ? 0 : -1; /* somebody else removes the same */
    if (remove_entries(inner, depth) < 0)
        return -1;
    return unlinkat(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -1;
}

int file_remove_tree(int folder, const char *name) {
    return remove_tree(folder, name, 0);
}

/* What copy_file_range(2) says where the two files are not of a kind that it copies. */
static bool means_by_hand(int error) {
    return error == EXDEV || error == EINVAL || error == EOPNOTSUPP || error == ENOSYS || error == EBADF;
}

int file_copy(int from, int to) {
    for (;;) {
        ssize_t n = copy_file_range(from, NULL, to, NULL, (size_t) 1 << 30, 0);
        if (n == 0)
            return 0;
        if (n < 0 && means_by_hand(errno))
            break;
        if (n < 0 && errno != EINTR)
            return -1;
    }
    char block[64 * 1024];
    for (;;) {
        ssize_t n = fd_read_full(from, block, sizeof(block));
        if (n <= 0)
            return (int) n;
        if (fd_write_all(to, block, (size_t) n) < 0)
            return -1;
    }
}

static int copy_piece(int from, int to, off_t at, off_t end) {
    char block[64 * 1024];
    while (at < end) {
        off_t target = at;
        ssize_t n = copy_file_range(from, &at, to, &target, (size_t) (end - at), 0);
        if (n == 0 || (n < 0 && means_by_hand(errno)))
            break; /* 0: not for a file that has bytes here */
        if (n < 0 && errno != EINTR)
            return -1;
    }
    while (at < end) {
        ssize_t n = pread(from, block, (size_t) (end - at) < sizeof(block) ? (size_t) (end - at) : sizeof(block), at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return (int) n; /* it has become shorter */
        if (fd_pwrite_all(to, block, (size_t) n, (uint64_t) at) < 0)
            return -1;
        at += n;
    }
    return 0;
}

int file_copy_sparse(int from, int to) {
    struct stat status;
    if (fstat(from, &status) < 0 || ftruncate(to, status.st_size) < 0)
        return -1;
    for (off_t at = 0; at < status.st_size;) {
        off_t data = lseek(from, at, SEEK_DATA);
        if (data < 0)
            return errno == ENXIO ? 0 : -1; /* a hole to the end */
        off_t hole = lseek(from, data, SEEK_HOLE);
        if (hole < 0 || copy_piece(from, to, data, hole) < 0)
            return -1;
        at = hole;
    }
    return 0;
}
