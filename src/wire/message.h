/* SPDX-License-Identifier: Apache-2.0
 *
 * message.h - control messages as structs, generated from messages.h
 *
 * A decoded message points into the bytes it was decoded from and lives as long as they do. A message's bytes are a 16-bit id and
 * then its fields in the table's order, with nothing between and nothing after.
 */
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

#include "base/buf.h"
#include "base/strv.h"
#include "wire/messages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of foreign bytes: a str has no NUL within and none at its end. */
typedef struct wire_bytes {
    const uint8_t *at;
    size_t length;
} wire_bytes;

#define WIRE_TYPE_u8 uint8_t
#define WIRE_TYPE_u16 uint16_t
#define WIRE_TYPE_u32 uint32_t
#define WIRE_TYPE_u64 uint64_t
#define WIRE_TYPE_i32 int32_t
#define WIRE_TYPE_str wire_bytes
#define WIRE_TYPE_bytes wire_bytes
#define WIRE_TYPE_strv strv

#define WIRE_FIELD(kind, name, max) WIRE_TYPE_##kind name;
#define WIRE_DECLARE(struct_name, encoder, decoder, id, text, directions, fields)                                                                \
    typedef struct struct_name {                                                                                                                 \
        fields(WIRE_FIELD)                                                                                                                       \
    } struct_name;                                                                                                                               \
    /* Appends the message to @to. False, with nothing appended: a field is beyond its maximum, a str or strv is malformed, or memory is out. */ \
    bool encoder(buf *to, const struct_name *message);                                                                                           \
    /* 0, or -NB_E_PROTOCOL: too short, too long, another id, or a field that breaks its rules. */                                               \
    int decoder(const uint8_t *bytes, size_t length, struct_name *ret_message);

WIRE_MESSAGES(WIRE_DECLARE)

enum wire_message_id {
#define WIRE_ID(struct_name, encoder, decoder, id, text, directions, fields) id_of_##struct_name = id,
    WIRE_MESSAGES(WIRE_ID)
#undef WIRE_ID
};

/* The id at the head of a message; 0 for fewer than two bytes. */
uint16_t wire_message_id(const uint8_t *bytes, size_t length);

/* "SPAWN", or NULL for an id that is none. */
const char *wire_message_name(uint16_t id);

/* Whether a message of this id may be sent in @direction; false for an unknown id. */
bool wire_message_allowed(uint16_t id, enum wire_direction direction);

const char *wire_step_text(unsigned step);

/* A str for a C string; NULL is the empty one. */
wire_bytes wire_str(const char *text);

/* A NUL-terminated copy that the caller frees; NULL: out of memory. */
char *wire_str_copy(wire_bytes text);

/* The code (126, 127, 125) that a shell's users expect for a spawn that failed at @step with @error. */
int wire_spawn_exit_code(unsigned step, int error);

#endif
