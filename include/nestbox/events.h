/* SPDX-License-Identifier: Apache-2.0
 *
 * events.h - what happens in a home, as it happens or afterwards
 *
 * Every program that works with a home, and the supervisor of every box, adds to the home's log of events; whoever opens the home can read it
 * and wait for more. The log keeps the last forty thousand events at the least. It is written without waiting for the disk: a power cut may
 * take its end, and a full disk what it has no room for.
 *
 * Of a box (kind "box"), in the order of its life:
 *
 *   create     nb_box_create()
 *   starting   its machine is about to boot
 *   fail       it could not start: message
 *   start      it runs
 *   exec       a process was begun in it: exec_id, command (its first words)
 *   exec_die   one has ended: exec_id, exit_code, and signal, timed_out=true where it was so
 *   oom        the box's memory was out, and the guest's kernel has killed: exec_id, where it was an exec and not the main command
 *   kill       a signal was sent to the main command: signal
 *   mount, unmount   of a running or stopped box: target
 *   rename     name; the event has the new name already
 *   template-refused  the machine could not go on from its template, and boots: message
 *   stopping   it is on its way down: cause, as of nb_end_cause_name()
 *   die        the main command has ended: exit_code, and signal, timed_out=true where it was so
 *   stop       it has stopped, and nothing of it runs: cause, and message where it was no orderly end
 *   remove     nb_box_remove(), or by itself
 *
 * Of an image (kind "image"): pull, import, load, commit, tag, untag, remove; of a named volume (kind "volume"): create, remove.
 */
#ifndef NESTBOX_EVENTS_H
#define NESTBOX_EVENTS_H

#include <nestbox/nestbox.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nb_events nb_events;

typedef struct nb_events_options {
    size_t size;
    bool replay;       /* begin with what the log holds; otherwise with what happens after nb_events_open() has returned */
    uint64_t since_ms; /* of a replay: wall clock; earlier events are left out. 0: all */
    uint64_t until_ms; /* wall clock; later ones are left out, and the stream ends then. 0: none */
    bool follow;       /* wait for more at the end of the log; otherwise that is the end of the stream */
} nb_events_options;
#define NB_EVENTS_OPTIONS_INIT \
    { .size = sizeof(nb_events_options) }

typedef struct nb_runtime_event {
    uint64_t at_ms;        /* wall clock */
    const char *kind;      /* "box", "image", "volume" */
    const char *action;    /* "start"; the list above may grow */
    const char *id;        /* the box's or the image's; a volume's name */
    const char *name;      /* the box's at that time, the image's; "" where it has none, or is not known any more */
    const char *image;     /* what the box was made from, as it was named then; "" where that is not known any more */
    nb_strings labels;     /* the box's */
    nb_strings attributes; /* "KEY=VALUE", as listed above */
} nb_runtime_event;

/* Opens a stream of events. The home's boxes are not disturbed by it, nor is anybody who reads too.
 *
 * @options  may be NULL: what happens from now on, without waiting for it
 * Errors: -NB_E_INVALID, -NB_E_STORAGE, -NB_E_NO_MEMORY. Free it with nb_events_free(), before the runtime. */
NB_API int nb_events_open(nb_runtime *runtime, const nb_events_options *options, nb_events **ret_events, nb_error *err);
NB_API void nb_events_free(nb_events *events);

/* The next event. One thread at a time may call this for one stream.
 *
 * @timeout_ms  how long to wait for one, where the stream follows
 * @ret_event   valid until the next call for this stream; NULL: none came in time, or none will come any more
 * Errors: -NB_E_STORAGE (the log cannot be read), -NB_E_NO_MEMORY. */
NB_API int nb_events_next(nb_events *events, int64_t timeout_ms, const nb_runtime_event **ret_event, nb_error *err);

/* A descriptor for event loops, owned by the stream: call nb_events_next() with timeout 0 until it gives NULL, first of all and whenever it polls
 * readable. */
NB_API int nb_events_fd(nb_events *events);

#ifdef __cplusplus
}
#endif

#endif
