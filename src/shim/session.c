/* SPDX-License-Identifier: Apache-2.0
 *
 * session.c - one exec as the shim sees it: between its clients and the agent
 *
 * Theory of operation
 *   An exec has at most one owner, who has its streams, and any number of watchers, who only hear of its end. When the agent tells the end,
 *   it is first written to the box's log of execs, where whoever asks later finds it, after the box's stop too; then the watchers
 *   hear it, and the owner as soon as it has taken the last byte of both streams. What an exec without an owner has written is kept
 *   for one who comes later (outlet.c), after its end too, for the last ENDED_KEPT of them.
 *   Input: a client may come and go, the agent's window stays. So what a client sends waits here until the agent has credit and
 *   its link has room; the client gets its credit back as it goes on.
 */
#include "shim/session.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "base/process.h"
#include "shim/care.h"
#include "shim/client.h"
#include "shim/event.h"
#include "shim/health.h"
#include "shim/outlet.h"
#include "shim/volume.h"
#include "wire/failure.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Execs that have ended and whose output nobody has fetched yet. */
#define ENDED_KEPT 64u
/* What the link to the agent keeps free for small messages: an order that would take it waits for a better moment, and the box goes on. */
#define AGENT_QUEUE_SPARE_BYTES ((size_t) 1 << 20)

/* BEGINNING  the agent was asked. leaves by: SPAWNED -> RUNNING, SPAWN_FAILED -> gone
 * RUNNING    leaves by: EXITED, the box's end -> ENDED
 * ENDED      exited says how, and is on record; it stays while its owner takes the last bytes, or for one who comes for them */
typedef enum session_state { SESSION_BEGINNING, SESSION_RUNNING, SESSION_ENDED } session_state;

struct session {
    shim *shim;
    session *next;
    session_state state;
    client *owner;    /* who has its streams; NULL: nobody */
    client *watchers; /* who hear of its end */
    uint32_t exec_id;
    uint32_t pid;
    char id[ID_SIZE];
    uint8_t spawn_flags;
    char argv[WIRE_SHOWN_ARGV_MAX_BYTES];
    size_t argv_bytes;
    uint64_t started_at_ms;
    bool stdin_ended; /* the client closed it; END goes out behind the queue */
    bool stdin_end_sent;
    bool detached;              /* its owner took leave: neither a hang-up nor an end of stdin */
    bool is_look;               /* at the box's health */
    outlet out[2];              /* stdout, stderr */
    wire_inflow stdin_inflow;   /* from the owner */
    wire_outflow stdin_outflow; /* to the agent */
    buf stdin_queue;
    size_t stdin_foreign; /* bytes at its head that an owner before this one sent */
    msg_exited exited;    /* ENDED */
};

static session *find(shim *s, uint32_t exec_id) {
    for (session *x = s->sessions; x; x = x->next) {
        if (x->exec_id == exec_id)
            return x->state == SESSION_ENDED ? NULL : x;
    }
    return NULL;
}

static bool is_main(const session *x) {
    return x->exec_id == WIRE_MAIN_EXEC_ID;
}

static bool is_mounter(const session *x) {
    return x->spawn_flags & WIRE_SPAWN_MOUNT;
}

/* The shim's own: nobody outside knows of it. */
static bool is_own(const session *x) {
    return is_mounter(x) || x->is_look;
}

/* Whether the home's log of events has it: what a user has asked for as a command. */
static bool is_told(const session *x) {
    return !is_main(x) && !is_own(x) && !(x->spawn_flags & (WIRE_SPAWN_COPY | WIRE_SPAWN_PROCESSES));
}

static uint32_t channel_of(const session *x, size_t stream) {
    return wire_channel(x->exec_id, stream == 0 ? WIRE_STREAM_STDOUT : WIRE_STREAM_STDERR);
}

