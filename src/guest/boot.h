/* SPDX-License-Identifier: Apache-2.0
 *
 * boot.h - from the kernel's hand-over to a machine that an agent can work in
 */
#ifndef GUEST_BOOT_H
#define GUEST_BOOT_H

/* Mounts, loads the modules, leaves the initramfs for a root of our own, finds the link. Runs in PID 1.
 *
 * The descriptor of the link's port, open in both directions; -1: the reason is on the console. */
int boot_machine(void);

/* Ends the machine; does not return. */
_Noreturn void boot_power_off(void);

#define BOOT_DISK "/dev/vda"
#define BOOT_ROOTFS "/rootfs"
#define BOOT_CGROUP "/sys/fs/cgroup"

#endif
