/* SPDX-License-Identifier: Apache-2.0
 *
 * standby.h - machines that wait to be taken: what the library and whoever keeps them agree on
 *
 * The folder "standby" of a home has a folder for each machine that waits, called after the key of the image's template that it goes on from, a
 * dot, and something of its own. Its shim listens there on WIRE_STANDBY_SOCKET. Who wants it sends the byte WIRE_STANDBY_TAKE with two
 * descriptors, the folder of its box and a pidfd of its own. The answer WIRE_STANDBY_TAKEN says that it is nobody else's, and from then on the connection
 * is what a shim is born with; any other end says that somebody was quicker.
 */
#ifndef WIRE_STANDBY_H
#define WIRE_STANDBY_H

/* The name that a shim's program is started by to keep machines. */
#define WIRE_STANDBY_PROGRAM "nestbox-standby"

#define WIRE_STANDBY_SOCKET "take.sock"
/* Held for as long as somebody has the folder. */
#define WIRE_STANDBY_LOCK "lock"

#define WIRE_STANDBY_TAKE 't'
#define WIRE_STANDBY_TAKEN 'y'

/* At once, of one pool. */
#define WIRE_STANDBY_MAX 64u

#endif
