/* SPDX-License-Identifier: Apache-2.0
 *
 * message.c - encoding and decoding of control messages, generated from messages.h
 *
 * Foreign bytes are looked at through a reader alone: it never goes beyond the end, and a failure latches, so that a decoder is a
 * straight line with one test at its end.
 */
#include "wire/message.h"

#include "base/bytes.h"

#include <nestbox/error.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct wire_reader {
    const uint8_t *at, *end;
    bool bad;
} wire_reader;

static const uint8_t *read_bytes(wire_reader *r, size_t length) {
    if (r->bad || length > (size_t) (r->end - r->at)) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = r->at;
    r->at += length;
    return p;
}

static uint8_t read_u8(wire_reader *r, size_t max) {
    (void) max;
    const uint8_t *p = read_bytes(r, 1);
    return p ? *p : 0;
}
static uint16_t read_u16(wire_reader *r, size_t max) {
    (void) max;
    const uint8_t *p = read_bytes(r, 2);
    return p ? load_le16(p) : 0;
}
static uint32_t read_u32(wire_reader *r, size_t max) {
    (void) max;
    const uint8_t *p = read_bytes(r, 4);
    return p ? load_le32(p) : 0;
}
static uint64_t read_u64(wire_reader *r, size_t max) {
    (void) max;
    const uint8_t *p = read_bytes(r, 8);
    return p ? load_le64(p) : 0;
}
static int32_t read_i32(wire_reader *r, size_t max) {
    return (int32_t) read_u32(r, max);
}

static wire_bytes read_field_bytes(wire_reader *r, size_t max) {
    uint32_t length = read_u32(r, 0);
    if (length > max)
        r->bad = true;
    const uint8_t *p = read_bytes(r, length);
    return p ? (wire_bytes){p, length} : (wire_bytes){NULL, 0};
}
static wire_bytes read_str(wire_reader *r, size_t max) {
    wire_bytes text = read_field_bytes(r, max);
    if (text.length > 0 && memchr(text.at, 0, text.length))
        r->bad = true;
    return text;
}
static strv read_strv(wire_reader *r, size_t max) {
    wire_bytes packed = read_field_bytes(r, max);
    strv list = {(const char *) packed.at, packed.length};
    if (!strv_is_valid(list)) {
        r->bad = true;
        return (strv){NULL, 0};
    }
    return list;
}

static bool write_u8(buf *to, uint8_t value, size_t max) {
    (void) max;
    return buf_append(to, &value, 1);
}
static bool write_u16(buf *to, uint16_t value, size_t max) {
    (void) max;
    uint8_t bytes[2];
    store_le16(bytes, value);
    return buf_append(to, bytes, sizeof(bytes));
}
static bool write_u32(buf *to, uint32_t value, size_t max) {
    (void) max;
    uint8_t bytes[4];
    store_le32(bytes, value);
    return buf_append(to, bytes, sizeof(bytes));
}
static bool write_u64(buf *to, uint64_t value, size_t max) {
    (void) max;
    uint8_t bytes[8];
    store_le64(bytes, value);
    return buf_append(to, bytes, sizeof(bytes));
}
static bool write_i32(buf *to, int32_t value, size_t max) {
    return write_u32(to, (uint32_t) value, max);
}
static bool write_field_bytes(buf *to, wire_bytes value, size_t max) {
    return value.length <= max && write_u32(to, (uint32_t) value.length, 0) && buf_append(to, value.at, value.length);
}
static bool write_str(buf *to, wire_bytes value, size_t max) {
    return (value.length == 0 || !memchr(value.at, 0, value.length)) && write_field_bytes(to, value, max);
}
static bool write_strv(buf *to, strv value, size_t max) {
    return strv_is_valid(value) && write_field_bytes(to, (wire_bytes){(const uint8_t *) value.at, value.bytes}, max);
}

