/* SPDX-License-Identifier: Apache-2.0
 *
 * accel.h - whether machines run on KVM or on QEMU's own translator, and why
 */
#ifndef MACHINE_ACCEL_H
#define MACHINE_ACCEL_H

#include <nestbox/error.h>

typedef struct accel_choice {
    const char *name; /* "kvm" or "tcg"; static */
    char reason[256]; /* one sentence for a person, in every case */
} accel_choice;

/* Chooses by trying: KVM where it truly works, QEMU's translator (TCG) elsewhere. Opens /dev/kvm for a moment; needs no loop.
 *
 * @wanted  "kvm" or "tcg" to insist, NULL to choose
 * Errors: -NB_E_MACHINE (kvm is wanted and does not work here; the message says why), -NB_E_INVALID (neither of the names). */
int accel_choose(const char *wanted, accel_choice *ret_choice, nb_error *err);

#endif
