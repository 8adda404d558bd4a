/* SPDX-License-Identifier: Apache-2.0
 *
 * handle.h - the files that the guest has open, by the numbers it knows them by
 */
#ifndef FILES_HANDLE_H
#define FILES_HANDLE_H

#include "files/node.h"

#include <stdbool.h>
#include <stdint.h>

struct handle {
    uint64_t number;
    int fd;
    node *file;
    handle *next; /* of the same file */
    bool append;  /* writes go to the file's end */
    off_t at;     /* a folder's: where its descriptor stands */
};

/* Takes @fd over (on failure too). NULL with errno. */
handle *handle_new(node *file, int fd);
/* NULL: the guest has none of this number. */
handle *handle_find(uint64_t number);
void handle_free(handle *h);
/* Frees all that are left; before nodes_done(). */
void handles_done(void);

/* The node may be freed with its last handle. */
void node_release(node *n);

#endif