static void grant_agent(session *x, uint32_t channel, uint32_t credit) {
    if (credit > 0 && x->state != SESSION_ENDED)
        link_credit(&x->shim->agent, channel, credit);
}

static void start_watching(session *x, client *c) {
    *client_next_watcher(c) = x->watchers;
    x->watchers = c;
    client_set_session(c, x);
}

/* Takes the watcher at this place of the list out of it. */
static void stop_watching(client **place) {
    client *c = *place;
    *place = *client_next_watcher(c);
    client_set_session(c, NULL);
}

static void session_free(session *x) {
    shim *s = x->shim;
    for (session **at = &s->sessions; *at; at = &(*at)->next) {
        if (*at == x) {
            *at = x->next;
            break;
        }
    }
    if (x->state != SESSION_ENDED)
        s->session_count--;
    if (x->owner)
        client_set_session(x->owner, NULL);
    while (x->watchers)
        stop_watching(&x->watchers);
    for (size_t i = 0; i < 2; i++) {
        if (!x->owner)
            s->kept_output_bytes -= buf_length(&x->out[i].queue);
        outlet_done(&x->out[i]);
    }
    buf_done(&x->stdin_queue);
    free(x);
}

/* ------------------------------------------------------------------------------------------------------ the beginning */

/* As many of the arguments as are shown in lists, each whole. */
static void keep_argv(session *x, strv argv) {
    for (const char *word = NULL; (word = strv_next(argv, word));) {
        size_t bytes = strlen(word) + 1;
        if (x->argv_bytes + bytes > sizeof(x->argv))
            return;
        memcpy(x->argv + x->argv_bytes, word, bytes);
        x->argv_bytes += bytes;
    }
}

static session *session_new(shim *s, const msg_spawn *spawn, nb_error *err) {
    session *x = calloc(1, sizeof(*x));
    if (!x || id_generate(x->id) < 0) {
        free(x);
        (void) nb_fail_oom(err);
        return NULL;
    }
    x->shim = s;
    x->exec_id = spawn->exec_id == WIRE_MAIN_EXEC_ID ? WIRE_MAIN_EXEC_ID : s->next_exec_id++;
    x->spawn_flags = spawn->spawn_flags;
    x->detached = spawn->spawn_flags & WIRE_SPAWN_DETACHED;
    keep_argv(x, spawn->argv);
    for (size_t i = 0; i < 2; i++)
        outlet_init(&x->out[i]);
    wire_inflow_init(&x->stdin_inflow);
    wire_outflow_init(&x->stdin_outflow);
    buf_init(&x->stdin_queue, (size_t) 2 * WIRE_WINDOW_BYTES);
    x->next = s->sessions;
    s->sessions = x;
    s->session_count++;
    return x;
}

/* Whether the agent's link has a place for the order: the guest may take it as slowly as it likes, and others have sent theirs. */
static bool agent_has_place_for(shim *s, const msg_spawn *spawn) {
    size_t large = spawn->argv.bytes + spawn->env.bytes + spawn->cwd.length + spawn->user.length + spawn->limits.length;
    return buf_room(link_queue(&s->agent)) >= large + AGENT_QUEUE_SPARE_BYTES;
}

int session_begin(shim *s, client *owner, const msg_spawn *spawn, nb_error *err) {
    if (s->next_exec_id > WIRE_EXEC_ID_MAX)
        return nb_fail_hint(err, nb_fail(err, NB_E_EXHAUSTED, 0, "start another exec: this run of the box has had %u", WIRE_EXEC_ID_MAX),
                            "restart the box");
    if (s->session_count >= SESSIONS_MAX)
        return nb_fail(err, NB_E_EXHAUSTED, 0, "start another exec: %u are running in this box, which is the limit", SESSIONS_MAX);
    if (!agent_has_place_for(s, spawn))
        return nb_fail(err, NB_E_EXHAUSTED, 0, "start another exec: the guest has not taken those before it yet");
    session *x = session_new(s, spawn, err);
    if (!x)
        return -err->code;
    if (owner && x->detached) {
        start_watching(x, owner);
    } else if (owner) {
        x->owner = owner;
        client_set_session(owner, x);
    }
    msg_spawn order = *spawn;
    order.exec_id = x->exec_id;
    order.spawn_flags &= (uint8_t) ~WIRE_SPAWN_DETACHED;
    link_send(&s->agent, wire_encode_spawn, &order);
    return 0;
}

