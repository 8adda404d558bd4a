/* SPDX-License-Identifier: Apache-2.0
 *
 * qcow2.h - making an empty copy-on-write disk over a raw one
 */
#ifndef MACHINE_QCOW2_H
#define MACHINE_QCOW2_H

#include <nestbox/error.h>

#include <stdbool.h>
#include <stdint.h>

/* The format's bound for the name of the disk below. */
#define QCOW2_BACKING_MAX_BYTES 1023
#define QCOW2_SIZE_MAX_BYTES (UINT64_C(64) << 40)

/* Writes an empty qcow2 overlay into an empty file: some hundred bytes of 256 KiB, the rest are holes.
 *
 * @fd            regular file, open for writing, empty; borrowed
 * @backing_path  the raw disk below, as a note for qemu-img; the machine names both by itself. Without newlines.
 * @size_bytes    what the guest sees: a multiple of 512, at least 512, at most QCOW2_SIZE_MAX_BYTES
 * Errors: -NB_E_INVALID (the size or the name), -NB_E_STORAGE and its kin (the write). Does not sync. */
int qcow2_create_overlay(int fd, const char *backing_path, uint64_t size_bytes, nb_error *err);

/* What the guest sees of the disk @fd: its header says it. -NB_E_STORAGE: it is none. */
int qcow2_read_size(int fd, uint64_t *ret_size_bytes, nb_error *err);

/* Whether the disk @fd is one of qcow2_create_overlay() that nothing has been written to, with all of the disk below to be seen. */
bool qcow2_is_untouched(int fd);

/* Has a disk of qcow2_create_overlay() name what another one names as the disk below, of the same contents.
 *
 * Errors: -NB_E_STORAGE and its kin (one of them is no such disk; the write) */
int qcow2_copy_backing(int from, int to, nb_error *err);

#endif
