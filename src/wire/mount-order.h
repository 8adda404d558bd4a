/* SPDX-License-Identifier: Apache-2.0
 *
 * mount-order.h - the words that say what is mounted in a box
 */
#ifndef WIRE_MOUNT_ORDER_H
#define WIRE_MOUNT_ORDER_H

/* LAUNCH's mounts and MOUNT's, four words each: kind, source, target, options.
 *   WIRE_MOUNT_VOLUME  a path of the host's, a path in the box, WIRE_MOUNT_READ_ONLY or ""
 *   WIRE_MOUNT_TMPFS   flags, separated by commas, of WIRE_MOUNT_READ_ONLY, _EXEC, _SUID and _DEV, or ""; a path in the box; mount(2)'s options
 *
 * A SPAWN that mounts (WIRE_SPAWN_MOUNT), four words: kind, what, target, options.
 *   WIRE_MOUNT_VOLUME  VOLUME's volume_id, a path in the box, WIRE_MOUNT_FILE or ""
 *   WIRE_MOUNT_TMPFS   as above
 *   WIRE_MOUNT_REMOVE  "", a path in the box, "": unmounts what is there */
#define WIRE_MOUNT_WORDS 4u
#define WIRE_MOUNT_VOLUME "volume"
#define WIRE_MOUNT_TMPFS "tmpfs"
#define WIRE_MOUNT_REMOVE "remove"
#define WIRE_MOUNT_FILE "file"
#define WIRE_MOUNT_READ_ONLY "ro"
#define WIRE_MOUNT_EXEC "exec"
#define WIRE_MOUNT_SUID "suid"
#define WIRE_MOUNT_DEV "dev"

#endif
