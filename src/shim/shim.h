/* SPDX-License-Identifier: Apache-2.0
 *
 * shim.h - one box's supervisor: what its parts share
 */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#include "base/log.h"
#include "link/link.h"
#include "loop/loop.h"
#include "machine/confine.h"
#include "machine/machine.h"
#include "shim/piece-log.h"
#include "shim/record.h"

#include <nestbox/state.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct broker broker;
typedef struct client client;
typedef struct session session;
typedef struct standby standby;
typedef struct volume volume;

/* LAUNCHING  QEMU starts; valid: machine. leaves by: on_running -> BOOTING
 * BOOTING    the guest's kernel and agent start. leaves by: the agent's HELLO -> BUILDING
 * BUILDING   SETUP was sent. leaves by: SETUP_DONE -> MOUNTING
 * MOUNTING   volumes and the like are mounted, where there are any. leaves by: the last of them -> BEGINNING, or RUNNING without a main command
 * BEGINNING  the main command was sent. leaves by: SPAWNED -> RUNNING
 * RUNNING    execs are taken
 * ENDING     main command and execs were asked to end, or killed. leaves by: the main command's EXITED, the last exec's where there is no
 *            main command, time -> CLOSING
 * CLOSING    SHUTDOWN was sent. leaves by: GOODBYE, time -> HALTING
 * HALTING    the machine was asked to end, or killed. leaves by: on_ended -> OVER, or WAITING, or LAUNCHING after a template that led nowhere
 * WAITING    the machine is gone, and the box is to be started again. leaves by: time -> LAUNCHING; a stop -> OVER
 * OVER       the machine is gone, the record says how; the loop ends
 * From all but the last two the machine's end leads to OVER or WAITING, and a failure to HALTING. */
typedef enum shim_state {
    SHIM_LAUNCHING,
    SHIM_BOOTING,
    SHIM_BUILDING,
    SHIM_MOUNTING,
    SHIM_BEGINNING,
    SHIM_RUNNING,
    SHIM_ENDING,
    SHIM_CLOSING,
    SHIM_HALTING,
    SHIM_WAITING,
    SHIM_OVER,
    SHIM_STATE_COUNT
} shim_state;

/* The LAUNCH message with memory of its own. */
typedef struct shim_orders {
    uint8_t *bytes;
    msg_launch launch; /* points into bytes */
} shim_orders;

/* The box's time, care.c. */
typedef struct shim_care {
    loop_timer idle_timer, lifetime_timer; /* RUNNING */
    uint64_t active_at_ms;                 /* monotonic: when somebody last used the box */
    uint64_t running_since_ms;             /* monotonic; 0: it does not */
    uint32_t restart_delay_ms;             /* before the next restart */
} shim_care;

/* The box's health, health.c. What is told of it is in the record. */
typedef struct shim_health {
    loop_timer timer;     /* until the next look */
    bool looking;         /* its command runs */
    uint64_t began_at_ms; /* wall clock: the look */
    piece_log log;
} shim_health;

/* What the host holds the machine to, limits.c. The record points into the last two. */
typedef struct shim_limits {
    confinement confinement;
    buf groups;
    char missing[HOST_CGROUP_WHY_SIZE];
} shim_limits;

typedef struct shim {
    loop *loop;
    log_sink log;
    int folder; /* the box's */
    int home;   /* for its log of events; -1: not to be had */
    shim_state state;
    shim_orders orders;
    record record;
    machine *machine; /* NULL before the start and after its end */
    standby *standby; /* the machine has waited for a box, and still has its files in a folder of its own; NULL: no */
    broker *broker;   /* opens its files; NULL: it opens them itself */
    link_end agent;
    bool restored;          /* the machine goes on from a template */
    bool restored_image;    /* from one with the image's disk and container */
    bool restore_worked;    /* its agent has answered: from here on it is a machine like any other */
    bool template_refused;  /* it could not: it boots instead */
    bool agent_gone;        /* it closed its end; the machine's end is expected */
    loop_timer step_timer;  /* the bound of the state we are in */
    loop_timer kill_timer;  /* ENDING: the grace */
    loop_timer limit_timer; /* RUNNING: the main command's timeout, if the guest does not see to it */
    shim_care care;
    shim_health health;
    shim_limits limits;
    int console; /* console.log, as long as there is a machine */
    uint64_t step_began_us;
    int lock;             /* the box's lock, held for as long as there may be a machine */
    bool stop_wanted;     /* by somebody, or its time is over: it is not started again, however it ends */
    bool has_main;        /* a main command runs */
    msg_exited main_exit; /* valid once the record has an exit */
    int failure;          /* NB_E_... of what the box could not survive, else 0 */
    char failure_message[NB_ERROR_MESSAGE_SIZE];
    piece_log main_log, exec_log;
    client *clients;
    size_t client_count;
    client *launcher; /* who waits for LAUNCHED; NULL once answered or gone */
    session *sessions;
    size_t session_count;     /* of those that have not ended */
    size_t kept_output_bytes; /* of execs that nobody is attached to */
    msg_counted counted;      /* what stats.c adds to */
    bool measuring;           /* the agent was asked */
    volume *volumes;
    buf mounts; /* as the order to launch has them, with what clients have mounted since and without what they have unmounted */
    uint32_t next_exec_id;
    loop_fd server_watcher;
    loop_timer server_timer; /* descriptors were out: when box.sock is looked at again */
    loop_fd owner_watcher;
} shim;

/* A shim without a box. */
void shim_init(shim *s, loop *l);
/* Takes the lock of the box in @folder, which is the shim's then, and begins its log. 0, or -NB_E_INVALID_STATE with @err: another shim has it. */
int shim_enter(shim *s, int folder, nb_error *err);
/* Has its log be a new file in the folder that it is in. */
void shim_log_to_folder(shim *s);
void shim_done(shim *s);

/* Begins the start that @launch asks for. 0, or -NB_E_... with @err: nothing was started. */
int shim_launch(shim *s, client *launcher, const uint8_t *bytes, size_t length, nb_error *err);

/* Stops the box in order; what is already on its way goes on.
 *
 * @grace_ms  between the stop signal and the kill */
void shim_stop(shim *s, uint8_t cause, uint32_t grace_ms);

/* Writes what the record says anew; not durably. */
void shim_write_record(shim *s);

/* Everything is mounted that was to be. */
void shim_mounted(shim *s);

/* The main command has ended; its session calls this once its output has been passed on. */
void shim_main_ended(shim *s, const msg_exited *exited);
/* The main command runs, or could not. */
void shim_main_spawned(shim *s);
void shim_main_failed(shim *s, const msg_spawn_failed *failed);

/* An exec has ended, or could not begin, and its clients were told. */
void shim_session_ended(shim *s);

/* Ends everything now: something went wrong that the box cannot survive. */
void shim_fail(shim *s, int code, const char *message);

static inline bool shim_takes_execs(const shim *s) {
    return s->state == SHIM_RUNNING;
}

#endif
