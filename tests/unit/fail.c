/* SPDX-License-Identifier: Apache-2.0
 *
 * fail.c - allocations that fail when a test wants them to
 */
#include "fail.h"

#include <errno.h>
#include <stddef.h>

static struct {
    bool armed, fired;
    unsigned at, seen;
} fail;

void fail_alloc_at(unsigned number) {
    fail.armed = true;
    fail.fired = false;
    fail.at = number;
    fail.seen = 0;
}

bool fail_alloc_fired(void) {
    fail.armed = false;
    return fail.fired;
}

unsigned fail_alloc_seen(void) {
    return fail.seen;
}

bool fail_alloc_now(void) {
    if (!fail.armed || fail.seen++ != fail.at)
        return false;
    fail.fired = true;
    errno = ENOMEM;
    return true;
}

/* The linker's names for the wrapper and the wrapped. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size) {
    return fail_alloc_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return fail_alloc_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size) {
    return fail_alloc_now() ? NULL : __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text) {
    return fail_alloc_now() ? NULL : __real_strdup(text);
}
