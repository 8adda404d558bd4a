/* SPDX-License-Identifier: Apache-2.0
 *
 * mount.h - mounts in the container, by a process of it
 */
#ifndef GUEST_MOUNT_H
#define GUEST_MOUNT_H

#include "base/strv.h"

/* Becomes the mounter: does what @order says (wire/mount-order.h), with stdin as the volume's detached mount, and ends: 0, or 1 and a sentence on
 * stderr. Root's rights are still all there, and the container's root is the root. */
_Noreturn void mount_become(strv order);

#endif
