/* SPDX-License-Identifier: Apache-2.0
 *
 * capability.h - Linux capabilities by name, capabilities(7)
 */
#ifndef RUNTIME_CAPABILITY_H
#define RUNTIME_CAPABILITY_H

#include "base/error.h"
#include "base/strv.h"

#include <stdint.h>

/* Names to a mask, bit N for capability N: "NET_ADMIN", "cap_net_admin", "ALL". -NB_E_INVALID, naming the name. */
int capability_mask(strv names, uint64_t *ret_mask, nb_error *err);

#endif
