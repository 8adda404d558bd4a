/* SPDX-License-Identifier: Apache-2.0
 *
 * terminal.h - the caller's terminal: raw while a command in a box has it
 */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>
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

#endif
