/* SPDX-License-Identifier: Apache-2.0
 *
 * standby.h - taking a machine that waits
 */
#ifndef RUNTIME_STANDBY_H
#define RUNTIME_STANDBY_H

#include "runtime/runtime.h"

/* Takes a machine that waits in this home and went on from the template in @template_path, for the box whose folder is open as @folder. The connection, which
 * is what a shim is born with (launch_shim()), nonblocking; -1: none waits. */
int standby_take(const nb_runtime *rt, const char *template_path, int folder);

#endif
