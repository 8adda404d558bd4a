/* SPDX-License-Identifier: Apache-2.0
 *
 * stats.h - what the box uses, asked of those who know
 */
#ifndef SHIM_STATS_H
#define SHIM_STATS_H

#include "shim/shim.h"

/* Begins to answer COUNT. 0, or -NB_E_STOPPED with @err. */
int stats_ask(shim *s, client *c, nb_error *err);

/* The agent's answer, for all who wait for one. */
int stats_measured(shim *s, const msg_measured *measured);

#endif
