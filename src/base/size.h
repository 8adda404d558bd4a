/* SPDX-License-Identifier: Apache-2.0
 *
 * size.h - arithmetic on sizes that came from outside
 */
#ifndef BASE_SIZE_H
#define BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB(n) ((uint64_t) (n) << 10)
#define MIB(n) ((uint64_t) (n) << 20)
#define GIB(n) ((uint64_t) (n) << 30)

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* False when the result does not fit; *ret is then not to be used. */
static inline bool add_size(size_t a, size_t b, size_t *ret) {
    return !__builtin_add_overflow(a, b, ret);
}
static inline bool mul_size(size_t a, size_t b, size_t *ret) {
    return !__builtin_mul_overflow(a, b, ret);
}

/* @alignment is a power of two. */
static inline uint64_t align_up(uint64_t value, uint64_t alignment) {
    return (value + alignment - 1) & ~(alignment - 1);
}

#endif
