/* SPDX-License-Identifier: Apache-2.0
 *
 * raw-guest.c - PID 1 of a machine that does nothing but move bytes through a virtio-serial port
 *
 * The peer of the streams: it boots as the agent does, and then writes to the port, or reads from it, with nothing in between.
 */
#include "guest/boot.h"
#include "raw-link.h"

#include "base/fd.h"

#include <stdbool.h>

#define PIECE_BYTES ((size_t) 64 << 10)

static char piece[PIECE_BYTES];

static bool send_byte(int port, char byte) {
    return write(port, &byte, 1) == 1;
}

static bool move(int port, const raw_order *order) {
    for (uint64_t left = order->bytes; left > 0;) {
        size_t length = left < sizeof(piece) ? (size_t) left : sizeof(piece);
        ssize_t n = order->what == RAW_WRITE ? write(port, piece, length) : read(port, piece, length);
        if (n <= 0)
            return false;
        left -= (uint64_t) n;
    }
    return order->what == RAW_WRITE || send_byte(port, RAW_DONE);
}

int main(void) {
    int port = boot_machine();
    raw_order order;
    bool good = port >= 0 && fd_set_nonblock(port, false) == 0 && send_byte(port, RAW_READY);
    while (good && fd_read_full(port, &order, sizeof(order)) == sizeof(order))
        good = move(port, &order);
    boot_power_off();
}
