/* SPDX-License-Identifier: Apache-2.0
 *
 * session.h - one exec as the shim sees it: between its client and the agent
 */
#ifndef SHIM_SESSION_H
#define SHIM_SESSION_H

#include "shim/shim.h"

/* Execs at once in one box; the agent's own limit is the same. */
#define SESSIONS_MAX 2048u

/* Begins an exec for @owner (NULL: for nobody; the main command of a box that nobody attached to).
 *
 * @spawn  its exec id is ignored and given anew, but for the main command's
 * 0, or -NB_E_... with @err. */
int session_begin(shim *s, client *owner, const msg_spawn *spawn, nb_error *err);

/* Connects @owner to an exec that has nobody. -NB_E_NOT_FOUND, -NB_E_INVALID_STATE when somebody is there. */
int session_attach(shim *s, client *owner, uint32_t exec_id, nb_error *err);

/* The agent's word on an exec. The same result rule as link_handlers. */
int session_spawned(shim *s, const msg_spawned *message);
int session_spawn_failed(shim *s, const msg_spawn_failed *message);
int session_exited(shim *s, const msg_exited *message);
int session_output(shim *s, uint32_t channel, const uint8_t *bytes, size_t length);
int session_agent_credit(shim *s, uint32_t channel, uint32_t credit);
void session_agent_has_room(shim *s);

/* The client's word on its own exec; what is not its own is refused. */
int session_input(client *owner, uint32_t channel, const uint8_t *bytes, size_t length);
int session_client_credit(client *owner, uint32_t channel, uint32_t credit);
int session_signal(client *owner, const msg_signal *message);
int session_resize(client *owner, const msg_resize *message);
/* The client is about to go, and its exec is not to notice. */
void session_detach(client *owner);

/* The client is gone: the exec goes on, its output is dropped (the main command's is logged). */
void session_abandon(session *x);

/* The box is over: each client hears how. @exited: the main command's status, or NULL where it has none. */
void session_end_all(shim *s, const msg_exited *main_exited, int code, const char *message);

uint32_t session_exec_id(const session *x);

#endif
