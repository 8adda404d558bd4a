/* SPDX-License-Identifier: Apache-2.0
 *
 * setup.h - the SETUP of a machine, which everybody who has one begins with
 */
#ifndef SHIM_SETUP_H
#define SHIM_SETUP_H

#include "link/link.h"
#include "machine/machine.h"
#include "wire/message.h"

/* Sends it to the machine's agent, with the host's randomness and clock, and wakes the machine for it. False: there is no randomness to be had,
 * SETUP_NO_ENTROPY. */
bool setup_send(machine *m, link_end *agent, msg_setup setup);

#define SETUP_NO_ENTROPY "take random bytes from the host's kernel"

#endif
