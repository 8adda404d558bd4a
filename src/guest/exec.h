/* SPDX-License-Identifier: Apache-2.0
 *
 * exec.h - one process of the box, as the agent sees it: its streams, its limits, its end
 */
#ifndef GUEST_EXEC_H
#define GUEST_EXEC_H

#include "guest/agent.h"

#include <sys/resource.h>

/* Begins an exec from a SPAWN message. What becomes of it goes over the link. 0, or -NB_E_PROTOCOL: the message breaks the rules. */
int exec_begin(agent *a, const uint8_t *bytes, size_t length);

/* What the zygote tells, TO_AGENT. */
void exec_created(agent *a, const msg_created *message);
void exec_create_failed(agent *a, const msg_create_failed *message);
void exec_ended(agent *a, const msg_ended *message);

/* The zygote is dead: execs that it had not answered fail with @error. */
void exec_fail_unborn(agent *a, int error);
/* A child of the dead zygote has ended under us, its new parent. */
void exec_inherited_ended(agent *a, pid_t pid, int wait_status, const struct rusage *usage);
/* Whether an exec's process runs, or its end has not been told. */
bool exec_any_untold(const agent *a);

/* What the host sends. The same result rule as link_handlers. */
int exec_signal(agent *a, const msg_signal *message);
int exec_resize(agent *a, const msg_resize *message);
int exec_stdin(agent *a, uint32_t channel, const uint8_t *bytes, size_t length);
int exec_credit(agent *a, uint32_t channel, uint32_t credit);

/* The link, or the zygote's socket, has room again. */
void exec_resume_all(agent *a);
void exec_retry_creates(agent *a);

/* Frees all of them; nothing is told. */
void exec_free_all(agent *a);

#endif
