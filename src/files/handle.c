/* SPDX-License-Identifier: Apache-2.0
 *
 * handle.c - the files that the guest has open, by the numbers it knows them by
 */
#include "files/handle.h"

#include "base/fd.h"

#include <errno.h>
#include <stdlib.h>

/* By number; an entry that is free is NULL. As many as there are descriptors, which bounds it. */
static handle **table;
static size_t table_size;

static uint64_t free_number(void) {
    for (size_t i = 0; i < table_size; i++) {
        if (!table[i])
            return i;
    }
    size_t larger = table_size ? table_size * 2 : 64;
    handle **grown = realloc(table, larger * sizeof(*grown));
    if (!grown)
        return UINT64_MAX;
    for (size_t i = table_size; i < larger; i++)
        grown[i] = NULL;
    uint64_t number = table_size;
    table = grown;
    table_size = larger;
    return number;
}

handle *handle_new(node *file, int fd) {
    uint64_t number = free_number();
    handle *h = number == UINT64_MAX ? NULL : calloc(1, sizeof(*h));
    if (!h) {
        (void) fd_close(fd);
        errno = ENOMEM;
        return NULL;
    }
    *h = (handle){.number = number, .fd = fd, .file = file, .next = file->handles};
    file->handles = h;
    table[number] = h;
    return h;
}

handle *handle_find(uint64_t number) {
    return number < table_size ? table[number] : NULL;
}

void handle_free(handle *h) {
    node *file = h->file;
    for (handle **at = &file->handles; *at; at = &(*at)->next) {
        if (*at == h) {
            *at = h->next;
            break;
        }
    }
    table[h->number] = NULL;
    (void) fd_close(h->fd);
    free(h);
    node_release(file);
}

void handles_done(void) {
    for (size_t i = 0; i < table_size; i++) {
        if (table[i])
            handle_free(table[i]);
    }
    free(table);
    table = NULL;
    table_size = 0;
}
