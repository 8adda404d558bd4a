/* SPDX-License-Identifier: Apache-2.0
 *
 * volume.h - the box's volumes: a file server for each, between it and the agent
 */
#ifndef SHIM_VOLUME_H
#define SHIM_VOLUME_H

#include "shim/shim.h"

/* Takes the mounts of the order to launch, and starts their servers. 0, or -NB_E_... with @err. */
int volumes_start(shim *s, nb_error *err);

/* One more in a box that runs, for a client, who gets MOUNTED or FAILED in the end. 0, or -NB_E_... with @err: nothing was begun. */
int volumes_mount(shim *s, client *c, const msg_mount *order, nb_error *err);
int volumes_unmount(shim *s, client *c, const msg_unmount *order, nb_error *err);
/* The client has gone. */
void volumes_forget_client(shim *s, const client *c);

/* Mounts or unmounts what is to be next, one after the other. In the state MOUNTING it calls shim_mounted() after the last. */
void volumes_next(shim *s);
/* The mounter of the one whose turn it is has ended, or could not begin: @text is what it said. */
void volumes_mounter_ended(shim *s, bool good, const char *text, size_t length);

/* Whether a channel of the agent's is a volume's. */
bool volume_has_channel(uint32_t channel);
/* What the agent sends on it; nothing is the end. The same result rule as link_handlers. */
int volume_request(shim *s, uint32_t channel, const uint8_t *bytes, size_t length);
int volume_agent_credit(shim *s, uint32_t channel, uint32_t credit);
void volumes_agent_has_room(shim *s);

/* Ends the servers, and tells who waits that the box was stopped. */
void volumes_done(shim *s);

#endif
