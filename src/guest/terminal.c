/* SPDX-License-Identifier: Apache-2.0
 *
 * terminal.c - the agent's side of an exec's terminal
 */
#include "guest/terminal.h"

#include "base/fd.h"

#include <errno.h>
#include <stddef.h>
#include <sys/ioctl.h>

int terminal_receive(int console) {
    uint8_t nothing;
    int fds[FD_PASS_MAX];
    size_t count = 0;
    ssize_t n = fd_receive_message(console, &nothing, sizeof(nothing), fds, &count);
    if (n == 0)
        errno = ECONNRESET;
    if (n <= 0)
        return -1;
    while (count > 1)
        (void) fd_close(fds[--count]);
    unsigned number;
    if (count == 0) {
        errno = EMFILE;
        return -1;
    }
    if (ioctl(fds[0], TIOCGPTN, &number) < 0 || fd_set_nonblock(fds[0], true) < 0)
        return fd_close(fds[0]);
    return fds[0];
}

void terminal_resize(int master, uint16_t columns, uint16_t rows) {
    struct winsize size = {.ws_col = columns, .ws_row = rows};
    (void) ioctl(master, TIOCSWINSZ, &size);
}
