/* SPDX-License-Identifier: Apache-2.0
 *
 * id.c - random identifiers
 */
#include "base/id.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

static const char id_alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

int id_generate(char ret_id[ID_SIZE]) {
    uint8_t random[ID_LENGTH];
    ssize_t n;
    do
        n = getrandom(random, sizeof(random), 0);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t) sizeof(random)) {
        if (n >= 0)
            errno = EIO;
        return -1;
    }
    for (size_t i = 0; i < ID_LENGTH; i++)
        ret_id[i] = id_alphabet[random[i] % 32];
    ret_id[ID_LENGTH] = '\0';
    return 0;
}

bool id_is_valid(const char *id) {
    return strlen(id) == ID_LENGTH && strspn(id, id_alphabet) == ID_LENGTH;
}

void hex_encode(const void *bytes, size_t length, char *ret_text) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *at = bytes;
    for (size_t i = 0; i < length; i++) {
        *ret_text++ = digits[at[i] >> 4];
        *ret_text++ = digits[at[i] & 15];
    }
    *ret_text = '\0';
}
