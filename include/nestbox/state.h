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
#define NB_END_CAUSES(X)                                                                               \
    X(NB_END_NONE, 0, "none")         /* it has not */                                                 \
    X(NB_END_EXIT, 1, "exit")         /* the main command ended by itself */                           \
    X(NB_END_STOP, 2, "stop")         /* somebody stopped it */                                        \
    X(NB_END_CRASH, 3, "crash")       /* the machine or its shim died */                               \
    X(NB_END_OWNER, 4, "owner")       /* the program that started it ended, and it was not detached */ \
    X(NB_END_IDLE, 5, "idle")         /* nobody had used it for its auto_stop_ms */                    \
    X(NB_END_LIFETIME, 6, "lifetime") /* it had run for its max_lifetime_ms */

typedef enum nb_end_cause {
#define NB_END_CAUSE_ENUM(name, number, text) name = number,
    NB_END_CAUSES(NB_END_CAUSE_ENUM)
#undef NB_END_CAUSE_ENUM
} nb_end_cause;

/* When a box is started again by its supervisor. Numbers are stable. */
#define NB_RESTART_POLICIES(X)                                                                                      \
    X(NB_RESTART_NO, 0, "no")                                                                                       \
    X(NB_RESTART_ON_FAILURE, 1, "on-failure")         /* the main command's status was not 0, or the box crashed */ \
    X(NB_RESTART_ALWAYS, 2, "always")                 /* whenever it was not stopped */                             \
    X(NB_RESTART_UNLESS_STOPPED, 3, "unless-stopped") /* the same; after a start of the host only if it ran then (docs/lifecycle.md) */

typedef enum nb_restart_policy {
#define NB_RESTART_ENUM(name, number, text) name = number,
    NB_RESTART_POLICIES(NB_RESTART_ENUM)
#undef NB_RESTART_ENUM
} nb_restart_policy;

#define NB_HEALTHS(X)                                                                                     \
    X(NB_HEALTH_NONE, 0, "none")           /* the box has no health check, or has never run */            \
    X(NB_HEALTH_STARTING, 1, "starting")   /* no check has succeeded yet, and not too many have failed */ \
    X(NB_HEALTH_HEALTHY, 2, "healthy")     /* the last check succeeded, or not too many failed since */   \
    X(NB_HEALTH_UNHEALTHY, 3, "unhealthy") /* as many in a row have failed as are allowed to, or more */

typedef enum nb_health {
#define NB_HEALTH_ENUM(name, number, text) name = number,
    NB_HEALTHS(NB_HEALTH_ENUM)
#undef NB_HEALTH_ENUM
} nb_health;

#endif
