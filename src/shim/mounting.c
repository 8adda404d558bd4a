/* SPDX-License-Identifier: Apache-2.0
 *
 * mounting.c - where the box's volumes are mounted, and when
 *
 * Theory of operation
 *   Mounting and unmounting are execs in the container (wire/mount-order.h), one at a time: a target may lie in another volume. At the start
 *   those whose target is the least deep come first, and one that fails fails the start. Later each is asked for by a client, who is told; a failure
 *   is his alone. The list is in the order in which mounts are made.
 */
#include "shim/volume-private.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "shim/care.h"
#include "shim/client.h"
#include "shim/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------------------------------------------- the list */

static unsigned depth_of(const char *path) {
    unsigned depth = 0;
    for (const char *at = path; *at; at++)
        depth += at[0] == '/' && at[1] && at[1] != '/';
    return depth;
}

/* Behind all that lie no deeper: a target in another volume comes after it, and what was named first is mounted first. */
static void insert(shim *s, volume *v) {
    volume **at = &s->volumes;
    while (*at && depth_of((*at)->words[WORD_TARGET]) <= depth_of(v->words[WORD_TARGET]))
        at = &(*at)->next;
    v->next = *at;
    *at = v;
}

static void forget(volume *v) {
    shim *s = v->shim;
    volume **at = &s->volumes;
    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    buf_done(&v->text);
    free(v);
}

/* False: all numbers are taken. */
static bool free_id(const shim *s, uint32_t *ret_id) {
    for (uint32_t id = 0; id < WIRE_VOLUMES_MAX; id++) {
        const volume *v = s->volumes;
        while (v && v->id != id)
            v = v->next;
        if (!v) {
            *ret_id = id;
            return true;
        }
    }
    return false;
}

/* Takes four words, from @first on. The volume, in the list; NULL with @err. */
static volume *add(shim *s, strv words, const char **first, nb_error *err) {
    uint32_t id;
    if (!free_id(s, &id)) {
        (void) nb_fail(err, NB_E_EXHAUSTED, 0, "mount one more: the box has %u", WIRE_VOLUMES_MAX);
        return NULL;
    }
    volume *v = calloc(1, sizeof(*v));
    if (!v) {
        (void) nb_fail_oom(err);
        return NULL;
    }
    *v = (volume){.shim = s, .id = id, .state = VOLUME_STARTING, .pidfd = -1, .socket = -1};
    wire_inflow_init(&v->requests);
    wire_outflow_init(&v->answers);
    buf_init(&v->queue, WIRE_WINDOW_BYTES);
    buf_init(&v->text, WIRE_MOUNT_WORDS * WIRE_PATH_MAX_BYTES);
    int result = 0;
    for (size_t i = 0; result == 0 && i < WIRE_MOUNT_WORDS; i++) {
        const char *word = *first;
        if (!word)
            result = nb_fail(err, NB_E_PROTOCOL, 0, "understand what is to be mounted");
        else if (!strv_add(&v->text, word))
            result = nb_fail_oom(err);
        else
            *first = strv_next(words, word);
    }
    if (result < 0) {
        buf_done(&v->text);
        free(v);
        return NULL;
    }
    const char *word = NULL;
    for (size_t i = 0; i < WIRE_MOUNT_WORDS; i++)
        v->words[i] = word = strv_next(strv_of(&v->text), word);
    if (!volume_is_served(v))
        v->state = VOLUME_READY;
    insert(s, v);
    return v;
}

int volumes_start(shim *s, nb_error *err) {
    strv mounts = strv_of(&s->mounts);
    char *program = wire_str_copy(s->orders.launch.files);
    int result = program ? 0 : nb_fail_oom(err);
    for (const char *word = strv_next(mounts, NULL); result == 0 && word;) {
        volume *v = add(s, mounts, &word, err);
        result = !v ? -err->code : volume_is_served(v) ? volume_start_server(v, program, err) : 0;
    }
    free(program);
    return result;
}

/* Keeps what a client has mounted for the next start, or takes what it has unmounted from that. Memory that is out leaves it as it was: the
 * library has its own record. */
