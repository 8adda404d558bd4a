/* SPDX-License-Identifier: Apache-2.0
 *
 * memory.c - how much memory a machine gets for a container's limit
 */
#include "machine/memory.h"

#include "base/size.h"

/* What a machine has that a container never sees. Fixed: the kernel's code and data (40 MiB of a Debian cloud kernel), initramfs, agent, and
 * caches that the agent itself needs. In proportion: the kernel's table of pages takes 64 bytes of 4096, and as much again
 * is left for what it keeps about a full container: page tables, inodes, buffers that no cgroup is charged for. */
#define MEMORY_RESERVE_BYTES MIB(96)
#define MEMORY_RESERVE_PART 32

#define MEMORY_CLASS_MIN_BYTES MIB(256)
/* Above this, doubling would waste more than templates save. */
#define MEMORY_CLASS_STEP_BYTES GIB(4)

uint64_t machine_memory_class(uint64_t container_bytes) {
    uint64_t needed = container_bytes + container_bytes / MEMORY_RESERVE_PART + MEMORY_RESERVE_BYTES;
    if (needed > MEMORY_CLASS_STEP_BYTES)
        return align_up(needed, MEMORY_CLASS_STEP_BYTES);
    uint64_t class_bytes = MEMORY_CLASS_MIN_BYTES;
    while (class_bytes < needed)
        class_bytes *= 2;
    return class_bytes;
}
