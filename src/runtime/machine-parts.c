/* SPDX-License-Identifier: Apache-2.0
 *
 * machine-parts.c - what every machine of this home is made of, whoever it is for
 */
#include "runtime/machine-parts.h"

#include "base/fd.h"
#include "runtime/embedded.h"

#include <stdlib.h>

int machine_parts_find(nb_runtime *rt, machine_parts *ret_parts, nb_error *err) {
    *ret_parts = (machine_parts){.shim = -1};
    int result = accel_choose(rt->accelerator, &ret_parts->accel, err);
    if (result == 0)
        result = machine_find_program(host_machine(), &ret_parts->qemu, err);
    if (result == 0)
        result = guest_bundle_find(&ret_parts->bundle, err);
    if (result < 0)
        return result;
    int agent = home_program(rt, &embedded_guest, &ret_parts->agent, err);
    if (agent < 0)
        return agent;
    (void) fd_close(agent);
    ret_parts->shim = home_program(rt, &embedded_shim, NULL, err);
    return ret_parts->shim < 0 ? ret_parts->shim : 0;
}

void machine_parts_done(machine_parts *parts) {
    guest_bundle_done(&parts->bundle);
    free(parts->qemu);
    free(parts->agent);
    parts->shim = fd_close(parts->shim);
}
