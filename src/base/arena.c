/* SPDX-License-Identifier: Apache-2.0
 *
 * arena.c - many small allocations with one end
 */
#include "base/arena.h"

#include "base/size.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
    arena_block *next;
    alignas(max_align_t) unsigned char memory[];
};

void arena_done(arena *a) {
    while (a->blocks) {
        arena_block *block = a->blocks;
        a->blocks = block->next;
        free(block);
    }
}

void *arena_alloc(arena *a, size_t bytes) {
    size_t whole;
    arena_block *block = add_size(sizeof(arena_block), bytes, &whole) ? calloc(1, whole) : NULL;
    if (!block) {
        a->failed = true;
        return NULL;
    }
    block->next = a->blocks;
    a->blocks = block;
    return block->memory;
}

const char *arena_text(arena *a, const void *text, size_t length) {
    char *copy = arena_alloc(a, length + 1);
    if (!copy)
        return "";
    if (length > 0)
        memcpy(copy, text, length);
    return copy;
}

const char *arena_string(arena *a, const char *text) {
    return text ? arena_text(a, text, strlen(text)) : "";
}

strv arena_list(arena *a, strv list) {
    const char *copy = list.bytes > 0 ? arena_text(a, list.at, list.bytes) : "";
    return a->failed ? (strv){"", 0} : (strv){copy, list.bytes};
}

const char *const *arena_strings(arena *a, strv list, size_t *ret_count) {
    size_t count = strv_count(list), bytes;
    *ret_count = 0;
    if (count == 0)
        return NULL;
    const char **array = mul_size(count, sizeof(*array), &bytes) ? arena_alloc(a, bytes) : NULL;
    const char *copy = arena_text(a, list.at, list.bytes);
    if (!array || a->failed)
        return NULL;
    size_t i = 0;
    for (const char *s = NULL; (s = strv_next((strv){copy, list.bytes}, s));)
        array[i++] = s;
    *ret_count = count;
    return array;
}
