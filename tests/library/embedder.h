/* SPDX-License-Identifier: Apache-2.0
 *
 * embedder.h - a program that has a life of its own beside the library: children, a handler, a mask, threads, descriptors
 */
#ifndef TEST_EMBEDDER_H
#define TEST_EMBEDDER_H

typedef struct embedder embedder;

/* Takes note of this process's state, and starts making children and reaping them with waitpid(-1). */
embedder *embedder_begin(void);

/* Ends that and compares. NULL: nothing has changed and every child's status arrived; else what has. */
const char *embedder_end(embedder *e);

#endif
