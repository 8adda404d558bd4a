/* SPDX-License-Identifier: Apache-2.0
 *
 * connect.h - reaching a box's shim
 */
#ifndef RUNTIME_CONNECT_H
#define RUNTIME_CONNECT_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"

/* A shim answers at once; on a loaded host it may take a while to be scheduled. */
#define CONNECT_TIMEOUT_MS 60000

/* Connects to the shim of the box in @folder. A box that is just starting is waited for. The descriptor (CLOEXEC), or -NB_E_STOPPED: nobody
 * runs it. -NB_E_TIMEOUT. */
int connect_box(int folder, deadline until, nb_error *err);

/* One question on a connection of its own: as connect_box(), and then as channel_ask(). */
int connect_ask(int folder, deadline until, buf *bytes, const uint8_t **ret_message, size_t *ret_length, nb_error *err);

#endif
