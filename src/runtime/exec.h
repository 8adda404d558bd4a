/* SPDX-License-Identifier: Apache-2.0
 *
 * exec.h - exec handles, for the library's own parts
 */
#ifndef RUNTIME_EXEC_H
#define RUNTIME_EXEC_H

#include "base/error.h"
#include "wire/message.h"

#include <nestbox/nestbox.h>

#include <stdint.h>

/* What a connection is to one exec. */
typedef struct exec_beginning {
    uint32_t exec_id;
    wire_bytes id;
    bool open_stdin, tty;
    bool watches;     /* no streams */
    uint64_t lost[2]; /* bytes of stdout and stderr that nobody will see */
} exec_beginning;

/* A handle around a connection that has its exec: nothing behind the answer has been read from it.
 *
 * @fd  taken over, on failure too */
int exec_handle_new(int fd, const exec_beginning *beginning, nb_exec **ret_exec, nb_error *err);

/* Asks the running box's shim for what @spawn says and attaches to it. */
int exec_begin(nb_box *box, const msg_spawn *spawn, nb_exec **ret_exec, nb_error *err);

/* A handle of an exec that is over. */
int exec_handle_ended(const msg_exec_info *info, nb_exec **ret_exec, nb_error *err);

/* Connects to an exec of the box in @folder, NULL being the main command. -NB_E_NOT_FOUND: its shim knows none such (any more). */
int exec_attach(int folder, const char *id, nb_exec_access access, nb_exec **ret_exec, nb_error *err);

nb_exit_status exec_status_of(const msg_exited *exited);
/* Its end, as EXITED would tell it. */
msg_exited exec_exited_of(const msg_exec_info *info);

#endif