#define WIRE_READ_u8 read_u8
#define WIRE_READ_u16 read_u16
#define WIRE_READ_u32 read_u32
#define WIRE_READ_u64 read_u64
#define WIRE_READ_i32 read_i32
#define WIRE_READ_str read_str
#define WIRE_READ_bytes read_field_bytes
#define WIRE_READ_strv read_strv
#define WIRE_WRITE_u8 write_u8
#define WIRE_WRITE_u16 write_u16
#define WIRE_WRITE_u32 write_u32
#define WIRE_WRITE_u64 write_u64
#define WIRE_WRITE_i32 write_i32
#define WIRE_WRITE_str write_str
#define WIRE_WRITE_bytes write_field_bytes
#define WIRE_WRITE_strv write_strv

/* An encoder that failed half way takes back what it wrote. */
#define ENCODE_FIELD(kind, name, max) good = good && WIRE_WRITE_##kind(to, message->name, max);
#define DECODE_FIELD(kind, name, max) m.name = WIRE_READ_##kind(&r, max);
#define DEFINE_CODEC(struct_name, encoder, decoder, id, text, directions, fields) \
    bool encoder(buf *to, const struct_name *message) {                           \
        size_t before = buf_length(to);                                           \
        bool good = write_u16(to, id, 0);                                         \
        fields(ENCODE_FIELD) if (!good) to->end = to->start + before;             \
        return good;                                                              \
    }                                                                             \
    int decoder(const uint8_t *bytes, size_t length, struct_name *ret_message) {  \
        wire_reader r = {bytes, bytes + length, false};                           \
        struct_name m;                                                            \
        if (read_u16(&r, 0) != id)                                                \
            return -NB_E_PROTOCOL;                                                \
        fields(DECODE_FIELD) if (r.bad || r.at != r.end) return -NB_E_PROTOCOL;   \
        *ret_message = m;                                                         \
        return 0;                                                                 \
    }

WIRE_MESSAGES(DEFINE_CODEC)

uint16_t wire_message_id(const uint8_t *bytes, size_t length) {
    return length < 2 ? 0 : load_le16(bytes);
}

static const struct {
    uint16_t id;
    uint16_t directions;
    const char *name;
} message_table[] = {
#define TABLE_ROW(struct_name, encoder, decoder, id, text, directions, fields) {id, directions, text},
    WIRE_MESSAGES(TABLE_ROW)
#undef TABLE_ROW
};

static int table_find(uint16_t id) {
    for (size_t i = 0; i < sizeof(message_table) / sizeof(message_table[0]); i++) {
        if (message_table[i].id == id)
            return (int) i;
    }
    return -1;
}

const char *wire_message_name(uint16_t id) {
    int i = table_find(id);
    return i < 0 ? NULL : message_table[i].name;
}

bool wire_message_allowed(uint16_t id, enum wire_direction direction) {
    int i = table_find(id);
    return i >= 0 && (message_table[i].directions & direction) != 0;
}

const char *wire_step_text(unsigned step) {
    switch (step) {
#define STEP_TEXT(name, number, text) \
    case name:                        \
        return text;
        WIRE_STEPS(STEP_TEXT)
#undef STEP_TEXT
    }
    return "unknown step";
}

wire_bytes wire_str(const char *text) {
    return (wire_bytes){(const uint8_t *) text, text ? strlen(text) : 0};
}

char *wire_str_copy(wire_bytes text) {
    char *copy = malloc(text.length + 1);
    if (!copy)
        return NULL;
    if (text.length > 0)
        memcpy(copy, text.at, text.length);
    copy[text.length] = '\0';
    return copy;
}

int wire_spawn_exit_code(unsigned step, int error) {
    if (step == WIRE_STEP_EXECUTE)
        return error == ENOENT || error == ENOTDIR ? 127 : 126;
    if (step == WIRE_STEP_USER || step == WIRE_STEP_DIRECTORY)
        return 126;
    return 125;
}
