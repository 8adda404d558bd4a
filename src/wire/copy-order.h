/* SPDX-License-Identifier: Apache-2.0
 *
 * copy-order.h - the words of a SPAWN that copies (WIRE_SPAWN_COPY)
 */
#ifndef WIRE_COPY_ORDER_H
#define WIRE_COPY_ORDER_H

/* Each word at its place: COPY_OUT path FOLLOW|BARE, COPY_IN path NAMES OWNERS; WIRE_COPY_NOT where a wish is not one. */
#define WIRE_COPY_OUT "copy-out"
#define WIRE_COPY_IN "copy-in"
#define WIRE_COPY_FOLLOW "follow" /* a symbolic link at the path itself is what it points to */
#define WIRE_COPY_BARE "bare"     /* the folder at the path without what is mounted in it: what is there on the disk */
#define WIRE_COPY_NAMES "names"   /* every entry keeps its name, below the folder at the path; otherwise the path is where the first goes */
#define WIRE_COPY_OWNERS "owners" /* as the archive has them; otherwise root */
#define WIRE_COPY_NOT "-"

#endif
