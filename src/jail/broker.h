/* SPDX-License-Identifier: Apache-2.0
 *
 * broker.h - opens files for a process that may open none
 */
#ifndef JAIL_BROKER_H
#define JAIL_BROKER_H

#include "base/log.h"
#include "loop/loop.h"

#include <nestbox/error.h>

typedef struct broker broker;

/* Answers, from @l, what the process asks for that runs under filter_install().
 *
 * @listener  its result, received from that process; taken over
 * @program   the process's program, for policy_judge(); borrowed for the call
 * Errors: -NB_E_NO_MEMORY, -NB_E_MACHINE (the kernel is older than 5.14, or the descriptor cannot be watched). */
int broker_new(loop *l, const log_sink *log, int listener, const char *program, broker **ret_broker, nb_error *err);

/* From now on nobody answers: what the process still asks for fails. NULL is fine. */
void broker_free(broker *b);

#endif
