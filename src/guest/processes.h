/* SPDX-License-Identifier: Apache-2.0
 *
 * processes.h - what runs in the container, told by a process of it
 */
#ifndef GUEST_PROCESSES_H
#define GUEST_PROCESSES_H

/* Becomes the teller: writes WIRE_PROCESS_WORDS words, each with its NUL, to stdout for each process of the container but itself (WIRE_SPAWN_PROCESSES).
 * What failed is a sentence on stderr. Never returns: exit status 0, or 1. */
_Noreturn void processes_become(void);

#endif
