/* SPDX-License-Identifier: Apache-2.0
 *
 * id.h - random identifiers: 12 lower-case base32 characters (RFC 4648's alphabet), 60 bits
 */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stddef.h>

#define ID_LENGTH 12
#define ID_SIZE (ID_LENGTH + 1)

/* 0, or -1 with errno: the kernel gave no random bytes. */
int id_generate(char ret_id[ID_SIZE]);

bool id_is_valid(const char *id);

/* Lower-case hexadecimal of @bytes; @ret_text has room for 2 * length + 1. */
void hex_encode(const void *bytes, size_t length, char *ret_text);

#endif
