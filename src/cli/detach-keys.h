/* SPDX-License-Identifier: Apache-2.0
 *
 * detach-keys.h - the keys that leave a command running and give the terminal back
 */
#ifndef CLI_DETACH_KEYS_H
#define CLI_DETACH_KEYS_H

#include <nestbox/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DETACH_KEYS_MAX 16u

typedef struct detach_keys {
    uint8_t bytes[DETACH_KEYS_MAX];
    size_t count; /* 0: nothing detaches */
} detach_keys;

/* The option of every command that attaches, as docker has it. */
#define DETACH_KEYS_OPTION(type)                                                \
    OPT_STRING('\0', "detach-keys", type, detach_keys, "KEYS", "ctrl-p,ctrl-q", \
               "what detaches, with -i -t: e.g. ctrl-@,d; nothing if empty")

/* @text  keys with commas between them: a character, or ctrl- and one of a to z @ [ \ ] ^ _; empty for none
 * -NB_E_INVALID, with what was expected. */
int detach_keys_parse(const char *text, detach_keys *ret_keys, nb_error *err);

/* Looks for the keys in what is typed. What may be their beginning is held back until the next byte tells. */
typedef struct detach_filter {
    const detach_keys *keys; /* borrowed */
    size_t held;             /* so many of them came last, and are still owed */
} detach_filter;

/* Copies what is to be passed on to @to, which has room for @length + DETACH_KEYS_MAX bytes, and returns how many that are.
 *
 * @ret_detached  the keys were there; what came after them is dropped */
size_t detach_filter_feed(detach_filter *f, const uint8_t *bytes, size_t length, uint8_t *to, bool *ret_detached);

#endif
