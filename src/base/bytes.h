/* SPDX-License-Identifier: Apache-2.0
 *
 * bytes.h - numbers in byte order, for wires and disk formats
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define BYTES_DEFINE(bits, order)                                            \
    static inline uint##bits##_t load_##order##bits(const void *at) {        \
        uint##bits##_t value;                                                \
        memcpy(&value, at, sizeof(value));                                   \
        return order##bits##toh(value);                                      \
    }                                                                        \
    static inline void store_##order##bits(void *at, uint##bits##_t value) { \
        value = hto##order##bits(value);                                     \
        memcpy(at, &value, sizeof(value));                                   \
    }

BYTES_DEFINE(16, le)
BYTES_DEFINE(32, le)
BYTES_DEFINE(64, le)
BYTES_DEFINE(32, be)
BYTES_DEFINE(64, be)

#undef BYTES_DEFINE

#endif
