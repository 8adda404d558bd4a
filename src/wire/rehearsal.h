/* SPDX-License-Identifier: Apache-2.0
 *
 * rehearsal.h - what a container is asked for before it is a box's
 */
#ifndef WIRE_REHEARSAL_H
#define WIRE_REHEARSAL_H

/* What a container is called before a box gives it its name. */
#define WIRE_NO_NAME "localhost"
/* The only argv that is run before that: the agent's own program, which writes a line and ends. */
#define WIRE_REHEARSAL_PROGRAM "/proc/self/exe"
#define WIRE_REHEARSAL_WORD "--rehearse"
#define WIRE_REHEARSAL_ARGV WIRE_REHEARSAL_PROGRAM "\0" WIRE_REHEARSAL_WORD

#endif
