/* SPDX-License-Identifier: Apache-2.0
 *
 * machine.h - one micro-VM: start it, hear how it ends
 *
 * Nothing above this folder knows that it is QEMU.
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include "base/log.h"
#include "loop/loop.h"

#include <nestbox/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct machine machine;

/* A machine that was saved, or is to be: two files. */
typedef struct machine_saved {
    int memory_fd, state_fd; /* borrowed; to save: open read-write, empty but for a memory that is restored; to restore: open read-only */
    bool knows_disk;         /* to restore: its guest has mounted the disk that it is given */
} machine_saved;

/* All strings are borrowed for the call of machine_start(). Paths are absolute, or below /proc/self/fd. */
typedef struct machine_spec {
    const char *program;     /* the QEMU binary */
    const char *accelerator; /* "kvm" or "tcg" */
    const char *kernel;      /* bzImage */
    const char *modules;     /* archive with the guest's kernel modules, of the guest bundle */
    const char *agent;       /* nestbox-guest, the static program that becomes PID 1 */
    const char *base_disk;   /* raw ext4, opened read-only */
    int disk_fd;             /* the box's own qcow2 overlay over it, open read-write; borrowed; -1: a machine to be saved, without a disk */
    int console_fd;          /* regular file that becomes the console's ring, open read-write; borrowed and used until the machine ended */
    uint64_t memory_bytes;   /* what the container may use; the machine gets the next class above it */
    uint32_t cpus;
    uint64_t io_bytes_per_second;      /* of the disk, reads and writes together, after machine_bound_disk(); 0: no limit */
    uint32_t io_operations_per_second; /* the same */
    const machine_saved *restore;      /* go on from there, instead of booting the kernel; NULL: boot */
    const machine_saved *save;         /* run for machine_save(), with the memory of what is restored; NULL: not to be saved */
    int (*filter)(void); /* installs a filter of system calls in QEMU's process, as launch_filtered_program() has it; NULL: none */
} machine_spec;

/* How a machine ended. */
typedef struct machine_end {
    int exit_code;    /* of QEMU, -1 when a signal ended it */
    int signal;       /* 0 when it exited by itself */
    char reason[512]; /* one sentence for a person, with what QEMU wrote on stderr; never empty */
} machine_end;

typedef struct machine_events {
    void *user;
    void (*on_running)(void *user);                       /* the processors run: the guest begins to boot, or goes on */
    void (*on_saved)(void *user);                         /* what machine_save() began is done; the machine stands still */
    void (*on_ended)(void *user, const machine_end *end); /* the process has been reaped; nothing comes after this */
} machine_events;

/* Starts QEMU as a child of this (single-threaded) process; it is killed when this process dies. Its processors run after the
 * control connection has been set up, which on_running tells.
 *
 * @ret_link      the guest's virtio-serial port as a nonblocking stream socket; the caller's
 * @ret_listener  what the filter asks, the caller's: QEMU waits until it is answered; -1: QEMU runs without a filter, as the log says
 * Errors: -NB_E_MACHINE (what was missing or refused), -NB_E_NO_MEMORY. */
int machine_start(loop *l, const log_sink *log, const machine_spec *spec, const machine_events *events, machine **ret_machine,
                  int *ret_link, int *ret_listener, nb_error *err);

pid_t machine_pid(const machine *m);

/* From now on somebody else is told. */
void machine_set_events(machine *m, const machine_events *events);
/* Whether on_running was called, and nothing has begun to end it. */
bool machine_is_running(const machine *m);

/* Of a restored machine: how large its guest is to find its disk; 0: it has booted, or was saved with it, and knows. */
uint64_t machine_disk_bytes(const machine *m);

/* To be called once the guest has said its first word. Until the guest opens its port QEMU's main loop does not watch our end of it, and in
 * a translated machine the opening wakes a processor's thread alone: what we had sent then stayed unread for as long as neither guest nor
 * host had anything else to do (about one start in a few hundred on a busy host). A command wakes that loop. */
void machine_wake(machine *m);

/* From now on its disk is bounded as its specification says: what is done to it before, mounting and growing it, is ours. */
void machine_bound_disk(machine *m);

/* Stops it for good and writes its state, then on_saved; the link is the caller's to keep quiet. Of a machine that was started to be saved. */
void machine_save(machine *m);

/* Asks it to end in order: QEMU flushes and closes its disks. A machine that has not ended after @grace_ms is killed. */
void machine_quit(machine *m, uint64_t grace_ms);
void machine_kill(machine *m);

/* The last lines of the console, printable, NUL-terminated, at most @size bytes. */
void machine_console_tail(machine *m, char *text, size_t size);

/* Kills what still runs, waits for it, frees. on_ended is not called. NULL is fine; so is calling it from on_ended. */
void machine_free(machine *m);

#endif
