/* SPDX-License-Identifier: Apache-2.0
 *
 * module.h - the kernel's modules that the machine's initramfs carries
 */
#ifndef GUEST_MODULE_H
#define GUEST_MODULE_H

#define MODULE_FOLDER "/lib/nestbox/modules"

/* Loads those that every machine needs, in the order that the bundle's maker worked out from modules.dep. 0, or -1 with the reason on stderr. */
int module_load_all(void);

/* Loads one that only some need, "fuse", which needs no other. 0, or -1 with errno. */
int module_load(const char *name);

#endif