int session_begin_look(shim *s, const msg_spawn *spawn, nb_error *err) {
    int result = session_begin(s, NULL, spawn, err);
    if (result == 0)
        s->sessions->is_look = true;
    return result;
}

bool session_somebody_is_here(const shim *s) {
    for (const session *x = s->sessions; x; x = x->next) {
        bool exec_runs = !is_main(x) && !x->is_look && x->state != SESSION_ENDED;
        if (exec_runs || (is_main(x) && x->owner))
            return true;
    }
    return false;
}

/* Who asked for it: nobody else can know of it before it runs. */
static client *asker(const session *x) {
    return x->owner ? x->owner : x->watchers;
}

/* Its terminal's window was closed. A copy out has lost the only one that it was made for; a copy in is told by its stdin's end. */
static void hang_up(const session *x) {
    if (x->spawn_flags & WIRE_SPAWN_COPY && !(x->spawn_flags & WIRE_SPAWN_STDIN))
        link_send(&x->shim->agent, wire_encode_signal, (&(msg_signal){.exec_id = x->exec_id, .signal = SIGKILL, .whole_tree = 1}));
    else if (x->spawn_flags & WIRE_SPAWN_TTY)
        link_send(&x->shim->agent, wire_encode_signal, (&(msg_signal){.exec_id = x->exec_id, .signal = SIGHUP}));
}

int session_spawned(shim *s, const msg_spawned *message) {
    session *x = find(s, message->exec_id);
    if (!x || x->state != SESSION_BEGINNING)
        return -NB_E_PROTOCOL;
    x->state = SESSION_RUNNING;
    x->pid = message->pid;
    s->counted.execs += !is_own(x);
    if (!x->is_look)
        care_used(s);
    x->started_at_ms = clock_wall_ms();
    msg_begun begun = {.exec_id = x->exec_id, .pid = x->pid, .id = wire_str(x->id)};
    if (asker(x))
        link_send(client_link(asker(x)), wire_encode_begun, &begun);
    if (is_told(x))
        event_tell_begun(s, x->id, (strv){x->argv, x->argv_bytes});
    if (is_main(x))
        shim_main_spawned(s);
    else if (!x->owner && !x->detached)
        hang_up(x); /* its owner has left meanwhile */
    return 0;
}

static void mounter_failed(shim *s, const msg_spawn_failed *message) {
    nb_error why;
    (void) wire_spawn_failure(&(msg_spawn){.argv = {"mount", sizeof("mount")}}, message->step, message->error, &why);
    volumes_mounter_ended(s, false, why.message, strlen(why.message));
}

static void look_failed(shim *s, const msg_spawn_failed *message) {
    const msg_launch *launch = &s->orders.launch;
    nb_error why;
    (void) wire_spawn_failure(&(msg_spawn){.argv = launch->health_command, .cwd = launch->cwd, .user = launch->user}, message->step,
                              message->error, &why);
    health_looked(s, NULL, why.message);
}

