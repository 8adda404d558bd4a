/* SPDX-License-Identifier: Apache-2.0
 *
 * start.h - the box's machine: from a template or by a boot, in its jail, within the host's limits
 */
#ifndef SHIM_START_H
#define SHIM_START_H

#include "shim/shim.h"

/* Starts it as the order says, and begins to talk with its guest: the first HELLO, or where it goes on from a template (restored is true then) nothing.
 * What has begun when it fails, the caller ends. Errors: those of machine_start(); -NB_E_STORAGE and its kin for the box's files. */
int start_machine(shim *s, const machine_events *events, const link_handlers *handlers, nb_error *err);

/* Opens a file in the box's folder for reading and writing. The descriptor, or -1 with @err. */
int start_open_file(shim *s, const char *name, int flags, nb_error *err);

#endif
