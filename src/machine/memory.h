/* SPDX-License-Identifier: Apache-2.0
 *
 * memory.h - how much memory a machine gets for a container's limit
 */
#ifndef MACHINE_MEMORY_H
#define MACHINE_MEMORY_H

#include <stdint.h>

/* The machine's memory, in bytes: what the container may use and what the kernel and the agent need beside it, rounded up to the next class.
 * Classes are 256 MiB, 512 MiB, 1, 2 and 4 GiB, then multiples of 4 GiB: few, so that machines can share templates. A container of
 * 256 MiB, the default, gets a machine of 512 MiB and can use its 256 MiB to the last page.
 *
 * @container_bytes  at most NB_MEMORY_MAX_BYTES */
uint64_t machine_memory_class(uint64_t container_bytes);

#endif
