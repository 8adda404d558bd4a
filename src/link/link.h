/* SPDX-License-Identifier: Apache-2.0
 *
 * link.h - our end of a framed connection, on an event loop
 *
 * Joins src/wire, which does no I/O, to a descriptor: reads, parses, hands out messages and stream data; queues and writes. Used by the
 * agent (its serial port) and the shim (the agent, and each client). What the other side sends is checked for form here and for direction;
 * what it means, and whether an exec or a channel exists, is the handlers' business.
 */
#ifndef LINK_LINK_H
#define LINK_LINK_H

#include "base/buf.h"
#include "loop/loop.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What the queue always holds without asking for memory. */
#define LINK_QUEUE_RESERVE_BYTES ((size_t) 64 << 10)
/* Stream data is taken from its source only while less than this is queued; control messages may always be queued. */
#define LINK_QUEUE_HIGH_BYTES ((size_t) 256 << 10)
/* A peer that reads nothing while control messages pile up to this is given up. */
#define LINK_QUEUE_MAX_BYTES ((size_t) 16 << 20)

typedef struct link_end link_end;

typedef struct link_handlers {
    /* A control message that this side may receive, decodable or not. A result other than 0 closes the link as a breach of protocol. */
    int (*on_message)(link_end *end, uint16_t id, const uint8_t *bytes, size_t length);
    /* The same result rule. @length 0: end of the stream. This and the next: NULL where nothing of the kind may come. */
    int (*on_data)(link_end *end, uint32_t channel, const uint8_t *bytes, size_t length);
    int (*on_credit)(link_end *end, uint32_t channel, uint32_t credit);
    void (*on_greeted)(link_end *end); /* the other side's HELLO has come; may be NULL */
    void (*on_room)(link_end *end);    /* the queue fell below LINK_QUEUE_HIGH_BYTES; may be NULL */
    /* The connection is over; @why is NULL when the other side closed it, in order or by dying. The last call; the handler may free the end. */
    void (*on_closed)(link_end *end, const char *why);
    /* The others may close the end with link_done(), but must leave its memory alone. */
} link_handlers;

struct link_end {
    loop *loop;
    int fd; /* owned; -1 once closed */
    loop_fd watcher;
    buf in, out;
    enum wire_direction accepts;
    const link_handlers *handlers;
    void *user;
    bool greeted; /* the other side's HELLO has come */
    bool was_full;
    loop_timer writer; /* due at the end of the turn: something is queued */
    loop_timer fault;  /* reports a failed write from the loop, never from within the call that queued it */
    const char *fault_reason;
};

/* Takes @fd over (on failure too), makes it nonblocking and queues our HELLO. 0, or -1 with errno. */
int link_init(loop *l, link_end *end, int fd, enum wire_direction accepts, const link_handlers *handlers, void *user);
/* The same for a connection that somebody else has begun, who has said our HELLO and heard the other side's: on_greeted is not called. */
int link_resume(loop *l, link_end *end, int fd, enum wire_direction accepts, const link_handlers *handlers, void *user);
/* Closes; no handler is called any more. Fine for a zeroed or done end. */
void link_done(link_end *end);

static inline bool link_is_open(const link_end *end) {
    return end->fd >= 0;
}
/* Whether stream data may be queued now; if not, on_room will tell. */
bool link_has_room(link_end *end);

/* Queues, to be written at the end of this turn of the loop, with all else that it brings forth: a port is slow for each write, not for each
 * byte. Failures end the link through on_closed, from the loop. */
void link_end_of_stream(link_end *end, uint32_t channel);
/* Queue and try to write at once. */
void link_data(link_end *end, uint32_t channel, const void *bytes, size_t length); /* any length; cut into frames */
void link_credit(link_end *end, uint32_t channel, uint32_t credit);
/* After queueing by hand: link_queue() is where to append whole frames, link_flush() starts writing them. */
static inline buf *link_queue(link_end *end) {
    return &end->out;
}
void link_flush(link_end *end, bool queued);
void link_flush_soon(link_end *end, bool queued);

/* Reads a piece of a stream straight into the queue as data frames, at most @max bytes (cut to some 256 KiB): all with one call, because
 * a writer that waits for room in its pipe is woken by each. The result of readv(2); errno as there. */
ssize_t link_data_from_fd(link_end *end, uint32_t channel, int fd, size_t max);

/* encoder(queue, message), as a control frame. A message that cannot be encoded is our own fault or lack of memory: it ends the link. */
#define link_send(end, encoder, message)                                              \
    do {                                                                              \
        link_end *link_to = (end);                                                    \
        if (link_is_open(link_to))                                                    \
            link_flush(link_to, wire_control(link_queue(link_to), encoder, message)); \
    } while (0)

/* The same, written as link_end_of_stream() is. */
#define link_send_soon(end, encoder, message)                                              \
    do {                                                                                   \
        link_end *link_to = (end);                                                         \
        if (link_is_open(link_to))                                                         \
            link_flush_soon(link_to, wire_control(link_queue(link_to), encoder, message)); \
    } while (0)

/* Tries for at most @timeout_ms to write what is queued: for last words before a process ends. */
void link_drain(link_end *end, int timeout_ms);

#endif
