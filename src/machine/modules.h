/* SPDX-License-Identifier: Apache-2.0
 *
 * modules.h - which kernel modules must be loaded, in which order
 */
#ifndef MACHINE_MODULES_H
#define MACHINE_MODULES_H

#include "base/buf.h"

#include <nestbox/error.h>

#include <stdbool.h>
#include <stddef.h>

/* A distribution's kernel has some thousand modules; what names more is no modules.dep. */
#define MODULES_MAX 65536

/* Finds a module and all that it needs in the text of a modules.dep (depmod(8)) and appends their paths to @packed, a packed list (strv.h):
 * what is needed before what needs it, and nothing that the list already has.
 *
 * @name  without ".ko"; - and _ are the same, as for modprobe(8)
 * Errors: -NB_E_NOT_FOUND (no such module: built in, or not there; see modules_is_builtin()), -NB_E_UNSUPPORTED (it is compressed, which
 * the agent cannot load), -NB_E_INVALID (the text is no modules.dep, or modules need each other in a circle), -NB_E_NO_MEMORY (or @packed's maximum). */
int modules_add(buf *packed, const char *dep, size_t dep_length, const char *name, nb_error *err);

/* Whether the text of a modules.builtin names it. */
bool modules_is_builtin(const char *builtin, size_t builtin_length, const char *name);

#endif
