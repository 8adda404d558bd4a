/* SPDX-License-Identifier: Apache-2.0
 *
 * ulimit.h - resource limits as users write them, getrlimit(2)
 */
#ifndef RUNTIME_ULIMIT_H
#define RUNTIME_ULIMIT_H

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"

/* Appends each of "NAME=SOFT[:HARD]" to @packed in the form of wire/rlimits.h. -NB_E_INVALID, naming what is wrong with which. */
int ulimit_pack(strv limits, buf *packed, nb_error *err);

#endif
