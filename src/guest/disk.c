/* SPDX-License-Identifier: Apache-2.0
 *
 * disk.c - the box's disk: mounted and grown at the start, taken off in order at the end
 */
#include "guest/disk.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* From the kernel's fs/ext4/ext4.h; ext4 has no exported header. The argument is the new size in blocks. */
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)

/* How long the kernel may take to let go of the device after the last process that saw it mounted has gone. */
#define RELEASE_LOOK_NS 2000000L
#define RELEASE_LOOKS_MAX 1000
#define SIZE_LOOK_NS 500000L
#define SIZE_LOOKS_MAX 20000

/* The base disk is as small as its image; the box's disk is larger. */
static int grow(int device, const char *folder) {
    uint64_t device_bytes;
    CLEANUP(cleanup_fd) int root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct statfs status;
    if (root < 0 || ioctl(device, BLKGETSIZE64, &device_bytes) < 0 || fstatfs(root, &status) < 0)
        return -1;
    uint64_t blocks = device_bytes / (uint64_t) status.f_bsize;
    return ioctl(root, EXT4_IOC_RESIZE_FS, &blocks);
}

/* A machine that goes on from a saved one finds another disk in the place of the one that it knew: its driver looks again in a moment. */
static int await_size(int device, uint64_t disk_bytes) {
    uint64_t device_bytes = 0;
    for (unsigned i = 0; i < SIZE_LOOKS_MAX; i++) {
        if (ioctl(device, BLKGETSIZE64, &device_bytes) < 0)
            return -1;
        if (device_bytes == disk_bytes)
            return 0;
        (void) nanosleep(&(struct timespec){.tv_nsec = SIZE_LOOK_NS}, NULL);
    }
    errno = ETIMEDOUT;
    return -1;
}

int disk_mount(const char *device, const char *folder, uint64_t disk_bytes, char *message, size_t size) {
    CLEANUP(cleanup_fd) int fd = open(device, O_RDONLY | O_CLOEXEC);
    (void) snprintf(message, size, "open the disk '%s'", device);
    if (fd < 0)
        return -1;
    (void) snprintf(message, size, "wait for the disk '%s' to have its size", device);
    if (disk_bytes && await_size(fd, disk_bytes) < 0)
        return -1;
    (void) snprintf(message, size, "mount the disk '%s'", device);
    if (mount(device, folder, "ext4", MS_NOATIME, "noinit_itable") < 0)
        return -1;
    (void) snprintf(message, size, "grow the file system of the disk '%s'", device);
    return grow(fd, folder);
}

int disk_unmount(const char *device, const char *folder) {
    sync();
    if (umount2(folder, 0) < 0 && umount2(folder, MNT_DETACH) < 0)
        return -1;
    sync();
    /* The mount namespace of the container may outlive its last process for a moment. O_EXCL is refused while the device is mounted. */
    for (unsigned i = 0; i < RELEASE_LOOKS_MAX; i++) {
        int fd = open(device, O_RDONLY | O_EXCL | O_CLOEXEC);
        if (fd >= 0) {
            (void) fd_close(fd);
            return 0;
        }
        if (errno != EBUSY)
            return -1;
        (void) nanosleep(&(struct timespec){.tv_nsec = RELEASE_LOOK_NS}, NULL);
    }
    return -1;
}
