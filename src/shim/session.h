/* SPDX-License-Identifier: Apache-2.0
 *
 * session.h - one exec as the shim sees it: between its clients and the agent
 */
#ifndef SHIM_SESSION_H
#define SHIM_SESSION_H

#include "shim/shim.h"

/* Execs at once in one box; the agent's own limit is the same. */
#define SESSIONS_MAX 2048u

/* Begins an exec for @owner (NULL: for nobody; the main command of a box that nobody attached to).
 *
 * @spawn  its exec id is ignored and given anew, but for the main command's; with WIRE_SPAWN_DETACHED @owner only hears of its end
 * 0, or -NB_E_... with @err. */
int session_begin(shim *s, client *owner, const msg_spawn *spawn, nb_error *err);

/* The same for a look at the box's health, which is nobody's: health_looked() hears how it ends. */
int session_begin_look(shim *s, const msg_spawn *spawn, nb_error *err);

/* Whether an exec runs, or somebody has the main command's streams. */
bool session_somebody_is_here(const shim *s);

/* Connects @c to an exec, "" being the main command: to its streams, or with @watch only to its end. -NB_E_NOT_FOUND: it is over, or never
 * was; -NB_E_INVALID_STATE: somebody has its streams. */
int session_attach(shim *s, client *c, wire_bytes id, bool watch, nb_error *err);

/* Tells @c which execs run. */
void session_list(shim *s, client *c);

/* The agent's word on an exec. The same result rule as link_handlers. */
int session_spawned(shim *s, const msg_spawned *message);
int session_spawn_failed(shim *s, const msg_spawn_failed *message);
int session_exited(shim *s, const msg_exited *message);
int session_output(shim *s, uint32_t channel, const uint8_t *bytes, size_t length);
int session_agent_credit(shim *s, uint32_t channel, uint32_t credit);
void session_agent_has_room(shim *s);

/* A client's word on its exec; streams are their owner's alone. */
int session_input(client *owner, uint32_t channel, const uint8_t *bytes, size_t length);
int session_client_credit(client *owner, uint32_t channel, uint32_t credit);
int session_signal(client *c, const msg_signal *message);
int session_resize(client *c, const msg_resize *message);
/* The client is about to go, and its exec is not to notice. */
void session_detach(client *owner);

/* The client is gone: the exec goes on, what it writes is kept within bounds (the main command's is logged). */
void session_leave(client *c);

/* Asks every exec to end, the main command not among them. */
void session_terminate_all(shim *s);

/* The box is over: each client hears how, once it has taken what is left for it.
 *
 * @main_exited  the main command's status, or NULL where it has none */
void session_end_all(shim *s, const msg_exited *main_exited);

#endif
