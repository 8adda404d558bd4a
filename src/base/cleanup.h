/* SPDX-License-Identifier: Apache-2.0
 *
 * cleanup.h - owned locals that free themselves when their scope ends
 */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <stdlib.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

/* Defines <function>p, for use in CLEANUP(), from a free function that takes NULL. */
#define CLEANUP_DEFINE(type, function)               \
    static inline void function##p(type **pointer) { \
        if (*pointer)                                \
            function(*pointer);                      \
    }

static inline void cleanup_free(void *pointer) {
    free(*(void **) pointer);
}

/* Hands an owned pointer over: the variable is NULL afterwards, so that its clean-up does nothing. */
#define take_ptr(pointer)                        \
    ({                                           \
        __typeof__(pointer) take_p = (pointer);  \
        __typeof__(*(pointer)) take_v = *take_p; \
        *take_p = NULL;                          \
        take_v;                                  \
    })

#endif
