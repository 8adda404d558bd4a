/* SPDX-License-Identifier: Apache-2.0
 *
 * strv.h - a list of strings in one block of memory
 *
 * The packed form is each string followed by its NUL, one after the other: what the wire carries, what the database stores,
 * and what /proc/PID/cmdline shows. A packed list of no bytes is the empty list; "\0" is a list of one empty string.
 */
#ifndef BASE_STRV_H
#define BASE_STRV_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct strv {
    const char *at; /* NULL only if bytes is 0 */
    size_t bytes;
} strv;

/* Whether the bytes are a packed list: empty, or ending in NUL. */
bool strv_is_valid(strv list);
size_t strv_count(strv list);

/* The string after @previous, or the first for NULL; NULL at the end. */
const char *strv_next(strv list, const char *previous);

/* Appends one string, or each of an array of @count, to @packed. False: beyond its maximum, or out of memory. */
bool strv_add(buf *packed, const char *string);
bool strv_add_array(buf *packed, const char *const *strings, size_t count);

static inline strv strv_of(const buf *packed) {
    return (strv){(const char *) buf_bytes(packed), buf_length(packed)};
}

/* A NULL-terminated array of pointers into @list, as execve(2) wants it; one block, freed with free(). NULL: out of memory. */
char **strv_pointers(strv list);

/* The value of NAME in a list of NAME=VALUE strings, the last one counting; NULL if absent. */
const char *strv_env_get(strv env, const char *name);

/* Appends all of @base and then @over to @packed, leaving out of @base what @over names too ("NAME=" prefixes equal). */
bool strv_env_merge(buf *packed, strv base, strv over);

#endif