static void keep_for_restart(volume *v, bool mounted) {
    shim *s = v->shim;
    CLEANUP(buf_done) buf kept;
    buf_init(&kept, WIRE_MOUNTS_MAX_BYTES);
    strv mounts = strv_of(&s->mounts);
    for (const char *first = strv_next(mounts, NULL); first;) {
        const char *words[WIRE_MOUNT_WORDS], *word = first;
        for (size_t i = 0; i < WIRE_MOUNT_WORDS && word; i++, word = strv_next(mounts, word))
            words[i] = word;
        first = word;
        if (strcmp(words[WORD_TARGET], v->words[WORD_TARGET]) != 0 && !strv_add_array(&kept, words, WIRE_MOUNT_WORDS))
            return;
    }
    if (mounted && !buf_append(&kept, buf_bytes(&v->text), buf_length(&v->text)))
        return;
    buf whole = s->mounts;
    s->mounts = kept;
    kept = whole;
}

/* ------------------------------------------------------------------------------------------------------------ the ends */

/* Nothing of it is mounted. What the agent knows of it goes when it has ended its stream too. */
static void leave(volume *v) {
    v->state = VOLUME_LEFT;
    if (volume_is_served(v))
        volume_close_server(v);
    if (!v->announced || v->requests_ended)
        forget(v);
}

static void tell(volume *v, const nb_error *why) {
    client *c = v->asker;
    v->asker = NULL;
    if (!c)
        return;
    if (why)
        client_fail(c, why);
    else
        link_send(client_link(c), wire_encode_mounted, &(msg_mounted){0});
}

/* It is not mounted, and will not be. */
static void fail_mount(volume *v, const nb_error *why) {
    shim *s = v->shim;
    if (s->state <= SHIM_MOUNTING) {
        shim_fail(s, why->code, why->message);
        return;
    }
    tell(v, why);
    leave(v);
    volumes_next(s);
}

void volume_server_is_ready(volume *v) {
    v->state = VOLUME_READY;
    volume_watch(v);
    volumes_next(v->shim);
}

void volume_server_is_lost(volume *v, const char *why) {
    nb_error err;
    if (v->state == VOLUME_STARTING || v->state == VOLUME_READY) {
        (void) nb_fail(&err, NB_E_STORAGE, 0, "mount '%s' at '%s': %s", v->words[WORD_SOURCE], v->words[WORD_TARGET], why);
        fail_mount(v, &err);
        return;
    }
    log_warning(&v->shim->log, "volume: '%s' is gone: %s", v->words[WORD_TARGET], why);
}

/* Its kernel has it mounted nowhere any more, or has been told that its server is gone. */
void volume_agent_has_left(volume *v) {
    if (v->state == VOLUME_LEFT)
        forget(v);
    else if (v->state == VOLUME_MOUNTED && !v->answers_ended)
        leave(v);
}

/* ------------------------------------------------------------------------------------------------------------ mounting */

static int begin_mounter(volume *v, const char *kind, const char *what, const char *options, nb_error *err) {
    buf argv;
    buf_init(&argv, WIRE_PATH_MAX_BYTES * 3);
    int result;
    if (!strv_add(&argv, kind) || !strv_add(&argv, what) || !strv_add(&argv, v->words[WORD_TARGET]) || !strv_add(&argv, options)) {
        result = nb_fail_oom(err);
    } else {
        msg_spawn order = {
            .spawn_flags = WIRE_SPAWN_MOUNT | WIRE_SPAWN_DETACHED,
            .argv = strv_of(&argv),
            .console_timeout_ms = WIRE_CONSOLE_TIMEOUT_DEFAULT_MS,
        };
        result = session_begin(v->shim, NULL, &order, err);
    }
    buf_done(&argv);
    return result;
}

static int begin_mounting(volume *v, nb_error *err) {
    char number[16];
    v->state = VOLUME_MOUNTING;
    if (!volume_is_served(v))
        return begin_mounter(v, v->words[WORD_KIND], v->words[WORD_SOURCE], v->words[WORD_OPTIONS], err);
    bool read_only = strcmp(v->words[WORD_OPTIONS], WIRE_MOUNT_READ_ONLY) == 0;
    uint8_t flags = (uint8_t) ((v->file ? WIRE_VOLUME_FILE : 0) | (read_only ? WIRE_VOLUME_READ_ONLY : 0));
    link_send(&v->shim->agent, wire_encode_volume, (&(msg_volume){.volume_id = v->id, .volume_flags = flags}));
    v->announced = true;
    (void) snprintf(number, sizeof(number), "%u", v->id);
    return begin_mounter(v, WIRE_MOUNT_VOLUME, number, v->file ? WIRE_MOUNT_FILE : "", err);
}

static int begin_unmounting(volume *v, nb_error *err) {
    v->state = VOLUME_UNMOUNTING;
    return begin_mounter(v, WIRE_MOUNT_REMOVE, "", "", err);
}

