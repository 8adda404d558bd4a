/* SPDX-License-Identifier: Apache-2.0
 *
 * raw-host.c - a machine of ours with raw-guest instead of the agent, and the host's end of its port
 *
 *     raw-host QEMU ACCELERATOR BUNDLE GUEST CPUS
 *
 * Orders come on stdin, "stdout BYTES" and "stdin BYTES", named after the stream of an exec that each is the peer of; the answer to
 * each is a line with the microseconds from the first byte to the last (stdin: to the guest's word that it has them all).
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "loop/loop.h"
#include "machine/machine.h"
#include "machine/qcow2.h"
#include "raw-link.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BOOT_WAIT_MS 60000
#define BYTES_WAIT_MS 60000
#define PIECE_BYTES ((size_t) 256 << 10)
#define DISK_BYTES ((uint64_t) 1 << 20)
#define MEMORY_BYTES ((uint64_t) 256 << 20)

static uint8_t piece[PIECE_BYTES];

static void on_running(void *user) {
}

static void on_ended(void *user, const machine_end *end) {
    (void) fprintf(stderr, "raw-host: %s\n", end->reason);
    exit(1);
}

static bool wait_for(int link, short events) {
    struct pollfd one = {.fd = link, .events = events};
    return poll(&one, 1, BYTES_WAIT_MS) == 1;
}

static bool receive(int link, uint64_t left, uint64_t *ret_first_us) {
    for (bool first = true; left > 0; first = false) {
        if (!wait_for(link, POLLIN))
            return false;
        ssize_t n = read(link, piece, left < sizeof(piece) ? (size_t) left : sizeof(piece));
        if (n <= 0)
            return false;
        if (first)
            *ret_first_us = clock_monotonic_ns() / 1000;
        left -= (uint64_t) n;
    }
    return true;
}

static bool transmit(int link, const void *bytes, uint64_t left, size_t size) {
    while (left > 0) {
        ssize_t n = wait_for(link, POLLOUT) ? write(link, bytes, left < size ? (size_t) left : size) : -1;
        if (n <= 0)
            return false;
        left -= (uint64_t) n;
    }
    return true;
}

static bool serve(int link, const char *line) {
    raw_order order = {.what = RAW_WRITE};
    uint64_t began = clock_monotonic_ns() / 1000, drop;
    if (sscanf(line, "stdin %" SCNu64, &order.bytes) == 1)
        order.what = RAW_READ;
    else if (sscanf(line, "stdout %" SCNu64, &order.bytes) != 1)
        return false;
    bool good = transmit(link, &order, sizeof(order), sizeof(order));
    if (order.what == RAW_WRITE)
        good = good && receive(link, order.bytes, &began);
    else
        good = good && transmit(link, piece, order.bytes, sizeof(piece)) && receive(link, 1, &drop);
    (void) printf("%" PRIu64 "\n", clock_monotonic_ns() / 1000 - began);
    return good && fflush(stdout) == 0;
}

static int start(loop *l, char **argv, machine **ret_machine, int *ret_link, nb_error *err) {
    char kernel[512], modules[512], base[64];
    (void) snprintf(kernel, sizeof(kernel), "%s/vmlinuz", argv[3]);
    (void) snprintf(modules, sizeof(modules), "%s/modules.cpio", argv[3]);
    int console = memfd_create("console", MFD_CLOEXEC), disk = memfd_create("disk", MFD_CLOEXEC);
    int base_disk = memfd_create("base", MFD_CLOEXEC);
    (void) snprintf(base, sizeof(base), "/proc/self/fd/%d", base_disk);
    if (console < 0 || disk < 0 || base_disk < 0 || ftruncate(base_disk, (off_t) DISK_BYTES) < 0 ||
        qcow2_create_overlay(disk, "base", DISK_BYTES, err) < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "make the disks");
    machine_spec spec = {
        .program = argv[1],
        .accelerator = argv[2],
        .kernel = kernel,
        .modules = modules,
        .agent = argv[4],
        .base_disk = base,
        .disk_fd = disk,
        .console_fd = console,
        .memory_bytes = MEMORY_BYTES,
        .cpus = (uint32_t) strtoul(argv[5], NULL, 10),
    };
    return machine_start(l, NULL, &spec, &(machine_events){NULL, on_running, on_ended}, ret_machine, ret_link, err);
}

int main(int argc, char **argv) {
    loop *l = loop_new();
    machine *m = NULL;
    int link = -1;
    nb_error why;
    if (argc != 6 || !l)
        return 2;
    if (start(l, argv, &m, &link, &why) < 0) {
        (void) fprintf(stderr, "raw-host: %s\n", why.message);
        return 1;
    }
    uint8_t ready = 0;
    for (deadline d = deadline_in(BOOT_WAIT_MS); read(link, &ready, 1) != 1;) {
        if (deadline_passed(d) || loop_round(l, 10) < 0)
            return 1;
    }
    (void) printf("%s\n", ready == RAW_READY ? "ready" : "?");
    (void) fflush(stdout);
    char line[64];
    while (fgets(line, sizeof(line), stdin) && serve(link, line))
        ;
    machine_free(m);
    return 0;
}
