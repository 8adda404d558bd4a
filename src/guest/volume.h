/* SPDX-License-Identifier: Apache-2.0
 *
 * volume.h - file systems that the host serves: between the guest's kernel and the link
 */
#ifndef GUEST_VOLUME_H
#define GUEST_VOLUME_H

#include "guest/agent.h"

/* A VOLUME message: opens it. A failure shows when its mount is asked for. 0, or -NB_E_PROTOCOL. */
int volume_open(agent *a, const uint8_t *bytes, size_t length);

/* The mount that belongs to a SPAWN's order, mounted nowhere yet, for the caller to close; /dev/null where the order needs none; -1 with errno. */
int volume_take_mount(agent *a, strv order);

/* Whether a channel is a volume's. */
bool volume_has_channel(uint32_t channel);
/* What the host sends on it. The same result rule as link_handlers. */
int volume_answer(agent *a, uint32_t channel, const uint8_t *bytes, size_t length);
int volume_credit(agent *a, uint32_t channel, uint32_t credit);

/* The link has room again. */
void volume_resume_all(agent *a);

/* Whoever waits for one gets an error from now on. */
void volume_close_all(agent *a);
void volume_free_all(agent *a);

#endif
