/* SPDX-License-Identifier: Apache-2.0
 *
 * privileges.h - what a process may do and use, in the forms that the wire has it in
 */
#ifndef RUNTIME_PRIVILEGES_H
#define RUNTIME_PRIVILEGES_H

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"

#include <stdbool.h>
#include <stdint.h>

/* Begins as {0}: the guest's defaults. */
typedef struct privileges {
    uint64_t cap_add, cap_drop; /* over Docker's default set; dropped before added */
    buf limits;                 /* wire/rlimits.h */
    bool no_new_privileges;
} privileges;

/* Puts what users wrote over what is there: a box's words first, then an exec's. -NB_E_INVALID, naming what is wrong.
 *
 * @cap_add, @cap_drop  "NET_ADMIN", "cap_net_admin", "ALL"
 * @ulimits             "NAME=SOFT[:HARD]" */
int privileges_add(privileges *p, strv cap_add, strv cap_drop, strv ulimits, bool no_new_privileges, nb_error *err);
void privileges_done(privileges *p);

#endif
