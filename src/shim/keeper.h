/* SPDX-License-Identifier: Apache-2.0
 *
 * keeper.h - keeps machines waiting
 */
#ifndef SHIM_KEEPER_H
#define SHIM_KEEPER_H

/* Reads the order from WIRE_SHIM_SOCKET_FD, and has so many machines wait in WIRE_SHIM_FOLDER_FD, the home's folder of them, until that connection or the
 * process of WIRE_SHIM_OWNER_FD ends; then none waits any more. The process's exit status. */
int keeper_main(void);

#endif
