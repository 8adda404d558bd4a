/* SPDX-License-Identifier: Apache-2.0
 *
 * result.c - results of the public API: one allocation each, as far as the caller can see
 */
#include "runtime/result.h"

#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>

typedef struct result {
    arena strings;
    alignas(max_align_t) unsigned char public[];
} result;

void *result_new(size_t bytes, arena **ret_arena) {
    result *r = calloc(1, sizeof(*r) + bytes);
    if (!r)
        return NULL;
    *ret_arena = &r->strings;
    return r->public;
}

void result_free(const void *public) {
    if (!public)
        return;
    result *r = (result *) ((char *) public - offsetof(result, public));
    arena_done(&r->strings);
    free(r);
}

nb_strings result_strings(arena *a, strv list) {
    nb_strings strings = {0};
    strings.items = arena_strings(a, list, &strings.count);
    return strings;
}
