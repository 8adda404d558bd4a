/* SPDX-License-Identifier: Apache-2.0
 *
 * disk.h - the box's disk: mounted and grown at the start, taken off in order at the end
 */
#ifndef GUEST_DISK_H
#define GUEST_DISK_H

#include <stddef.h>
#include <stdint.h>

/* Mounts the ext4 file system on @device and grows it to the device's size.
 *
 * @disk_bytes  the size that the device is to have: waited for, 10 s; 0: any
 * 0, or -1 with errno and @message saying what was tried. */
int disk_mount(const char *device, const char *folder, uint64_t disk_bytes, char *message, size_t size);

/* Syncs and unmounts, and waits until the kernel has let go of the device. To be called by a process that may hang. 0, or -1 with errno. */
int disk_unmount(const char *device, const char *folder);

#endif
