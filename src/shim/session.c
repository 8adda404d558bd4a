/* SPDX-License-Identifier: Apache-2.0
 *
 * session.c - one exec as the shim sees it: between its client and the agent
 *
 * Theory of operation
 *   Output: both links use the same window, so while a client is attached the agent's data is passed on at once and the client's credit
 *   is passed back; the shim holds nothing. Without a client the shim is the reader: it grants what it drops (or, for the main command,
 *   has logged). inflow.granted is what the agent may still send, in both cases.
 *   Input: a client may come and go, the agent's window stays. So what a client sends waits here, at most a window of it, until the agent
 *   has credit and its link has room; the client gets its credit back as it goes on.
 */
#include "shim/session.h"

#include "base/error.h"
#include "shim/client.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct session_stream {
    wire_inflow inflow; /* from the agent */
    bool ended;
} session_stream;

struct session {
    shim *shim;
    session *next;
    client *owner; /* NULL: nobody is attached */
    uint32_t id;
    bool spawned;
    bool tty;
    bool takes_stdin;
    bool stdin_ended; /* the client closed it; END goes out behind the queue */
    bool stdin_end_sent;
    bool detached;              /* its client took leave: neither a hang-up nor an end of stdin */
    session_stream out[2];      /* stdout, stderr */
    wire_inflow stdin_inflow;   /* from the client */
    wire_outflow stdin_outflow; /* to the agent */
    buf stdin_queue;
};

static session *find(shim *s, uint32_t id) {
    for (session *x = s->sessions; x; x = x->next) {
        if (x->id == id)
            return x;
    }
    return NULL;
}

uint32_t session_exec_id(const session *x) {
    return x->id;
}

static void session_free(session *x) {
    shim *s = x->shim;
    for (session **at = &s->sessions; *at; at = &(*at)->next) {
        if (*at == x) {
            *at = x->next;
            s->session_count--;
            break;
        }
    }
    if (x->owner)
        client_set_session(x->owner, NULL);
    buf_done(&x->stdin_queue);
    free(x);
}

static session_stream *stream_of(session *x, uint32_t channel) {
    switch (wire_channel_stream(channel)) {
    case WIRE_STREAM_STDOUT:
        return &x->out[0];
    case WIRE_STREAM_STDERR:
        return &x->out[1];
    default:
        return NULL;
    }
}

/* ------------------------------------------------------------------------------------------------------ the beginning */

int session_begin(shim *s, client *owner, const msg_spawn *spawn, nb_error *err) {
    if (s->next_exec_id > WIRE_EXEC_ID_MAX)
        return nb_fail_hint(err, nb_fail(err, NB_E_EXHAUSTED, 0, "start another exec: this run of the box has had %u", WIRE_EXEC_ID_MAX),
                            "restart the box");
    if (s->session_count >= SESSIONS_MAX)
        return nb_fail(err, NB_E_EXHAUSTED, 0, "start another exec: %u are running in this box, which is the limit", SESSIONS_MAX);
    session *x = calloc(1, sizeof(*x));
    if (!x)
        return nb_fail_oom(err);
    msg_spawn order = *spawn;
    if (order.exec_id != WIRE_MAIN_EXEC_ID)
        order.exec_id = s->next_exec_id++;
    x->shim = s;
    x->id = order.exec_id;
    x->tty = order.spawn_flags & WIRE_SPAWN_TTY;
    x->takes_stdin = order.spawn_flags & WIRE_SPAWN_STDIN;
    for (size_t i = 0; i < 2; i++)
        wire_inflow_init(&x->out[i].inflow);
    wire_inflow_init(&x->stdin_inflow);
    wire_outflow_init(&x->stdin_outflow);
    buf_init(&x->stdin_queue, WIRE_WINDOW_BYTES);
    x->next = s->sessions;
    s->sessions = x;
    s->session_count++;
    if (owner) {
        x->owner = owner;
        client_set_session(owner, x);
    }
    link_send(&s->agent, wire_encode_spawn, &order);
    return 0;
}

int session_attach(shim *s, client *owner, uint32_t exec_id, nb_error *err) {
    session *x = find(s, exec_id);
    if (!x || !x->spawned)
        return nb_fail(err, NB_E_NOT_FOUND, 0, "attach to exec %u: there is none such running", exec_id);
    if (x->owner)
        return nb_fail(err, NB_E_INVALID_STATE, 0, "attach to exec %u: somebody is attached to it", exec_id);
    x->owner = owner;
    client_set_session(owner, x);
    /* What was dropped or logged and not yet granted again; from here on the client grants. */
    for (unsigned i = 0; i < 2; i++) {
        uint32_t credit = x->out[i].inflow.consumed;
        x->out[i].inflow.granted += credit;
        x->out[i].inflow.consumed = 0;
        if (credit > 0)
            link_credit(&s->agent, wire_channel(x->id, i == 0 ? WIRE_STREAM_STDOUT : WIRE_STREAM_STDERR), credit);
    }
    wire_inflow_init(&x->stdin_inflow);
    buf_clear(&x->stdin_queue);
    link_send(client_link(owner), wire_encode_attached, (&(msg_attached){.exec_id = exec_id}));
    return 0;
}