/* Whose turn it is, or whose turn it will be and must be waited for; NULL: nothing is to be done. */
static volume *find_next(const shim *s, bool *ret_wait) {
    for (volume *v = s->volumes; v; v = v->next) {
        *ret_wait =
            v->state == VOLUME_MOUNTING || v->state == VOLUME_UNMOUNTING || (v->state == VOLUME_STARTING && s->state == SHIM_MOUNTING);
        if (*ret_wait)
            return v;
    }
    for (volume *v = s->volumes; v; v = v->next) {
        if (v->state == VOLUME_READY || v->state == VOLUME_LEAVING)
            return v;
    }
    return NULL;
}

void volumes_next(shim *s) {
    nb_error err;
    bool wait = false;
    if (s->state != SHIM_MOUNTING && !shim_takes_execs(s))
        return;
    volume *v = find_next(s, &wait);
    if (!v && s->state == SHIM_MOUNTING)
        shim_mounted(s);
    if (!v || wait)
        return;
    bool leaving = v->state == VOLUME_LEAVING;
    if ((leaving ? begin_unmounting(v, &err) : begin_mounting(v, &err)) == 0)
        return;
    if (!leaving) {
        fail_mount(v, &err);
        return;
    }
    v->state = VOLUME_MOUNTED;
    tell(v, &err);
    volumes_next(s);
}

void volumes_mounter_ended(shim *s, bool good, const char *text, size_t length) {
    nb_error err;
    volume *v = s->volumes;
    while (v && v->state != VOLUME_MOUNTING && v->state != VOLUME_UNMOUNTING)
        v = v->next;
    if (!v)
        return;
    while (length > 0 && text[length - 1] == '\n')
        length--;
    (void) nb_fail(&err, NB_E_STORAGE, 0, "%.*s", (int) length, text);
    bool mounting = v->state == VOLUME_MOUNTING;
    if (mounting && !good) {
        fail_mount(v, &err);
        return;
    }
    v->state = VOLUME_MOUNTED;
    if (good && s->state == SHIM_RUNNING)
        keep_for_restart(v, mounting);
    tell(v, good ? NULL : &err);
    if (good && !mounting)
        leave(v);
    volumes_next(s);
}

/* -------------------------------------------------------------------------------------------------- asked for by clients */

int volumes_mount(shim *s, client *c, const msg_mount *order, nb_error *err) {
    const char *first = strv_next(order->words, NULL);
    if (!shim_takes_execs(s))
        return nb_fail(err, NB_E_STOPPED, 0, "mount in the box: it is not running");
    volume *v = add(s, order->words, &first, err);
    if (!v)
        return -err->code;
    char *program = wire_str_copy(order->files);
    int result = !program ? nb_fail_oom(err) : volume_is_served(v) ? volume_start_server(v, program, err) : 0;
    free(program);
    if (result < 0) {
        leave(v);
        return result;
    }
    v->asker = c;
    care_used(s);
    volumes_next(s);
    return 0;
}

int volumes_unmount(shim *s, client *c, const msg_unmount *order, nb_error *err) {
    volume *v = s->volumes;
    if (!shim_takes_execs(s))
        return nb_fail(err, NB_E_STOPPED, 0, "unmount in the box: it is not running");
    while (v && (v->state == VOLUME_LEFT || strlen(v->words[WORD_TARGET]) != order->target.length ||
                 memcmp(v->words[WORD_TARGET], order->target.at, order->target.length) != 0))
        v = v->next;
    if (!v)
        return nb_fail(err, NB_E_NOT_FOUND, 0, "nothing of ours is mounted at '%.*s' in the box", (int) order->target.length,
                       (const char *) order->target.at);
    if (v->state != VOLUME_MOUNTED)
        return nb_fail(err, NB_E_INVALID_STATE, 0, "unmount '%s' in the box: it is just being mounted or unmounted", v->words[WORD_TARGET]);
    v->state = VOLUME_LEAVING;
    v->asker = c;
    care_used(s);
    volumes_next(s);
    return 0;
}

void volumes_forget_client(shim *s, const client *c) {
    for (volume *v = s->volumes; v; v = v->next) {
        if (v->asker == c)
            v->asker = NULL;
    }
}

void volumes_done(shim *s) {
    nb_error err;
    (void) nb_fail(&err, NB_E_STOPPED, 0, "mount in the box: it was stopped");
    while (s->volumes) {
        volume *v = s->volumes;
        v->answers_ended = true; /* there is nobody to be told */
        volume_close_server(v);
        tell(v, &err);
        forget(v);
    }
}
