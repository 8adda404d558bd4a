/* SPDX-License-Identifier: Apache-2.0
 *
 * cpio.c - writing archives as the kernel unpacks them into its initramfs
 */
#include "machine/cpio.h"

#include "base/fd.h"
#include "base/size.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* "070701", then thirteen numbers of eight hexadecimal digits. */
#define CPIO_HEADER_BYTES (6 + 13 * 8)
#define CPIO_ALIGNMENT 4

/* init/initramfs.c drops an entry whose name, with its NUL, is longer than PATH_MAX. */
#define CPIO_NAME_MAX_BYTES 4096

static int write_fd(void *user, const void *bytes, size_t length) {
    return fd_write_all(*(const int *) user, bytes, length);
}

static int write_buf(void *user, const void *bytes, size_t length) {
    if (buf_append(user, bytes, length))
        return 0;
    errno = ENOBUFS;
    return -1;
}

cpio_writer cpio_to_fd(const int *fd) {
    return (cpio_writer){.write = write_fd, .user = (void *) fd, .next_inode = 1};
}

cpio_writer cpio_to_buf(buf *b) {
    return (cpio_writer){.write = write_buf, .user = b, .next_inode = 1};
}

static int write_padding(cpio_writer *w, size_t written) {
    static const char zeros[CPIO_ALIGNMENT];
    return w->write(w->user, zeros, (size_t) align_up(written, CPIO_ALIGNMENT) - written);
}

typedef struct cpio_entry {
    const char *name;
    mode_t mode;
    uint32_t links;
    uint32_t major, minor;
    const void *bytes;
    size_t length;
} cpio_entry;

static int write_entry(cpio_writer *w, uint32_t inode, const cpio_entry *e) {
    size_t name_bytes = strlen(e->name) + 1;
    if (name_bytes > CPIO_NAME_MAX_BYTES) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (e->length > UINT32_MAX) {
        errno = EFBIG;
        return -1;
    }
    char header[CPIO_HEADER_BYTES + 1];
    (void) snprintf(header, sizeof(header), "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", inode, (unsigned) e->mode,
                    0u /* uid */, 0u /* gid */, e->links, 0u /* mtime */, (unsigned) e->length, 0u, 0u /* its device */, e->major, e->minor,
                    (unsigned) name_bytes, 0u /* checksum */);
    if (w->write(w->user, header, CPIO_HEADER_BYTES) < 0 || w->write(w->user, e->name, name_bytes) < 0 ||
        write_padding(w, CPIO_HEADER_BYTES + name_bytes) < 0)
        return -1;
    if (e->length == 0)
        return 0;
    return w->write(w->user, e->bytes, e->length) < 0 ? -1 : write_padding(w, e->length);
}

int cpio_add_folder(cpio_writer *w, const char *name, mode_t permissions) {
    return write_entry(w, w->next_inode++, &(cpio_entry){.name = name, .mode = S_IFDIR | permissions, .links = 2});
}

int cpio_add_file(cpio_writer *w, const char *name, mode_t permissions, const void *bytes, size_t length) {
    cpio_entry e = {.name = name, .mode = S_IFREG | permissions, .links = 1, .bytes = bytes, .length = length};
    return write_entry(w, w->next_inode++, &e);
}

int cpio_add_character_device(cpio_writer *w, const char *name, mode_t permissions, uint32_t major, uint32_t minor) {
    cpio_entry e = {.name = name, .mode = S_IFCHR | permissions, .links = 1, .major = major, .minor = minor};
    return write_entry(w, w->next_inode++, &e);
}

int cpio_end(cpio_writer *w) {
    return write_entry(w, 0, &(cpio_entry){.name = "TRAILER!!!", .links = 1});
}
