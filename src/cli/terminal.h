/* SPDX-License-Identifier: Apache-2.0
 *
 * terminal.h - the caller's terminal: raw while a command in a box has it, and the keys that detach from it
 */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

typedef struct terminal {
    int fd;
    bool is_raw;
    struct termios before; /* valid while is_raw */
} terminal;

/* Switches the terminal at @fd to raw mode. 0, or -1 with errno and nothing changed. */
int terminal_make_raw(int fd, terminal *ret_terminal);

/* Puts it back as it was; again, or on a zeroed terminal, is fine. */
void terminal_restore(terminal *t);

/* Its size; false where @fd is no terminal or has none. */
bool terminal_size(int fd, uint16_t *ret_columns, uint16_t *ret_rows);

/* Looks for Ctrl-P Ctrl-Q in what is typed. A Ctrl-P is held back until the next byte says what it was. */
typedef struct detach_filter {
    bool half; /* Ctrl-P was the last byte, and is still owed */
} detach_filter;

/* Copies what is to be passed on to @to, which has room for @length + 1 bytes, and returns how many that are.
 *
 * @ret_detached  the keys were there; what came after them is dropped */
size_t detach_filter_feed(detach_filter *f, const uint8_t *bytes, size_t length, uint8_t *to, bool *ret_detached);

#endif
