/* SPDX-License-Identifier: Apache-2.0
 *
 * failure.h - a spawn that failed, in a user's words
 */
#ifndef WIRE_FAILURE_H
#define WIRE_FAILURE_H

#include "base/error.h"
#include "wire/message.h"

/* Turns the step and errno of a failed spawn into an error that names what the step was about.
 *
 * @asked  what was to be spawned
 * The error's code, negative: -NB_E_COMMAND_NOT_FOUND, -NB_E_COMMAND_REFUSED, or -NB_E_MACHINE for what is no fault of the request's. */
int wire_spawn_failure(const msg_spawn *asked, unsigned step, int error, nb_error *err);

#endif
