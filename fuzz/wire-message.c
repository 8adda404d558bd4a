/* SPDX-License-Identifier: Apache-2.0
 *
 * wire-message.c - control messages: what is accepted is written again as the same bytes
 */
#include "wire/message.h"

#include <nestbox/error.h>

#include <stdlib.h>
#include <string.h>

#define ENCODED_MAX_BYTES ((size_t) 16 << 20)

static void check(bool condition) {
    if (!condition)
        abort();
}

#define TRY_MESSAGE(struct_name, encoder, decoder, id, text, directions, fields)        \
    {                                                                                   \
        struct_name message;                                                            \
        int result = decoder(bytes, length, &message);                                  \
        check(result == 0 || result == -NB_E_PROTOCOL);                                 \
        if (result == 0)                                                                \
            check(wire_message_id(bytes, length) == (id) && encoder(&again, &message)); \
    }

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    buf again;
    buf_init(&again, ENCODED_MAX_BYTES);
    WIRE_MESSAGES(TRY_MESSAGE)
    /* One decoder at most takes it: no two have the same id. */
    if (buf_length(&again) > 0) {
        check(buf_length(&again) == length && memcmp(buf_bytes(&again), bytes, length) == 0);
        check(wire_message_name(wire_message_id(bytes, length)) != NULL);
    }
    buf_done(&again);
    return 0;
}
