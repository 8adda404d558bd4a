/* SPDX-License-Identifier: Apache-2.0
 *
 * template.h - a saved machine that boxes go on from: the folder that it is kept in, and the making of one
 *
 * A folder of a template has three files, which nobody may write: "memory", "state", and "template", 32 bytes that are written last: what it is, in
 * which form, and the lengths of the other two.
 */
#ifndef SHIM_TEMPLATE_H
#define SHIM_TEMPLATE_H

#include <nestbox/error.h>

#include <stdint.h>

#define TEMPLATE_MEMORY_FILE "memory"
#define TEMPLATE_STATE_FILE "state"

/* The header begins with this, of which the last two are the form's version. Then little-endian: bytes of memory, bytes of state, 8 bytes of
 * nothing yet. */
#define TEMPLATE_MAGIC "NBTEMP01"
#define TEMPLATE_HEADER_BYTES 32u

typedef struct template_files {
    int memory_fd, state_fd; /* open read-only; -1: none */
} template_files;

/* Opens the template in @path, after a look at its owner, modes, header and lengths.
 *
 * -NB_E_STORAGE and its kin: there is none, or it is not to be relied on; @err says what of it */
int template_open(const char *path, uint64_t memory_bytes, template_files *ret_files, nb_error *err);
void template_files_close(template_files *files);

/* The program that makes one, in the folder WIRE_SHIM_FOLDER_FD, as the order on WIRE_SHIM_SOCKET_FD says; its exit status. */
int template_main(void);

#endif
