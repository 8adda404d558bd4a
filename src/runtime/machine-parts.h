/* SPDX-License-Identifier: Apache-2.0
 *
 * machine-parts.h - what every machine of this home is made of, whoever it is for
 */
#ifndef RUNTIME_MACHINE_PARTS_H
#define RUNTIME_MACHINE_PARTS_H

#include "machine/accel.h"
#include "machine/find.h"
#include "runtime/runtime.h"

/* Every path is the struct's own. */
typedef struct machine_parts {
    guest_bundle bundle;
    char *qemu, *agent;
    accel_choice accel;
    int shim; /* the program, verified */
} machine_parts;

/* Errors: -NB_E_MACHINE and its kin, what is missing and where it was looked for. To be freed in either case. */
int machine_parts_find(nb_runtime *rt, machine_parts *ret_parts, nb_error *err);
void machine_parts_done(machine_parts *parts);

#endif
