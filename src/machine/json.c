/* SPDX-License-Identifier: Apache-2.0
 *
 * json.c - looking into a JSON text without building a tree
 *
 * Theory of operation
 *   One set of skip functions walks over values: json_check() with a doubtful text, json_member() with one that was checked before. Each
 *   takes the reader to the first byte behind the value, or sets bad for good; it never looks at or beyond end.
 */
#include "machine/json.h"

#include <string.h>

typedef struct reader {
    const char *at, *end;
    bool bad;
} reader;

/* The next byte without taking it, NUL at the end; a NUL inside a text is nowhere allowed, so the two need no telling apart. */
static char peek(const reader *r) {
    return r->at < r->end ? *r->at : '\0';
}

static bool take(reader *r, char c) {
    if (r->at >= r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static void need(reader *r, char c) {
    if (!take(r, c))
        r->bad = true;
}

static void skip_space(reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static int hex_digit(char c) {
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void skip_string(reader *r) {
    need(r, '"');
    while (!r->bad && !take(r, '"')) {
        if (r->at >= r->end || (unsigned char) *r->at < ' ') {
            r->bad = true;
        } else if (take(r, '\\')) {
            if (take(r, 'u')) {
                for (unsigned i = 0; i < 4 && !r->bad; i++) {
                    r->bad = hex_digit(peek(r)) < 0;
                    r->at += !r->bad;
                }
            } else {
                char c = peek(r);
                r->bad = c == '\0' || !strchr("\"\\/bfnrt", c);
                r->at += !r->bad;
            }
        } else {
            r->at++;
        }
    }
}

static void skip_digits(reader *r) {
    if (!is_digit(peek(r)))
        r->bad = true;
    while (is_digit(peek(r)))
        r->at++;
}

static void skip_number(reader *r) {
    (void) take(r, '-');
    if (!take(r, '0'))
        skip_digits(r);
    if (take(r, '.'))
        skip_digits(r);
    if (take(r, 'e') || take(r, 'E')) {
        if (!take(r, '+'))
            (void) take(r, '-');
        skip_digits(r);
    }
}

static void skip_word(reader *r, const char *word) {
    size_t length = strlen(word);
    if ((size_t) (r->end - r->at) < length || memcmp(r->at, word, length) != 0)
        r->bad = true;
    else
        r->at += length;
}

static void skip_value(reader *r, unsigned depth);

/* "name" : , with the reader then at the member's value. */
static json_value skip_name(reader *r) {
    skip_space(r);
    const char *from = r->at;
    skip_string(r);
    json_value name = {from, (size_t) (r->at - from)};
    skip_space(r);
    need(r, ':');
    skip_space(r);
    return name;
}

static void skip_members(reader *r, bool named, char close, unsigned depth) {
    if (depth >= JSON_DEPTH_MAX) {
        r->bad = true;
        return;
    }
    r->at++; /* the opening bracket, seen by the caller */
    skip_space(r);
    if (take(r, close))
        return;
    do {
        if (named)
            (void) skip_name(r);
        else
            skip_space(r);
        if (r->bad)
            return;
        skip_value(r, depth + 1);
        skip_space(r);
    } while (!r->bad && take(r, ','));
    need(r, close);
}

static void skip_value(reader *r, unsigned depth) {
    switch (peek(r)) {
    case '{':
        skip_members(r, true, '}', depth);
        break;
    case '[':
        skip_members(r, false, ']', depth);
        break;
    case '"':
        skip_string(r);
        break;
    case 't':
        skip_word(r, "true");
        break;
    case 'f':
        skip_word(r, "false");
        break;
    case 'n':
        skip_word(r, "null");
        break;
    default:
        skip_number(r);
    }
}

bool json_check(const char *text, size_t length, json_value *ret_value) {
    reader r = {text, text + length, false};
    skip_space(&r);
    const char *from = r.at;
    skip_value(&r, 0);
    json_value value = {from, (size_t) (r.at - from)};
    skip_space(&r);
    if (r.bad || r.at != r.end)
        return false;
    *ret_value = value;
    return true;
}

json_value json_member(json_value object, const char *name) {
    const json_value absent = {NULL, 0};
    if (!json_is_object(object))
        return absent;
    size_t length = strlen(name);
    reader r = {object.at + 1, object.at + object.length, false};
    skip_space(&r);
    if (peek(&r) == '}')
        return absent;
    do {
        json_value own = skip_name(&r);
        const char *from = r.at;
        skip_value(&r, 0);
        if (r.bad)
            return absent;
        if (own.length == length + 2 && memcmp(own.at + 1, name, length) == 0)
            return (json_value){from, (size_t) (r.at - from)};
        skip_space(&r);
    } while (take(&r, ','));
    return absent;
}

static uint32_t read_hex4(const char *at) {
    uint32_t number = 0;
    for (unsigned i = 0; i < 4; i++)
        number = number << 4 | (uint32_t) hex_digit(at[i]);
    return number;
}

/* RFC 3629. The number of bytes, at most four. */
static size_t encode_utf8(uint32_t code, char *to) {
    static const uint8_t leads[] = {0, 0x00, 0xc0, 0xe0, 0xf0};
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length; i-- > 1; code >>= 6)
        to[i] = (char) (0x80 | (code & 0x3f));
    to[0] = (char) (leads[length] | code);
    return length;
}

/* Decodes what stands behind a backslash; takes *@at behind it. 0: it cannot stand in a C string. */
static size_t decode_escape(const char **at, const char *end, char *to) {
    static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
    char c = *(*at)++;
    if (c != 'u') {
        const char *letter = strchr(letters, c);
        to[0] = letter ? meanings[letter - letters] : c;
        return 1;
    }
    uint32_t code = read_hex4(*at);
    *at += 4;
    if (code >= 0xd800 && code < 0xe000) { /* RFC 8259, section 7: two halves, the high one first */
        if (code >= 0xdc00 || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
            return 0;
        uint32_t low = read_hex4(*at + 2);
        if (low < 0xdc00 || low >= 0xe000)
            return 0;
        *at += 6;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    return code == 0 ? 0 : encode_utf8(code, to);
}

/* Decodes into @text when there is one; the length, or -1. */
static ptrdiff_t decode_string(json_value v, char *text) {
    const char *at = v.at + 1, *end = v.at + v.length - 1;
    ptrdiff_t length = 0;
    while (at < end) {
        char piece[4];
        size_t n = 1;
        if (*at != '\\') {
            piece[0] = *at++;
        } else {
            at++;
            n = decode_escape(&at, end, piece);
            if (n == 0)
                return -1;
        }
        if (text)
            memcpy(text + length, piece, n);
        length += (ptrdiff_t) n;
    }
    return length;
}

bool json_string(json_value v, char *text, size_t size) {
    if (v.length < 2 || v.at[0] != '"')
        return false;
    ptrdiff_t length = decode_string(v, NULL);
    if (length < 0 || (size_t) length >= size)
        return false;
    (void) decode_string(v, text);
    text[length] = '\0';
    return true;
}

bool json_u64(json_value v, uint64_t *ret_number) {
    uint64_t number = 0;
    for (size_t i = 0; i < v.length; i++) {
        if (!is_digit(v.at[i]) || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t) (v.at[i] - '0'), &number))
            return false;
    }
    if (v.length == 0)
        return false;
    *ret_number = number;
    return true;
}
