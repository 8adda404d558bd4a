/* SPDX-License-Identifier: Apache-2.0
 *
 * initramfs.h - what the guest's kernel unpacks and starts: the agent and its modules
 */
#ifndef MACHINE_INITRAMFS_H
#define MACHINE_INITRAMFS_H

#include <nestbox/error.h>

/* Makes an initramfs in a sealed memory file: the agent as /init, the folders and the console that it needs at once, then the modules'
 * archive as it is.
 *
 * @agent_path    the static program
 * @modules_path  an archive, of the guest bundle
 * @ret_fd        CLOEXEC, the caller's
 * Errors: -NB_E_MACHINE (a file is missing, unreadable or too large), -NB_E_NO_MEMORY. */
int initramfs_compose(const char *agent_path, const char *modules_path, int *ret_fd, nb_error *err);

#endif
