/* SPDX-License-Identifier: Apache-2.0
 *
 * exec-list.h - the execs of a box's last run: from its shim, and from the log of those that have ended
 */
#ifndef RUNTIME_EXEC_LIST_H
#define RUNTIME_EXEC_LIST_H

#include "base/error.h"
#include "wire/message.h"

/* Takes one exec; its texts are valid during the call. A result other than 0 ends the reading and is returned. */
typedef int exec_taker(void *user, const msg_exec_info *info);

/* Those that have ended, oldest first. */
int exec_list_ended(int folder, exec_taker *take, void *user, nb_error *err);

#endif
