/* SPDX-License-Identifier: Apache-2.0
 *
 * exec-list.c - the execs of a box's last run
 *
 * The shim knows those that run; it writes each end down before it forgets the exec. So whoever asks it first and reads the log then
 * misses none, and takes the log's word where both name one.
 */
#include "runtime/exec-list.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "runtime/box.h"
#include "runtime/channel.h"
#include "runtime/connect.h"
#include "runtime/exec.h"
#include "runtime/logs.h"
#include "runtime/result.h"
#include "runtime/state.h"

#include <stdlib.h>
#include <string.h>

typedef struct taking {
    exec_taker *take;
    void *user;
} taking;

/* What cannot be understood was written by another version, or is damaged: it tells of no exec. */
static int take_piece(void *user, int kind, uint64_t at_ms, const void *bytes, size_t length) {
    const taking *t = user;
    msg_exec_info info;
    return wire_decode_exec_info(bytes, length, &info) < 0 ? 0 : t->take(t->user, &info);
}

int exec_list_ended(int folder, exec_taker *take, void *user, nb_error *err) {
    return log_read_pieces(folder, STATE_EXEC_LOG_FILE, take_piece, &(taking){take, user}, err);
}

/* Those that run. A box that does not run has none. */
static int list_running(int folder, exec_taker *take, void *user, nb_error *err) {
    deadline until = deadline_in(CONNECT_TIMEOUT_MS);
    CLEANUP(cleanup_fd) int fd = connect_box(folder, until, err);
    if (fd < 0)
        return fd == -NB_E_STOPPED ? 0 : fd;
    buf bytes;
    buf_init(&bytes, WIRE_READ_BUFFER_BYTES);
    const uint8_t *message;
    size_t length;
    msg_exec_info info;
    msg_listed listed;
    int result = wire_control(&bytes, wire_encode_list, (&(msg_list){0})) ? channel_ask(fd, &bytes, until, &message, &length, err)
                                                                          : nb_fail_oom(err);
    while (result == 0 && wire_decode_exec_info(message, length, &info) == 0) {
        result = take(user, &info);
        if (result == 0)
            result = channel_receive(fd, TO_CLIENT, until, &bytes, &message, &length, err);
    }
    if (result == 0 && wire_decode_listed(message, length, &listed) < 0)
        result = channel_failed(message, length, err);
    buf_done(&bytes);
    return result == -NB_E_BOX_GONE ? 0 : result; /* it stopped while we asked: the log has them all */
}

/* A list that grows. */
typedef struct collection {
    arena *arena;
    nb_exec_info *items;
    size_t count, capacity;
} collection;

static nb_exec_info *find_item(const collection *c, wire_bytes id) {
    for (size_t i = 0; i < c->count; i++) {
        if (strlen(c->items[i].id) == id.length && memcmp(c->items[i].id, id.at, id.length) == 0)
            return &c->items[i];
    }
    return NULL;
}

static nb_exec_info *add_item(collection *c) {
    if (c->count == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 64;
        nb_exec_info *larger = realloc(c->items, capacity * sizeof(*larger));
        if (!larger)
            return NULL;
        c->items = larger;
        c->capacity = capacity;
    }
    return &c->items[c->count++];
}

static int fill_item(collection *c, nb_exec_info *item, const msg_exec_info *info) {
    if (!item)
        return -NB_E_NO_MEMORY;
    msg_exited exited = exec_exited_of(info);
    bool running = info->info_flags & WIRE_INFO_RUNNING;
    *item = (nb_exec_info){
        .id = arena_text(c->arena, info->id.at, info->id.length),
        .command = result_strings(c->arena, info->argv),
        .pid = info->pid,
        .running = running,
        .attached = info->info_flags & WIRE_INFO_ATTACHED,
        .tty = info->info_flags & WIRE_INFO_TTY,
        .has_status = !running && !(info->exit_flags & WIRE_EXIT_STOPPED),
        .started_at_ms = info->started_at_ms,
        .status = exec_status_of(&exited),
    };
    return 0;
}

static int take_running(void *user, const msg_exec_info *info) {
    return fill_item(user, add_item(user), info);
}

/* Only the few that the shim told of are looked through: the log names each exec once. */
static int take_ended(void *user, const msg_exec_info *info) {
    collection *both = user;
    collection *running = &both[0], *ended = &both[1];
    nb_exec_info *same = find_item(running, info->id);
    return fill_item(ended, same ? same : add_item(ended), info);
}

static int newest_first(const void *a, const void *b) {
    const nb_exec_info *x = a, *y = b;
    return x->started_at_ms < y->started_at_ms ? 1 : x->started_at_ms > y->started_at_ms ? -1 : 0;
}

/* Both in one array of the arena. */
static nb_exec_list join(arena *a, const collection both[2]) {
    size_t count = both[0].count + both[1].count;
    nb_exec_info *items = arena_alloc(a, count * sizeof(*items));
    if (!items)
        return (nb_exec_list){0};
    for (size_t i = 0; i < count; i++)
        items[i] = i < both[0].count ? both[0].items[i] : both[1].items[i - both[0].count];
    qsort(items, count, sizeof(*items), newest_first);
    return (nb_exec_list){items, count};
}

int nb_exec_list_get(nb_box *box, nb_exec_list **ret_list, nb_error *err) {
    if (!box || !ret_list)
        return nb_fail(err, NB_E_INVALID, 0, "list execs: an argument is NULL");
    arena *a;
    nb_exec_list *list = result_new(sizeof(*list), &a);
    if (!list)
        return nb_fail_oom(err);
    int folder = box_open_folder(box->runtime, box->id, err);
    int result = folder < 0 ? folder : 0;
    collection both[2] = {{.arena = a}, {.arena = a}};
    if (result == 0)
        result = list_running(folder, take_running, &both[0], err);
    if (result == 0)
        result = exec_list_ended(folder, take_ended, both, err);
    if (result == 0)
        *list = join(a, both);
    if (a->failed || result == -NB_E_NO_MEMORY)
        result = nb_fail_oom(err);
    free(both[0].items);
    free(both[1].items);
    (void) fd_close(folder < 0 ? -1 : folder);
    if (result < 0)
        result_free(list);
    else
        *ret_list = list;
    return nb_fail_within(err, result, "box '%s'", box->called);
}

void nb_exec_list_free(nb_exec_list *list) {
    result_free(list);
}
