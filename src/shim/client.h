/* SPDX-License-Identifier: Apache-2.0
 *
 * client.h - box.sock, and who has connected to it
 */
#ifndef SHIM_CLIENT_H
#define SHIM_CLIENT_H

#include "shim/shim.h"

/* Connections at once: two for each exec that may run, and some. */
#define CLIENTS_MAX 5000u

/* Listens on box.sock in the box's folder; only the owning user's processes (and root's) are let in. 0, or -1 with errno. */
int client_listen(shim *s);
void client_listen_done(shim *s);

/* Whether a connection comes from a process of the owning user's, or root's. */
bool client_may_come_in(int fd);

/* Takes a connection over. NULL: out of memory or descriptors. */
client *client_new(shim *s, int fd);

link_end *client_link(client *c);
/* The exec that it has the streams of, or watches. */
session *client_session(const client *c);
void client_set_session(client *c, session *x);
/* Where the list of those who watch the same exec goes on. */
client **client_next_watcher(client *c);

/* Answers a request that came to nothing. */
void client_fail(client *c, const nb_error *why);
bool client_was_failed(const client *c);

/* Those who wait for the box's figures: one more; and the answer for all of them. */
void client_await_stats(client *c);
void client_tell_stats(shim *s, const msg_counted *counted);
/* The box has stopped. */
void client_fail_stats(shim *s);

/* Closes each connection that has all that is its own. How many are still there: a slow reader gets all that is his. */
size_t client_end_flushed(shim *s);

#endif
