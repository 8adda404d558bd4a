/* SPDX-License-Identifier: Apache-2.0
 *
 * detach-keys.c - the keys that leave a command running and give the terminal back
 */
#include "cli/detach-keys.h"

#include "base/error.h"

#include <string.h>

#define CTRL_PREFIX "ctrl-"

/* One key of the text, up to its comma or its end. */
static bool parse_key(const char *at, size_t length, uint8_t *ret_byte) {
    size_t prefix = strlen(CTRL_PREFIX);
    if (length == 1) {
        *ret_byte = (uint8_t) at[0];
        return true;
    }
    if (length != prefix + 1 || strncmp(at, CTRL_PREFIX, prefix) != 0)
        return false;
    char key = at[prefix];
    if (key >= 'a' && key <= 'z')
        key = (char) (key - 'a' + 'A');
    if (key < '@' || key > '_')
        return false;
    *ret_byte = (uint8_t) (key - '@');
    return true;
}

int detach_keys_parse(const char *text, detach_keys *ret_keys, nb_error *err) {
    detach_keys keys = {.count = 0};
    for (const char *at = text, *end; *text && at; at = *end ? end + 1 : NULL) {
        end = at + strcspn(at, ",");
        if (keys.count == DETACH_KEYS_MAX)
            return nb_fail(err, NB_E_INVALID, 0, "--detach-keys '%s': more than %u keys", text, DETACH_KEYS_MAX);
        if (!parse_key(at, (size_t) (end - at), &keys.bytes[keys.count++]))
            return nb_fail(err, NB_E_INVALID, 0,
                           "--detach-keys '%s': '%.*s' is no key: one character, or ctrl- and one of a to z @ [ \\ ] ^ _; keys have commas "
                           "between them",
                           text, (int) (end - at), at);
    }
    *ret_keys = keys;
    return 0;
}

/* How many of the keys are held once @byte has come after the @held first of them: the longest beginning of the keys that is an end of what came. */
static size_t held_after(const detach_keys *keys, size_t held, uint8_t byte) {
    uint8_t came[DETACH_KEYS_MAX + 1];
    memcpy(came, keys->bytes, held);
    came[held] = byte;
    for (size_t length = held + 1; length > 0; length--) {
        if (length <= keys->count && memcmp(came + held + 1 - length, keys->bytes, length) == 0)
            return length;
    }
    return 0;
}

size_t detach_filter_feed(detach_filter *f, const uint8_t *bytes, size_t length, uint8_t *to, bool *ret_detached) {
    size_t out = 0;
    *ret_detached = false;
    for (size_t i = 0; i < length; i++) {
        size_t now = held_after(f->keys, f->held, bytes[i]), owed = f->held + 1 - now;
        if (now > 0 && now == f->keys->count) {
            f->held = 0;
            *ret_detached = true;
            return out;
        }
        /* What was held and is none of them after all, and this byte, if it is not held itself. */
        size_t old = owed < f->held ? owed : f->held;
        memcpy(to + out, f->keys->bytes, old);
        out += old;
        if (owed > old)
            to[out++] = bytes[i];
        f->held = now;
    }
    return out;
}
