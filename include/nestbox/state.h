/* SPDX-License-Identifier: Apache-2.0
 *
 * state.h - what a box is doing, and how a run of it ended
 */
#ifndef NESTBOX_STATE_H
#define NESTBOX_STATE_H

/* What may be done with a box in each state, see docs/architecture.md:
 *   CREATED   never started; start, remove
 *   STARTING  its machine boots; stop
 *   RUNNING   exec, stop
 *   STOPPING  on its way down; wait for it
 *   STOPPED   start, remove; exit status and cause say how the last run ended
 *   FAILED    it could not start, the message says why; start (tries again), remove */
#define NB_BOX_STATES(X)              \
    X(NB_BOX_CREATED, 0, "created")   \
    X(NB_BOX_STARTING, 1, "starting") \
    X(NB_BOX_RUNNING, 2, "running")   \
    X(NB_BOX_STOPPING, 3, "stopping") \
    X(NB_BOX_STOPPED, 4, "stopped")   \
    X(NB_BOX_FAILED, 5, "failed")

typedef enum nb_box_state {
#define NB_BOX_STATE_ENUM(name, number, text) name = number,
    NB_BOX_STATES(NB_BOX_STATE_ENUM)
#undef NB_BOX_STATE_ENUM
} nb_box_state;

/* How a run ended. Numbers are stable. */
typedef enum nb_end_cause {
    NB_END_NONE = 0,  /* it has not */
    NB_END_EXIT = 1,  /* the main command ended by itself */
    NB_END_STOP = 2,  /* somebody stopped it */
    NB_END_CRASH = 3, /* the machine or its shim died */
    NB_END_OWNER = 4, /* the program that started it ended, and it was not detached */
} nb_end_cause;

#endif
