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
    QEMU_FD_MEMORY = 10,   /* the machine's memory: to be saved, read-write; restored, read-only */
    QEMU_FD_STATE = 11,    /* the state of its devices and processors */
    QEMU_FD_COUNT,
} qemu_fd;

/* The block node that a box's disk has on the control connection. */
#define QEMU_DISK_NODE "disk"
/* The node above it, which the guest's device is on then, of a bounded disk; and the object that bounds it. */
#define QEMU_BOUNDED_DISK_NODE "bounded-disk"
#define QEMU_DISK_BOUNDS "disk-bounds"

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

typedef enum qemu_mode {
    QEMU_BOOTED,   /* boots its kernel; its memory is its own */
    QEMU_TO_SAVE,  /* the same, with its memory in QEMU_FD_MEMORY */
    QEMU_RESTORED, /* goes on from there: without a kernel, its memory a private copy unless it is saved later */
} qemu_mode;

typedef struct qemu_options {
    qemu_mode mode;
    const qemu_target *target;
    const char *program;     /* becomes argv[0] */
    const char *accelerator; /* "kvm" or "tcg" */
    uint64_t memory_bytes;   /* of the machine: a class of machine_memory_class() */
    uint32_t cpus;
    bool is_saved_later; /* its memory is to be found in QEMU_FD_MEMORY */
    bool has_disk;
    bool is_disk_bounded; /* by QEMU_DISK_BOUNDS, whose limits are none at first */
    uint64_t tsc_khz;     /* 0: unknown, the guest finds out by itself */
} qemu_options;

#define QEMU_COMMAND_MAX_BYTES 8192

/* Appends the whole command, beginning with the program, to @packed, a packed list (strv.h).
 * -NB_E_NO_MEMORY: no memory, or beyond the buffer's maximum. */
int qemu_command(buf *packed, const qemu_options *o, nb_error *err);

#endif
