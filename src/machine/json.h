/* SPDX-License-Identifier: Apache-2.0
 *
 * json.h - looking into a JSON text without building a tree
 *
 * Enough for QEMU's answers, in a program that is to stay small: a text is checked as a whole first (RFC 8259, no extensions), and then
 * looked into in place. Nothing allocates.
 */
#ifndef MACHINE_JSON_H
#define MACHINE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* QEMU's own answers nest four deep. */
#define JSON_DEPTH_MAX 32

/* One value inside a checked text, without white space around it. Length 0: absent. */
typedef struct json_value {
    const char *at;
    size_t length;
} json_value;

/* Checks a whole text, which must be one value and nothing else. False: malformed, or deeper than JSON_DEPTH_MAX. */
bool json_check(const char *text, size_t length, json_value *ret_value);

/* The value of an object's member; absent when @object is absent or none, or has no such member. Of several of one name, the first. */
json_value json_member(json_value object, const char *name);

static inline bool json_is_object(json_value v) {
    return v.length > 0 && v.at[0] == '{';
}

/* Decodes a string into @text, NUL-terminated. False, and nothing is written: not a string, longer than @size - 1 bytes, holding a NUL,
 * or half of a surrogate pair. */
bool json_string(json_value v, char *text, size_t size);

/* False: not a whole number from 0 to UINT64_MAX. */
bool json_u64(json_value v, uint64_t *ret_number);

#endif
