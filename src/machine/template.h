/* SPDX-License-Identifier: Apache-2.0
 *
 * template.h - a saved machine that boxes go on from: the folder that it is kept in
 *
 * A folder of a template has three files, which nobody may write: "memory", "state", and "template", 48 bytes that are written last: what it is, in
 * which form, the lengths of the others and a digest of them. One whose machine has an image's disk and container has a fourth, "disk": a box's
 * disk as that machine left it. Its users may keep other files beside these.
 */
#ifndef MACHINE_TEMPLATE_H
#define MACHINE_TEMPLATE_H

#include <nestbox/error.h>

#include <stdbool.h>
#include <stdint.h>

/* Written last: a folder without it is no template. */
#define TEMPLATE_HEADER_FILE "template"
#define TEMPLATE_MEMORY_FILE "memory"
#define TEMPLATE_STATE_FILE "state"
#define TEMPLATE_DISK_FILE "disk"

/* The header begins with this, of which the last two are the form's version. Then little-endian: bytes of memory, bytes of state, bytes
 * of disk, 0 without one; and the digest. */
#define TEMPLATE_MAGIC "NBTEMP03"
#define TEMPLATE_HEADER_BYTES 48u

typedef struct template_files {
    int memory_fd, state_fd; /* open read-only; -1: none */
    int disk_fd;             /* the same; -1: it knows no disk */
} template_files;

/* Makes a template of the files in @folder, which are complete: nobody may write to them from now on. */
int template_seal(int folder, const template_files *files, nb_error *err);

/* Opens the template in @path, after a look at its owner, modes, header and lengths.
 *
 * @memory_bytes  of the machine that it is to be for; 0: any
 * -NB_E_STORAGE and its kin: there is none, or it is not to be relied on; @err says what of it */
int template_open(const char *path, uint64_t memory_bytes, template_files *ret_files, nb_error *err);
void template_files_close(template_files *files);

/* Whether all that it holds is what it held when it was made: reads all of it. Errors: those of template_open(). */
int template_verify(const char *path, nb_error *err);

/* Gives the box in @folder the disk that the template's machine knows, in the place of its own, which nothing has been written to. One or the
 * other is there, whenever this is interrupted.
 *
 * -NB_E_INVALID_STATE: the box's disk is another one by now; -NB_E_STORAGE and its kin */
int template_give_disk(const template_files *files, int folder, const char *name, nb_error *err);

#endif
