/* SPDX-License-Identifier: Apache-2.0
 *
 * template.h - a saved machine that boxes go on from: the folder that it is kept in, and the making of one
 *
 * A folder of a template has three files, which nobody may write: "memory", "state", and "template", 32 bytes that are written last: what it is, in
 * which form, and the lengths of the others. One whose machine has an image's disk and container has a fourth, "disk": a box's disk
 * as that machine left it.
 */
#ifndef SHIM_TEMPLATE_H
#define SHIM_TEMPLATE_H

#include <nestbox/error.h>

#include <stdint.h>

#define TEMPLATE_MEMORY_FILE "memory"
#define TEMPLATE_STATE_FILE "state"

/* The header begins with this, of which the last two are the form's version. Then little-endian: bytes of memory, bytes of state, bytes
 * of disk, 0 without one. */
#define TEMPLATE_MAGIC "NBTEMP02"
#define TEMPLATE_HEADER_BYTES 32u

typedef struct template_files {
    int memory_fd, state_fd; /* open read-only; -1: none */
    int disk_fd;             /* the same; -1: it knows no disk */
} template_files;

/* Opens the template in @path, after a look at its owner, modes, header and lengths.
 *
 * -NB_E_STORAGE and its kin: there is none, or it is not to be relied on; @err says what of it */
int template_open(const char *path, uint64_t memory_bytes, template_files *ret_files, nb_error *err);
void template_files_close(template_files *files);

/* Gives the box in @folder the disk that the template's machine knows, in the place of its own, which nothing has been written to. One or the
 * other is there, whenever this is interrupted.
 *
 * @base_disk  the disk below, as the note of qcow2_create_overlay()
 * -NB_E_INVALID_STATE: the box's disk is another one by now; -NB_E_STORAGE and its kin */
int template_give_disk(const template_files *files, int folder, const char *name, const char *base_disk, nb_error *err);

/* The program that makes one, in the folder WIRE_SHIM_FOLDER_FD, as the order on WIRE_SHIM_SOCKET_FD says; its exit status. */
int template_main(void);

#endif
