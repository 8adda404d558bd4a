/* SPDX-License-Identifier: Apache-2.0
 *
 * qemu.h - QEMU's command line
 */
#ifndef MACHINE_QEMU_H
#define MACHINE_QEMU_H

#include "base/buf.h"

#include <nestbox/error.h>

#include <stdbool.h>
#include <stdint.h>

/* The descriptors that QEMU finds at its start: it is given things, not names. */
typedef enum qemu_fd {
    QEMU_FD_STDIN = 0,  /* /dev/null */
    QEMU_FD_STDOUT = 1, /* both to one pipe */
    QEMU_FD_STDERR = 2,
    QEMU_FD_KERNEL = 3,
    QEMU_FD_INITRAMFS = 4,
    QEMU_FD_BASE_DISK = 5, /* read-only */
    QEMU_FD_DISK = 6,      /* read-write, an open file description of its own: QEMU's locks live on it */
    QEMU_FD_LINK = 7,      /* stream socket */
    QEMU_FD_CONTROL = 8,   /* stream socket */
    QEMU_FD_CONSOLE = 9,   /* writing end of a pipe */
    QEMU_FD_COUNT,
} qemu_fd;

/* The block node that a box's disk has on the control connection. */
#define QEMU_DISK_NODE "disk"

/* The name of the virtio-serial port that the agent looks for, in /sys/class/virtio-ports. */
#define QEMU_LINK_PORT "nestbox"

/* What differs between machines of two architectures: a row of a table. Only x86_64's is tested. */
typedef struct qemu_target {
    const char *architecture; /* as uname(2) says it */
    const char *machine;      /* -M */
    const char *cpu_kvm, *cpu_tcg;
    const char *kernel_console;
    const char *kernel_arguments; /* besides those that all have */
    bool has_tsc;
} qemu_target;

/* NULL when machines of that architecture are not supported. */
const qemu_target *qemu_target_find(const char *architecture);
/* The architecture that this program was built for. */
const char *qemu_host_architecture(void);

typedef struct qemu_options {
    const qemu_target *target;
    const char *program;     /* becomes argv[0] */
    const char *accelerator; /* "kvm" or "tcg" */
    uint64_t memory_bytes;   /* of the machine: a class of machine_memory_class() */
    uint32_t cpus;
    uint64_t io_bytes_per_second; /* of the disk; 0: no limit */
    uint32_t io_operations_per_second;
    uint64_t tsc_khz; /* 0: unknown, the guest finds out by itself */
} qemu_options;

#define QEMU_COMMAND_MAX_BYTES 8192

/* Appends the whole command, beginning with the program, to @packed, a packed list (strv.h).
 * -NB_E_NO_MEMORY: no memory, or beyond the buffer's maximum. */
int qemu_command(buf *packed, const qemu_options *o, nb_error *err);

#endif