int session_spawned(shim *s, const msg_spawned *message) {
    session *x = find(s, message->exec_id);
    if (!x || x->spawned)
        return -NB_E_PROTOCOL;
    x->spawned = true;
    if (x->owner)
        link_send(client_link(x->owner), wire_encode_spawned, message);
    if (x->id == WIRE_MAIN_EXEC_ID)
        shim_main_spawned(s);
    return 0;
}

int session_spawn_failed(shim *s, const msg_spawn_failed *message) {
    session *x = find(s, message->exec_id);
    if (!x || x->spawned)
        return -NB_E_PROTOCOL;
    if (x->id == WIRE_MAIN_EXEC_ID) {
        session_free(x);
        shim_main_failed(s, message);
        return 0;
    }
    if (x->owner)
        link_send(client_link(x->owner), wire_encode_spawn_failed, message);
    session_free(x);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------- output */

/* Bytes that nobody but us takes. */
static void take_ourselves(session *x, uint32_t channel, session_stream *stream, size_t length) {
    uint32_t credit = wire_inflow_consumed(&stream->inflow, length);
    if (credit > 0)
        link_credit(&x->shim->agent, channel, credit);
}

int session_output(shim *s, uint32_t channel, const uint8_t *bytes, size_t length) {
    session *x = find(s, wire_channel_exec(channel));
    session_stream *stream = x ? stream_of(x, channel) : NULL;
    if (!stream || !x->spawned || stream->ended || !wire_inflow_received(&stream->inflow, length))
        return -NB_E_PROTOCOL;
    if (x->id == WIRE_MAIN_EXEC_ID && main_log_write(&s->main_log, stream == &x->out[0] ? 1 : 2, bytes, length) < 0)
        log_warning(&s->log, "log: the main command's output cannot be kept any more, going on without: %m");
    stream->ended = length == 0;
    if (!x->owner)
        take_ourselves(x, channel, stream, length);
    else if (length > 0)
        link_data(client_link(x->owner), channel, bytes, length);
    else
        link_end_of_stream(client_link(x->owner), channel);
    return 0;
}

int session_client_credit(client *owner, uint32_t channel, uint32_t credit) {
    session *x = client_session(owner);
    session_stream *stream = x && x->id == wire_channel_exec(channel) ? stream_of(x, channel) : NULL;
    if (!stream)
        return x ? -NB_E_PROTOCOL : 0; /* 0: its exec has just ended */
    if (credit > WIRE_WINDOW_BYTES - stream->inflow.granted)
        return -NB_E_PROTOCOL;
    stream->inflow.granted += credit;
    if (!stream->ended)
        link_credit(&x->shim->agent, channel, credit);
    return 0;
}

/* -------------------------------------------------------------------------------------------------------------- input */

static void flush_stdin(session *x) {
    shim *s = x->shim;
    uint32_t channel = wire_channel(x->id, WIRE_STREAM_STDIN);
    while (buf_length(&x->stdin_queue) > 0 && x->stdin_outflow.credit > 0 && link_has_room(&s->agent)) {
        size_t piece = buf_length(&x->stdin_queue);
        if (piece > x->stdin_outflow.credit)
            piece = x->stdin_outflow.credit;
        if (piece > WIRE_DATA_MAX_BYTES)
            piece = WIRE_DATA_MAX_BYTES;
        link_data(&s->agent, channel, buf_bytes(&x->stdin_queue), piece);
        buf_consume(&x->stdin_queue, piece);
        x->stdin_outflow.credit -= (uint32_t) piece;
        uint32_t credit = x->owner ? wire_inflow_consumed(&x->stdin_inflow, piece) : 0;
        if (credit > 0)
            link_credit(client_link(x->owner), channel, credit);
    }
    if (x->stdin_ended && !x->stdin_end_sent && buf_length(&x->stdin_queue) == 0) {
        x->stdin_end_sent = true;
        link_end_of_stream(&s->agent, channel);
    }
}

int session_input(client *owner, uint32_t channel, const uint8_t *bytes, size_t length) {
    session *x = client_session(owner);
    if (!x)
        return 0; /* its exec has just ended */
    if (!x->takes_stdin || x->stdin_ended || channel != wire_channel(x->id, WIRE_STREAM_STDIN) ||
        !wire_inflow_received(&x->stdin_inflow, length))
        return -NB_E_PROTOCOL;
    if (length == 0)
        x->stdin_ended = true;
    else if (!buf_append(&x->stdin_queue, bytes, length))
        return -NB_E_PROTOCOL; /* the window is the queue's maximum: only memory can be out */
    flush_stdin(x);
    return 0;
}

int session_agent_credit(shim *s, uint32_t channel, uint32_t credit) {
    session *x = find(s, wire_channel_exec(channel));
    if (wire_channel_stream(channel) != WIRE_STREAM_STDIN)
        return -NB_E_PROTOCOL;
    if (!x)
        return 0;
    if (!wire_outflow_granted(&x->stdin_outflow, credit))
        return -NB_E_PROTOCOL;
    flush_stdin(x);
    return 0;
}

void session_agent_has_room(shim *s) {
    for (session *x = s->sessions; x; x = x->next)
        flush_stdin(x);
}

int session_signal(client *owner, const msg_signal *message) {
    session *x = client_session(owner);
    if (!x)
        return 0; /* its exec has just ended */
    if (x->id != message->exec_id || message->signal > WIRE_SIGNAL_MAX || (message->signal == 0 && !message->whole_tree))
        return -NB_E_PROTOCOL;
    link_send(&x->shim->agent, wire_encode_signal, message);
    return 0;
}

int session_resize(client *owner, const msg_resize *message) {
    session *x = client_session(owner);
    if (!x)
        return 0;
    if (x->id != message->exec_id || !x->tty || message->columns > WIRE_COLUMNS_MAX || message->rows > WIRE_ROWS_MAX)
        return -NB_E_PROTOCOL;
    link_send(&x->shim->agent, wire_encode_resize, message);
    return 0;
}

void session_detach(client *owner) {
    session *x = client_session(owner);
    if (x)
        x->detached = true;
}

/* ------------------------------------------------------------------------------------------------------------ the end */

int session_exited(shim *s, const msg_exited *message) {
    session *x = find(s, message->exec_id);
    if (!x || !x->spawned || message->code < 0 || message->code > 255 || message->signal > 127)
        return -NB_E_PROTOCOL;
    msg_exited exited = *message;
    exited.exit_flags &= WIRE_EXIT_OOM | WIRE_EXIT_TIMED_OUT; /* that the box was stopped is ours to say */
    if (x->id == WIRE_MAIN_EXEC_ID) {
        shim_main_ended(s, &exited); /* its client is told when the box has stopped */
        return 0;
    }
    if (x->owner)
        link_send(client_link(x->owner), wire_encode_exited, &exited);
    session_free(x);
    return 0;
}

void session_abandon(session *x) {
    x->owner = NULL;
    for (unsigned i = 0; i < 2; i++) {
        uint32_t held = WIRE_WINDOW_BYTES - x->out[i].inflow.granted - x->out[i].inflow.consumed;
        if (held > 0)
            take_ourselves(x, wire_channel(x->id, i == 0 ? WIRE_STREAM_STDOUT : WIRE_STREAM_STDERR), &x->out[i], held);
    }
    /* A main command may be attached to again, and keeps its stdin and terminal. An exec has lost its only user. */
    if (x->id == WIRE_MAIN_EXEC_ID || x->detached)
        return;
    if (x->takes_stdin && !x->stdin_ended) {
        x->stdin_ended = true;
        flush_stdin(x);
    }
    if (x->tty && x->spawned)
        link_send(&x->shim->agent, wire_encode_signal, (&(msg_signal){.exec_id = x->id, .signal = SIGHUP}));
}

void session_end_all(shim *s, const msg_exited *main_exited, int code, const char *message) {
    while (s->sessions) {
        session *x = s->sessions;
        client *owner = x->owner;
        bool is_main = x->id == WIRE_MAIN_EXEC_ID;
        uint32_t id = x->id;
        session_free(x);
        if (!owner || client_was_failed(owner))
            continue;
        if (is_main && main_exited) {
            link_send(client_link(owner), wire_encode_exited, main_exited);
        } else if (code == NB_E_STOPPED) {
            link_send(client_link(owner), wire_encode_exited, (&(msg_exited){.exec_id = id, .exit_flags = WIRE_EXIT_STOPPED}));
        } else {
            nb_error why;
            (void) nb_fail(&why, code, 0, "%s", message);
            client_fail(owner, &why);
        }
    }
}
