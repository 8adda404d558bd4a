/* SPDX-License-Identifier: Apache-2.0
 *
 * strv.c - a list of strings in one block of memory
 */
#include "base/strv.h"

#include "base/size.h"

#include <stdlib.h>
#include <string.h>

bool strv_is_valid(strv list) {
    return list.bytes == 0 || list.at[list.bytes - 1] == '\0';
}

size_t strv_count(strv list) {
    size_t count = 0;
    for (const char *s = NULL; (s = strv_next(list, s));)
        count++;
    return count;
}

const char *strv_next(strv list, const char *previous) {
    if (list.bytes == 0)
        return NULL;
    const char *next = previous ? previous + strlen(previous) + 1 : list.at;
    return next < list.at + list.bytes ? next : NULL;
}

bool strv_add(buf *packed, const char *string) {
    return buf_append(packed, string, strlen(string) + 1);
}

bool strv_add_array(buf *packed, const char *const *strings, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!strv_add(packed, strings[i]))
            return false;
    }
    return true;
}

char **strv_pointers(strv list) {
    size_t bytes;
    if (!mul_size(strv_count(list) + 1, sizeof(char *), &bytes))
        return NULL;
    char **pointers = malloc(bytes);
    if (!pointers)
        return NULL;
    size_t i = 0;
    for (const char *s = NULL; (s = strv_next(list, s));)
        pointers[i++] = (char *) s;
    pointers[i] = NULL;
    return pointers;
}

/* The length of NAME in NAME=VALUE; the whole string where there is no '='. */
static size_t name_length(const char *variable) {
    return strcspn(variable, "=");
}

static const char *env_find(strv env, const char *name, size_t length) {
    const char *found = NULL;
    for (const char *s = NULL; (s = strv_next(env, s));) {
        if (name_length(s) == length && memcmp(s, name, length) == 0)
            found = s;
    }
    return found;
}

const char *strv_env_get(strv env, const char *name) {
    size_t length = strlen(name);
    const char *found = env_find(env, name, length);
    return found && found[length] == '=' ? found + length + 1 : NULL;
}

bool strv_env_merge(buf *packed, strv base, strv over) {
    for (const char *s = NULL; (s = strv_next(base, s));) {
        if (!env_find(over, s, name_length(s)) && !strv_add(packed, s))
            return false;
    }
    return over.bytes == 0 || buf_append(packed, over.at, over.bytes);
}
