/* SPDX-License-Identifier: Apache-2.0
 *
 * setup.c - the SETUP of a machine, which everybody who has one begins with
 */
#include "shim/setup.h"

#include "base/clock.h"
#include "wire/limits.h"

#include <sys/random.h>

bool setup_send(machine *m, link_end *agent, msg_setup setup) {
    uint8_t entropy[WIRE_ENTROPY_BYTES];
    if (getrandom(entropy, sizeof(entropy), 0) != (ssize_t) sizeof(entropy))
        return false;
    setup.entropy = (wire_bytes){entropy, sizeof(entropy)};
    setup.wall_clock_ns = clock_wall_ns();
    link_send(agent, wire_encode_setup, &setup);
    machine_wake(m);
    return true;
}
