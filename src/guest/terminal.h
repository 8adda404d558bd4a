/* SPDX-License-Identifier: Apache-2.0
 *
 * terminal.h - the agent's side of an exec's terminal
 */
#ifndef GUEST_TERMINAL_H
#define GUEST_TERMINAL_H

#include <stdint.h>

/* Takes the master of a terminal that spawn.c sent over the (nonblocking) console socket. The descriptor, nonblocking, the caller's.
 * -1 with errno: EAGAIN: it has not come yet. ECONNRESET: it never will. Anything else: it came, or something else did, and could not be had. */
int terminal_receive(int console);

/* Sets its size; the kernel sends SIGWINCH to the foreground group. */
void terminal_resize(int master, uint16_t columns, uint16_t rows);

#endif
