/* SPDX-License-Identifier: Apache-2.0
 *
 * arena.h - many small allocations with one end
 *
 * For results that are built once and freed as a whole.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/strv.h"

#include <stddef.h>

typedef struct arena_block arena_block;

typedef struct arena {
    arena_block *blocks;
    bool failed; /* an allocation was refused; latches, so that a builder tests once at its end */
} arena;

void arena_done(arena *a);

/* Zeroed memory, aligned for any type; NULL when memory is out. */
void *arena_alloc(arena *a, size_t bytes);
/* A copy of @length bytes with a NUL behind it; "" when memory is out. */
const char *arena_text(arena *a, const void *text, size_t length);

/* A copy of the list; an empty one when there is no memory. */
strv arena_list(arena *a, strv list);
const char *arena_string(arena *a, const char *text); /* NULL gives "" */
/* An array of copies of the list's strings; @ret_count of them. NULL for none, or when memory is out. */
const char *const *arena_strings(arena *a, strv list, size_t *ret_count);

#endif
