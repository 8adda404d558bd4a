/* SPDX-License-Identifier: Apache-2.0
 *
 * copy.h - files into and out of the box, by a process of the box
 */
#ifndef GUEST_COPY_H
#define GUEST_COPY_H

#include "base/strv.h"

/* Runs in a new process of the container, as root, instead of a program: reads an archive from stdin or writes one to stdout, as docs/protocol.md
 * has it (WIRE_SPAWN_COPY). What failed is a sentence on stderr. Never returns: exit status 0, or 1. */
_Noreturn void copy_become(strv order);

#endif
