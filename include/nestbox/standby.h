/* SPDX-License-Identifier: Apache-2.0
 *
 * standby.h - machines that wait to be taken, for boxes that are to start at once
 *
 * A pool keeps machines of one image waiting, each with a container and nobody's name. A box whose start asks for one (nb_start_options,
 * standby) takes it, in whatever program of the user's that has the same home; where none waits it starts as ever. Whoever has taken one has it
 * for good: a pool's end concerns those alone that still wait. What one costs while it waits is in docs/templates.md.
 */
#ifndef NESTBOX_STANDBY_H
#define NESTBOX_STANDBY_H

#include <nestbox/template.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NB_STANDBY_MAX 64u

typedef struct nb_standby nb_standby;

typedef struct nb_standby_options {
    size_t size;
    uint32_t count;                     /* so many are to wait, at most NB_STANDBY_MAX; 0: one */
    const nb_template_options *machine; /* borrowed: what each is; its image must be given */
} nb_standby_options;
#define NB_STANDBY_OPTIONS_INIT \
    { .size = sizeof(nb_standby_options) }

/* Has machines wait from now on, in the background: one that was taken is replaced. Makes the image's template first, where it is missing, which takes
 * some seconds. A process of ours keeps them; with nb_standby_close(), or this process's end, whatever its cause, all that still wait go.
 *
 * Errors: -NB_E_INVALID (an option), those of nb_template_build(). A pool is of one thread at a time. */
NB_API int nb_standby_open(nb_runtime *runtime, const nb_standby_options *options, nb_standby **ret_standby, nb_error *err);

/* Blocks until all of them wait.
 *
 * @timeout_ms  at most so long
 * Errors: -NB_E_MACHINE (one could not start: why; it is tried again after a while), -NB_E_TIMEOUT, -NB_E_BOX_GONE (the process that keeps them was
 * killed: close it) */
NB_API int nb_standby_wait(nb_standby *standby, uint32_t timeout_ms, nb_error *err);

/* How many wait now, at most as many as were asked for. Errors: those of nb_standby_wait() without the first two. */
NB_API int nb_standby_count(nb_standby *standby, uint32_t *ret_count, nb_error *err);

/* Polls readable when there is news for nb_standby_count(): in an event loop. The pool's; -1: it is NULL. */
NB_API int nb_standby_fd(const nb_standby *standby);

/* Ends it, and returns when nothing of those that still waited is left, after ten seconds at most. NULL is fine. */
NB_API void nb_standby_close(nb_standby *standby);

#ifdef __cplusplus
}
#endif

#endif
