/* SPDX-License-Identifier: Apache-2.0
 *
 * standby.h - a machine that waits to be some box's
 */
#ifndef SHIM_STANDBY_H
#define SHIM_STANDBY_H

#include "shim/shim.h"

/* What one tells its keeper: a datagram that begins with one of these. The channel's end is its end. */
enum {
    STANDBY_WAITS = 'w',  /* it can be taken */
    STANDBY_TAKEN = 't',  /* it is a box's now, and none of the keeper's */
    STANDBY_FAILED = 'f', /* why follows */
};

/* All that this process does: has a machine wait, in a folder of its own, until somebody takes it or its keeper goes; then is the shim of the box that
 * took it, until that has ended. The process's exit status.
 *
 * @folder   of all that wait
 * @channel  to the keeper, datagrams; nonblocking */
int standby_main(const msg_standby *order, int folder, int channel);

/* Gives the shim's box the machine that has waited for it: its disk and its console's file are in the box's folder from now on. False: it cannot have it,
 * the log says why, and there is no machine any more. */
bool standby_hand_over(shim *s);

#endif
