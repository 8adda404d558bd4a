/* SPDX-License-Identifier: Apache-2.0
 *
 * ulimit.h - resource limits as users write them, getrlimit(2)
 */
#ifndef RUNTIME_ULIMIT_H
#define RUNTIME_ULIMIT_H

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"

/* Adds each of "NAME=SOFT[:HARD]" to @packed in the form of wire/rlimits.h; one of a resource that is there already takes its place.
 * -NB_E_INVALID, naming what is wrong with which; -NB_E_NO_MEMORY. */
int ulimit_pack(strv limits, buf *packed, nb_error *err);

#endif
