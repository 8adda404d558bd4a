/* SPDX-License-Identifier: Apache-2.0
 *
 * folder.c - operations on what is in folders
 *
 * The offset of an entry is the host's own (d_off): it stays right while entries come and go, and there is nothing to keep between two requests.
 */
#include "files/volume.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "files/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* getdents64(2); what the kernel writes there is aligned */
#define ENTRIES_BYTES 8192u

typedef struct entries {
    char bytes[ENTRIES_BYTES];
    size_t length, at;
} entries;

static void on_opendir(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info) {
    node *n = volume_node(request, number);
    if (!n)
        return;
    int folder = node_folder(n);
    CLEANUP(cleanup_fd) int fd = folder < 0 ? -1 : openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    handle *h = fd < 0 ? NULL : handle_new(n, take_fd(&fd));
    if (!h) {
        (void) fuse_reply_err(request, errno);
        return;
    }
    info->fh = h->number;
    if (fuse_reply_open(request, info) == -ENOENT)
        handle_free(h);
}

/* The next entry, or NULL with errno, 0 at the end. */
static const struct dirent64 *next_entry(const handle *h, entries *read) {
    if (read->at == read->length) {
        long n = syscall(SYS_getdents64, h->fd, read->bytes, sizeof(read->bytes));
        if (n <= 0) {
            errno = n < 0 ? errno : 0;
            return NULL;
        }
        read->length = (size_t) n;
        read->at = 0;
    }
    const void *entry = read->bytes + read->at;
    read->at += ((const struct dirent64 *) entry)->d_reclen;
    return entry;
}

static bool is_dot(const char *name) {
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Adds an entry to the answer; 0 when there is no room for it. */
static size_t add_name(fuse_req_t request, char *to, size_t room, const struct dirent64 *entry) {
    const struct stat status = {.st_ino = entry->d_ino, .st_mode = (mode_t) entry->d_type << 12};
    size_t bytes = fuse_add_direntry(request, to, room, entry->d_name, &status, entry->d_off);
    return bytes <= room ? bytes : 0;
}

/* With its attributes, and a reference to it that the guest then holds; "." and ".." without. One that has just gone is left out: SIZE_MAX. */
static size_t add_entry(fuse_req_t request, const handle *h, char *to, size_t room, const struct dirent64 *entry) {
    struct fuse_entry_param param = {.attr = {.st_ino = entry->d_ino, .st_mode = (mode_t) entry->d_type << 12}};
    struct stat status;
    size_t needed = fuse_add_direntry_plus(request, NULL, 0, entry->d_name, NULL, 0);
    if (needed > room)
        return 0;
    if (!is_dot(entry->d_name) &&
        (fstatat(h->fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 || volume_entry(h->file, entry->d_name, &status, &param) < 0))
        return SIZE_MAX;
    return fuse_add_direntry_plus(request, to, room, entry->d_name, &param, entry->d_off);
}

static void list(fuse_req_t request, size_t size, off_t offset, const struct fuse_file_info *info, bool plus) {
    static char answer[CHECK_WRITE_MAX_BYTES];
    static _Alignas(struct dirent64) entries read;
    handle *h = volume_handle(request, info);
    const struct dirent64 *entry;
    size_t length = 0;
    if (!h)
        return;
    if (size > sizeof(answer))
        size = sizeof(answer);
    read.length = read.at = 0;
    if (lseek(h->fd, offset, SEEK_SET) < 0) {
        (void) fuse_reply_err(request, errno);
        return;
    }
    while ((entry = next_entry(h, &read))) {
        size_t added =
            plus ? add_entry(request, h, answer + length, size - length, entry) : add_name(request, answer + length, size - length, entry);
        if (added == 0)
            break;
        if (added != SIZE_MAX)
            length += added;
    }
    if (!entry && errno && length == 0)
        (void) fuse_reply_err(request, errno);
    else
        (void) fuse_reply_buf(request, answer, length);
}

static void on_readdir(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *info) {
    list(request, size, offset, info, false);
}

static void on_readdirplus(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *info) {
    list(request, size, offset, info, true);
}

static void on_releasedir(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info) {
    handle *h = volume_handle(request, info);
    if (!h)
        return;
    handle_free(h);
    (void) fuse_reply_err(request, 0);
}

static void on_fsyncdir(fuse_req_t request, fuse_ino_t number, int data_only, struct fuse_file_info *info) {
    const handle *h = volume_handle(request, info);
    if (h)
        (void) fuse_reply_err(request, (data_only ? fdatasync(h->fd) : fsync(h->fd)) < 0 ? errno : 0);
}

void folder_operations(struct fuse_lowlevel_ops *ops) {
    ops->opendir = on_opendir;
    ops->readdir = on_readdir;
    ops->readdirplus = on_readdirplus;
    ops->releasedir = on_releasedir;
    ops->fsyncdir = on_fsyncdir;
}
