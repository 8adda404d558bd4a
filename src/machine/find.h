/* SPDX-License-Identifier: Apache-2.0
 *
 * find.h - where QEMU is
 */
#ifndef MACHINE_FIND_H
#define MACHINE_FIND_H

#include <nestbox/error.h>

/* $NESTBOX_QEMU where it is set, else qemu-system-<architecture> in PATH. Nothing is executed: its version is told when a machine
 * starts.
 *
 * @architecture  as uname(2) says it: "x86_64", "aarch64"
 * @ret_path      absolute; freed by the caller
 * Errors: -NB_E_MACHINE (it is not there or not executable; the hint says what to install), -NB_E_NO_MEMORY. */
int machine_find_program(const char *architecture, char **ret_path, nb_error *err);

#endif
