/* SPDX-License-Identifier: Apache-2.0
 *
 * exec.h - exec handles, for the library's own parts
 */
#ifndef RUNTIME_EXEC_H
#define RUNTIME_EXEC_H

#include "base/error.h"

#include <nestbox/nestbox.h>

#include <stdint.h>

/* A handle around a connection that has its exec: nothing behind the answer has been read from it.
 *
 * @fd  taken over, on failure too */
int exec_handle_new(int fd, uint32_t exec_id, bool open_stdin, bool tty, nb_exec **ret_exec, nb_error *err);

#endif
