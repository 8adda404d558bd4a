/* SPDX-License-Identifier: Apache-2.0
 *
 * box.h - boxes of a home, for the library's own parts
 */
#ifndef RUNTIME_BOX_H
#define RUNTIME_BOX_H

#include "runtime/runtime.h"
#include "runtime/state.h"

/* Folders of boxes that are being made. */
#define BOX_TEMPORARY_PREFIX ".new-"

/* A label of boxes that we make for ourselves, to be started at once and to go when they stop. */
#define BOX_LABEL_PASSING "nestbox.passing"

/* A name, or what was found to be the beginning of an id. */
#define BOX_CALLED_SIZE 129

struct nb_box {
    nb_runtime *runtime;
    char id[ID_SIZE];
    char called[BOX_CALLED_SIZE]; /* as its user called it: for messages */
};

/* Opens the box's folder. The descriptor; -NB_E_NOT_FOUND when the box has been removed. */
int box_open_folder(const nb_runtime *rt, const char *id, nb_error *err);

/* Reads its record. -NB_E_NOT_FOUND. */
int box_read_record(const nb_box *box, arena *a, box_record *ret_record, nb_error *err);

/* Removes what a crash left of boxes that were being made or removed, and boxes that were to go when they stopped. */
void box_sweep(nb_runtime *rt);

int box_count_running(nb_runtime *rt, size_t *ret_count, nb_error *err);

#endif
