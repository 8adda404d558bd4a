/* SPDX-License-Identifier: Apache-2.0
 *
 * cpio.h - writing archives as the kernel unpacks them into its initramfs
 *
 * The "newc" format of the kernel's Documentation/driver-api/early-userspace/buffer-format.rst. Output is deterministic: time 0, owner 0,
 * inode numbers counted from 1.
 */
#ifndef MACHINE_CPIO_H
#define MACHINE_CPIO_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct cpio_writer {
    /* Takes all of the bytes: 0, or -1 with errno. */
    int (*write)(void *user, const void *bytes, size_t length);
    void *user;
    uint32_t next_inode;
} cpio_writer;

/* The archive goes to @fd (blocking, borrowed), or to the end of @b (ENOBUFS: beyond its maximum, or no memory). */
cpio_writer cpio_to_fd(const int *fd);
cpio_writer cpio_to_buf(buf *b);

/* Names are relative, without a leading slash; a folder comes before what is in it. Each returns 0, or -1 with errno: that of
 * the write, or ENAMETOOLONG, or EFBIG for 4 GiB and more. */
int cpio_add_folder(cpio_writer *w, const char *name, mode_t permissions);
int cpio_add_file(cpio_writer *w, const char *name, mode_t permissions, const void *bytes, size_t length);
int cpio_add_character_device(cpio_writer *w, const char *name, mode_t permissions, uint32_t major, uint32_t minor);
/* Ends the archive. The kernel takes several complete archives behind each other, each beginning at a multiple of four bytes, which is
 * where this ends. */
int cpio_end(cpio_writer *w);

#endif
