/* SPDX-License-Identifier: Apache-2.0
 *
 * serve.h - a stream of FUSE messages, answered one after the other
 */
#ifndef FILES_SERVE_H
#define FILES_SERVE_H

/* Serves volume_served over @fd, a stream in both directions, until its end. The nodes must be there.
 *
 * @ready  called when requests can be taken
 * 0; 1: what came is no request of a kernel's; -1: out of memory, before @ready */
int serve(int fd, void (*ready)(void));

#endif
