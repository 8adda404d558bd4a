/* SPDX-License-Identifier: Apache-2.0
 *
 * terminal.c - the caller's terminal: raw while a command in a box has it
 */
#include "cli/terminal.h"

#include <sys/ioctl.h>

int terminal_make_raw(int fd, terminal *ret_terminal) {
    terminal t = {.fd = fd, .is_raw = true};
    if (tcgetattr(fd, &t.before) < 0)
        return -1;
    struct termios raw = t.before;
    cfmakeraw(&raw);
    if (tcsetattr(fd, TCSANOW, &raw) < 0)
        return -1;
    *ret_terminal = t;
    return 0;
}

void terminal_restore(terminal *t) {
    if (t->is_raw)
        (void) tcsetattr(t->fd, TCSANOW, &t->before); /* not DRAIN: output that is held by Ctrl-S must not hold us */
    t->is_raw = false;
}

bool terminal_size(int fd, uint16_t *ret_columns, uint16_t *ret_rows) {
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
        return false;
    *ret_columns = size.ws_col;
    *ret_rows = size.ws_row;
    return true;
}