int session_spawn_failed(shim *s, const msg_spawn_failed *message) {
    session *x = find(s, message->exec_id);
    if (!x || x->state != SESSION_BEGINNING)
        return -NB_E_PROTOCOL;
    bool was_main = is_main(x);
    if (is_own(x)) {
        bool mounter = is_mounter(x);
        session_free(x);
        if (mounter)
            mounter_failed(s, message);
        else
            look_failed(s, message);
        return 0;
    }
    s->counted.exec_failures++;
    if (asker(x) && !was_main)
        link_send(client_link(asker(x)), wire_encode_spawn_failed, message);
    session_free(x);
    if (was_main)
        shim_main_failed(s, message);
    else
        shim_session_ended(s);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------ the end */

static msg_exec_info info_of(const session *x) {
    bool running = x->state != SESSION_ENDED;
    return (msg_exec_info){
        .id = wire_str(x->id),
        .info_flags = (uint8_t) ((running ? WIRE_INFO_RUNNING : 0) | (running && x->owner ? WIRE_INFO_ATTACHED : 0) |
                                 (x->spawn_flags & WIRE_SPAWN_TTY ? WIRE_INFO_TTY : 0)),
        .pid = x->pid,
        .argv = {x->argv, x->argv_bytes},
        .started_at_ms = x->started_at_ms,
        .finished_at_ms = x->exited.finished_at_ms,
        .code = x->exited.code,
        .signal = x->exited.signal,
        .exit_flags = x->exited.exit_flags,
        .user_time_us = x->exited.user_time_us,
        .system_time_us = x->exited.system_time_us,
        .max_rss_bytes = x->exited.max_rss_bytes,
    };
}

/* Before anybody hears it: who hears it may ask for it again. The main command's end is in the box's own record. */
static void put_on_record(session *x) {
    if (is_main(x))
        return;
    buf encoded;
    buf_init(&encoded, WIRE_SHOWN_ARGV_MAX_BYTES + 256);
    msg_exec_info info = info_of(x);
    bool whole = wire_encode_exec_info(&encoded, &info);
    if (!whole || piece_log_write(&x->shim->exec_log, 0, buf_bytes(&encoded), buf_length(&encoded)) < 0)
        log_warning(&x->shim->log, "log: the end of exec %s cannot be kept for later: %m", x->id);
    buf_done(&encoded);
}

static void send_exited(session *x, client *c) {
    const shim *s = x->shim;
    nb_error why;
    if (client_was_failed(c))
        return;
    if (x->exited.exit_flags & WIRE_EXIT_STOPPED && s->failure) {
        (void) nb_fail(&why, NB_E_BOX_GONE, 0, "%s", s->failure_message);
        client_fail(c, &why);
    } else {
        link_send(client_link(c), wire_encode_exited, &x->exited);
    }
}

/* Tells the owner once it has everything, and forgets what nobody will ask for. May free @x. */
static void finish(session *x) {
    if (x->state != SESSION_ENDED)
        return;
    if (x->owner && outlet_is_over(&x->out[0]) && outlet_is_over(&x->out[1])) {
        send_exited(x, x->owner);
        session_free(x);
    } else if (!x->owner && (is_main(x) || buf_length(&x->out[0].queue) + buf_length(&x->out[1].queue) == 0)) {
        session_free(x);
    }
}

/* Newest first: all but the first ENDED_KEPT of those that nobody has come for. */
static void forget_oldest(shim *s) {
    size_t kept = 0;
    for (session *x = s->sessions, *next; x; x = next) {
        next = x->next;
        if (x->state == SESSION_ENDED && !x->owner && ++kept > ENDED_KEPT)
            session_free(x);
    }
}

/* @exited  its status, or with WIRE_EXIT_STOPPED that it has none. May free @x. */
static void end(session *x, const msg_exited *exited) {
    shim *s = x->shim;
    x->exited = *exited;
    x->exited.exec_id = x->exec_id;
    x->exited.started_at_ms = x->started_at_ms;
    x->exited.finished_at_ms = clock_wall_ms();
    x->state = SESSION_ENDED;
    s->session_count--;
    put_on_record(x);
    if (is_told(x) && !(exited->exit_flags & WIRE_EXIT_STOPPED))
        event_tell_exited(s, x->id, exited);
    while (x->watchers) {
        send_exited(x, x->watchers);
        stop_watching(&x->watchers);
    }
    for (size_t i = 0; i < 2; i++) {
        x->out[i].ended = true; /* where the box's end came first, the agent has not said so */
        if (x->owner)
            (void) outlet_flush(&x->out[i], client_link(x->owner), channel_of(x, i));
    }
    finish(x);
    shim_session_ended(s);
}

/* The guest must have said so before it tells the exec's end. */
static bool streams_have_ended(const session *x) {
    return x->out[0].ended && (x->out[1].ended || x->spawn_flags & WIRE_SPAWN_TTY);
}

static void end_mounter(session *x, const msg_exited *exited) {
    shim *s = x->shim;
    char text[NB_ERROR_MESSAGE_SIZE];
    const buf *said = &x->out[1].queue;
    size_t length = buf_length(said) < sizeof(text) ? buf_length(said) : sizeof(text);
    memcpy(text, buf_bytes(said), length);
    if (length == 0)
        length = (size_t) snprintf(text, sizeof(text), "mount in the box: the mounter ended with status %d, signal %d", exited->code,
                                   exited->signal);
    session_free(x);
    shim_session_ended(s);
    volumes_mounter_ended(s, exited->code == 0 && exited->signal == 0, text, length);
}

/* As much as there is room for, NUL-terminated; a NUL within becomes a space. */
static size_t take_output(const outlet *o, char *text, size_t size) {
    size_t length = buf_length(&o->queue) < size ? buf_length(&o->queue) : size - 1;
    for (size_t i = 0; i < length; i++)
        text[i] = buf_bytes(&o->queue)[i] ? (char) buf_bytes(&o->queue)[i] : ' ';
    text[length] = '\0';
    return length;
}

static void end_look(session *x, const msg_exited *exited) {
    shim *s = x->shim;
    char output[WIRE_TEXT_MAX_BYTES + 1];
    size_t length = take_output(&x->out[0], output, sizeof(output));
    (void) take_output(&x->out[1], output + length, sizeof(output) - length);
    session_free(x);
    shim_session_ended(s);
    health_looked(s, exited, output);
}

int session_exited(shim *s, const msg_exited *message) {
    session *x = find(s, message->exec_id);
    if (!x || x->state != SESSION_RUNNING || !streams_have_ended(x) || (is_main(x) && s->record.is.has_exit) || message->code < 0 ||
        message->code > 255 || message->signal > 127)
        return -NB_E_PROTOCOL;
    msg_exited exited = *message;
    exited.exit_flags &= WIRE_EXIT_OOM | WIRE_EXIT_TIMED_OUT; /* that the box was stopped is ours to say */
    if (is_main(x)) {
        shim_main_ended(s, &exited); /* its clients are told when the box has stopped */
    } else if (is_mounter(x)) {
        end_mounter(x, &exited);
    } else if (x->is_look) {
        end_look(x, &exited);
    } else {
        care_used(s);
        end(x, &exited);
        forget_oldest(s);
    }
    return 0;
}

void session_terminate_all(shim *s) {
    for (session *x = s->sessions; x; x = x->next) {
        if (is_main(x) || x->state == SESSION_ENDED)
            continue;
        /* What an interactive shell heeds is a hang-up, not a SIGTERM. */
        uint8_t signal = x->is_look ? SIGKILL : x->spawn_flags & WIRE_SPAWN_TTY ? SIGHUP : SIGTERM;
        link_send(&s->agent, wire_encode_signal, (&(msg_signal){.exec_id = x->exec_id, .signal = signal, .whole_tree = 1}));
    }
}

/* It was asked for, and the box was stopped before it ran. */
static void refuse(session *x) {
    const shim *s = x->shim;
    nb_error why;
    (void) nb_fail(&why, s->failure ? NB_E_BOX_GONE : NB_E_STOPPED, 0, "%s", s->failure ? s->failure_message : "the box was stopped");
    if (asker(x) && !client_was_failed(asker(x)))
        client_fail(asker(x), &why);
    session_free(x);
}

void session_end_all(shim *s, const msg_exited *main_exited) {
    for (session *x = s->sessions, *next; x; x = next) {
        next = x->next;
        if (is_own(x)) {
            session_free(x);
            continue;
        }
        if (x->state == SESSION_BEGINNING) {
            refuse(x);
            continue;
        }
        if (x->state == SESSION_ENDED)
            continue;
        bool has_status = is_main(x) && main_exited;
        /* What its owner had no room for is cut off with it: the end is not to wait for a reader who only waits for the end. */
        for (size_t i = 0; i < 2 && x->owner && !has_status; i++)
            outlet_cut_off(&x->out[i]);
        end(x, has_status ? main_exited : &(msg_exited){.exit_flags = WIRE_EXIT_STOPPED});
    }
    /* Nobody can come any more for what is kept. */
    for (session *x = s->sessions, *next; x; x = next) {
        next = x->next;
        if (!x->owner)
            session_free(x);
    }
}

/* -------------------------------------------------------------------------------------------------- coming and going */

static session *find_by_id(shim *s, wire_bytes id) {
    for (session *x = s->sessions; x; x = x->next) {
        bool same = id.length == 0 ? is_main(x) : id.length == strlen(x->id) && memcmp(id.at, x->id, id.length) == 0;
        if (same && x->state != SESSION_BEGINNING)
            return x;
    }
    return NULL;
}

static void send_attached(session *x, client *c, bool watch_only) {
    uint8_t flags = x->spawn_flags & (WIRE_SPAWN_TTY | WIRE_SPAWN_STDIN);
    if (x->stdin_ended || watch_only || x->state == SESSION_ENDED)
        flags &= (uint8_t) ~WIRE_SPAWN_STDIN;
    msg_attached attached = {.exec_id = x->exec_id, .id = wire_str(x->id), .spawn_flags = flags};
    if (!watch_only) {
        attached.lost_stdout_bytes = x->out[0].lost;
        attached.lost_stderr_bytes = x->out[1].lost;
    }
    link_send(client_link(c), wire_encode_attached, &attached);
}

int session_attach(shim *s, client *c, wire_bytes id, bool watch_only, nb_error *err) {
    session *x = find_by_id(s, id);
    if (!x || (x->state == SESSION_ENDED && x->owner))
        return nb_fail(err, NB_E_NOT_FOUND, 0, "attach: there is no such exec running");
    if (!watch_only && x->owner)
        return nb_fail(err, NB_E_INVALID_STATE, 0, "attach: somebody is attached to it");
    if (!watch_only && buf_length(&x->stdin_queue) > WIRE_WINDOW_BYTES)
        return nb_fail(err, NB_E_INVALID_STATE, 0, "attach: it has not read yet what those before sent to its stdin");
    send_attached(x, c, watch_only);
    if (watch_only && x->state == SESSION_ENDED) {
        send_exited(x, c);
        return 0;
    }
    if (watch_only) {
        start_watching(x, c);
        return 0;
    }
    care_used(s);
    x->owner = c;
    x->detached = false;
    client_set_session(c, x);
    wire_inflow_init(&x->stdin_inflow);
    x->stdin_foreign = buf_length(&x->stdin_queue);
    for (size_t i = 0; i < 2; i++) {
        outlet_attach(&x->out[i], &s->kept_output_bytes);
        grant_agent(x, channel_of(x, i), outlet_flush(&x->out[i], client_link(c), channel_of(x, i)));
    }
    finish(x);
    return 0;
}

void session_list(shim *s, client *c) {
    uint32_t count = 0;
    for (session *x = s->sessions; x; x = x->next) {
        if (is_main(x) || is_own(x) || x->state != SESSION_RUNNING)
            continue;
        msg_exec_info info = info_of(x);
        link_send(client_link(c), wire_encode_exec_info, &info);
        count++;
    }
    link_send(client_link(c), wire_encode_listed, (&(msg_listed){.count = count}));
}

void session_detach(client *owner) {
    session *x = client_session(owner);
    if (x && x->owner == owner)
        x->detached = true;
}

static void flush_stdin(session *x);

static void lose_owner(session *x) {
    shim *s = x->shim;
    x->owner = NULL;
    for (size_t i = 0; i < 2; i++) {
        if (is_main(x)) { /* its log has it */
            x->out[i].ungranted = 0;
            grant_agent(x, channel_of(x, i), wire_inflow_consumed(&x->out[i].inflow, buf_length(&x->out[i].queue)));
            buf_clear(&x->out[i].queue);
        } else {
            grant_agent(x, channel_of(x, i), outlet_abandon(&x->out[i], &s->kept_output_bytes));
        }
    }
    if (x->state == SESSION_ENDED) {
        session_free(x); /* its owner was about to have it all, and did not want it */
        return;
    }
    /* A main command may be attached to again, and keeps its stdin and terminal. An exec has lost its only user. */
    if (is_main(x) || x->detached)
        return;
    if (x->spawn_flags & WIRE_SPAWN_STDIN && !x->stdin_ended) {
        x->stdin_ended = true;
        flush_stdin(x);
    }
    if (x->state == SESSION_RUNNING)
        hang_up(x);
}

void session_leave(client *c) {
    session *x = client_session(c);
    if (!x)
        return;
    care_used(x->shim);
    if (x->owner == c) {
        client_set_session(c, NULL);
        lose_owner(x);
        return;
    }
    client **at = &x->watchers;
    while (*at != c)
        at = client_next_watcher(*at);
    stop_watching(at);
}

/* ------------------------------------------------------------------------------------------------------------- output */

static outlet *outlet_of(session *x, uint32_t channel) {
    switch (wire_channel_stream(channel)) {
    case WIRE_STREAM_STDOUT:
        return &x->out[0];
    case WIRE_STREAM_STDERR:
        return x->spawn_flags & WIRE_SPAWN_TTY ? NULL : &x->out[1];
    default:
        return NULL;
    }
}

/* The attached owner's bytes. Memory that is out ends its connection rather than leaving a hole. */
static void pass_to_owner(session *x, outlet *o, uint32_t channel, const uint8_t *bytes, size_t length) {
    uint32_t credit;
    bool passed = outlet_pass(o, client_link(x->owner), channel, bytes, length, &credit);
    grant_agent(x, channel, credit);
    if (!passed) {
        nb_error why;
        client *owner = x->owner;
        (void) nb_fail_oom(&why);
        client_fail(owner, &why);
        session_leave(owner);
    }
}

int session_output(shim *s, uint32_t channel, const uint8_t *bytes, size_t length) {
    session *x = find(s, wire_channel_exec(channel));
    outlet *o = x ? outlet_of(x, channel) : NULL;
    if (!o || x->state != SESSION_RUNNING || o->ended || !wire_inflow_received(&o->inflow, length))
        return -NB_E_PROTOCOL;
    s->counted.output_bytes += length;
    if (is_main(x) && piece_log_write(&s->main_log, o == &x->out[0] ? 1 : 2, bytes, length) < 0)
        log_warning(&s->log, "log: the main command's output cannot be kept any more, going on without: %m");
    if (length == 0) {
        o->ended = true;
        if (x->owner)
            grant_agent(x, channel, outlet_flush(o, client_link(x->owner), channel));
    } else if (x->owner) {
        pass_to_owner(x, o, channel, bytes, length);
    } else if (is_main(x)) {
        grant_agent(x, channel, wire_inflow_consumed(&o->inflow, length));
    } else {
        grant_agent(x, channel, outlet_keep(o, bytes, length, &s->kept_output_bytes));
    }
    return 0;
}

int session_client_credit(client *owner, uint32_t channel, uint32_t credit) {
    session *x = client_session(owner);
    if (!x)
        return 0; /* its exec has just ended */
    outlet *o = x->owner == owner && x->exec_id == wire_channel_exec(channel) ? outlet_of(x, channel) : NULL;
    if (!o || !wire_outflow_granted(&o->outflow, credit))
        return -NB_E_PROTOCOL;
    grant_agent(x, channel, outlet_flush(o, client_link(owner), channel));
    finish(x);
    return 0;
}

/* -------------------------------------------------------------------------------------------------------------- input */

/* Credit for the owner as its bytes go on; those of one before it were his. */
static void credit_owner(session *x, uint32_t channel, size_t length) {
    size_t foreign = length < x->stdin_foreign ? length : x->stdin_foreign;
    x->stdin_foreign -= foreign;
    uint32_t credit = x->owner ? wire_inflow_consumed(&x->stdin_inflow, length - foreign) : 0;
    if (credit > 0)
        link_credit(client_link(x->owner), channel, credit);
}

static void flush_stdin(session *x) {
    shim *s = x->shim;
    uint32_t channel = wire_channel(x->exec_id, WIRE_STREAM_STDIN);
    while (buf_length(&x->stdin_queue) > 0 && x->stdin_outflow.credit > 0 && link_has_room(&s->agent)) {
        size_t piece = buf_length(&x->stdin_queue);
        if (piece > x->stdin_outflow.credit)
            piece = x->stdin_outflow.credit;
        if (piece > WIRE_DATA_MAX_BYTES)
            piece = WIRE_DATA_MAX_BYTES;
        link_data(&s->agent, channel, buf_bytes(&x->stdin_queue), piece);
        buf_consume(&x->stdin_queue, piece);
        x->stdin_outflow.credit -= (uint32_t) piece;
        credit_owner(x, channel, piece);
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
    if (x->owner != owner || !(x->spawn_flags & WIRE_SPAWN_STDIN) || x->stdin_ended ||
        channel != wire_channel(x->exec_id, WIRE_STREAM_STDIN) || !wire_inflow_received(&x->stdin_inflow, length))
        return -NB_E_PROTOCOL;
    if (x->state == SESSION_ENDED)
        return 0;
    x->shim->counted.input_bytes += length;
    if (length == 0)
        x->stdin_ended = true;
    else if (!buf_append(&x->stdin_queue, bytes, length))
        return -NB_E_PROTOCOL; /* the windows bound it: only memory can be out */
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
    for (session *x = s->sessions; x; x = x->next) {
        if (x->state != SESSION_ENDED)
            flush_stdin(x);
    }
}

int session_signal(client *c, const msg_signal *message) {
    session *x = client_session(c);
    if (!x || x->state == SESSION_ENDED)
        return 0; /* its exec has just ended */
    if (x->exec_id != message->exec_id || message->signal < 1 || message->signal > WIRE_SIGNAL_MAX)
        return -NB_E_PROTOCOL;
    if (is_main(x)) {
        char number[8];
        (void) snprintf(number, sizeof(number), "%u", message->signal);
        event_tell(x->shim, "kill", "signal=", signal_name(message->signal) ? signal_name(message->signal) : number);
    }
    link_send(&x->shim->agent, wire_encode_signal, message);
    return 0;
}

int session_resize(client *c, const msg_resize *message) {
    session *x = client_session(c);
    if (!x || x->state == SESSION_ENDED)
        return 0;
    if (x->exec_id != message->exec_id || !(x->spawn_flags & WIRE_SPAWN_TTY) || message->columns > WIRE_COLUMNS_MAX ||
        message->rows > WIRE_ROWS_MAX)
        return -NB_E_PROTOCOL;
    link_send(&x->shim->agent, wire_encode_resize, message);
    return 0;
}
