/* SPDX-License-Identifier: Apache-2.0
 *
 * exec-start.c - asking a box's shim for a new process
 */
#include "runtime/exec.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "runtime/box.h"
#include "runtime/channel.h"
#include "runtime/connect.h"
#include "runtime/options.h"
#include "runtime/privileges.h"
#include "wire/failure.h"

#include <assert.h>

static_assert(NB_EXEC_GRACE_DEFAULT_MS == WIRE_GRACE_DEFAULT_MS && NB_CONSOLE_TIMEOUT_DEFAULT_MS == WIRE_CONSOLE_TIMEOUT_DEFAULT_MS,
              "an exec and a main command have the same defaults");

#define DEFAULT_COLUMNS 80
#define DEFAULT_ROWS 24

/* An exec's options in the forms that SPAWN has them in. */
typedef struct exec_lists {
    buf argv, given, env;
    privileges privileges;
} exec_lists;

static int collect_privileges(const nb_exec_options *o, const box_record *box, privileges *ret_privileges, nb_error *err) {
    buf lists[3];
    const nb_strings strings[3] = {o->cap_add, o->cap_drop, o->ulimits};
    static const char *const names[3] = {"capabilities to add", "capabilities to drop", "limits"};
    int result = privileges_add(ret_privileges, box->cap_add, box->cap_drop, box->ulimits, box->no_new_privileges, err);
    for (size_t i = 0; i < 3; i++) {
        buf_init(&lists[i], OPTIONS_LIST_MAX_BYTES);
        if (result == 0)
            result = options_add_strings(&lists[i], strings[i], names[i], err);
    }
    if (result == 0)
        result = privileges_add(ret_privileges, strv_of(&lists[0]), strv_of(&lists[1]), strv_of(&lists[2]), o->no_new_privileges, err);
    for (size_t i = 0; i < 3; i++)
        buf_done(&lists[i]);
    return result;
}

static int make_lists(const nb_exec_options *o, const box_record *box, exec_lists *lists, nb_error *err) {
    int result = options_check_pairs(o->environment, "environment variable", err);
    if (result == 0)
        result = options_add_strings(&lists->argv, o->command, "command", err);
    if (result == 0)
        result = options_add_strings(&lists->given, o->environment, "environment", err);
    if (result == 0 && o->tty && !strv_env_get(box->env, "TERM") && !strv_add(&lists->env, "TERM=xterm"))
        result = nb_fail_oom(err);
    if (result == 0 && !strv_env_merge(&lists->env, box->env, strv_of(&lists->given)))
        result = nb_fail_full(err, &lists->env, "use the environment: it is longer than %u bytes", WIRE_ENV_MAX_BYTES);
    return result == 0 ? collect_privileges(o, box, &lists->privileges, err) : result;
}

/* Asks for the exec, waits until it runs, and makes the handle of the connection.
 *
 * @socket  taken over with the handle */
static int ask_for_exec(int *socket, const msg_spawn *spawn, nb_exec **ret_exec, nb_error *err) {
    deadline until = deadline_in(CONNECT_TIMEOUT_MS + (int64_t) (spawn->spawn_flags & WIRE_SPAWN_TTY ? spawn->console_timeout_ms : 0));
    buf bytes;
    buf_init(&bytes, WIRE_READ_BUFFER_BYTES);
    const uint8_t *message;
    size_t length;
    msg_begun begun;
    msg_spawn_failed failed;
    bool detached = spawn->spawn_flags & WIRE_SPAWN_DETACHED;
    int result = wire_control(&bytes, wire_encode_spawn, spawn)
                     ? channel_ask(*socket, &bytes, until, &message, &length, err)
                     : nb_fail_full(err, &bytes, "the command, its environment, directory or user is too long");
    if (result == 0 && wire_decode_begun(message, length, &begun) == 0) {
        exec_beginning beginning = {
            .exec_id = begun.exec_id,
            .id = begun.id,
            .open_stdin = spawn->spawn_flags & WIRE_SPAWN_STDIN && !detached,
            .tty = spawn->spawn_flags & WIRE_SPAWN_TTY,
            .watches = detached,
        };
        result = exec_handle_new(take_fd(socket), &beginning, ret_exec, err);
    } else if (result == 0) {
        result = wire_decode_spawn_failed(message, length, &failed) == 0 ? wire_spawn_failure(spawn, failed.step, failed.error, err)
                                                                         : channel_failed(message, length, err);
    }
    buf_done(&bytes);
    return result;
}

static uint8_t spawn_flags(const nb_exec_options *o, const privileges *p) {
    return (uint8_t) ((o->tty ? WIRE_SPAWN_TTY : 0) | (o->open_stdin ? WIRE_SPAWN_STDIN : 0) | (o->detach ? WIRE_SPAWN_DETACHED : 0) |
                      (p->no_new_privileges ? WIRE_SPAWN_NO_NEW_PRIVILEGES : 0));
}

int exec_begin(nb_box *box, const msg_spawn *spawn, nb_exec **ret_exec, nb_error *err) {
    CLEANUP(cleanup_fd) int folder = box_open_folder(box->runtime, box->id, err);
    if (folder < 0)
        return folder;
    CLEANUP(cleanup_fd) int socket = connect_box(folder, deadline_in(CONNECT_TIMEOUT_MS), err);
    return socket < 0 ? socket : ask_for_exec(&socket, spawn, ret_exec, err);
}

static int start_exec(nb_box *box, const nb_exec_options *o, const box_record *record, nb_exec **ret_exec, nb_error *err) {
    exec_lists lists = {0};
    buf_init(&lists.argv, WIRE_ARGV_MAX_BYTES);
    buf_init(&lists.given, WIRE_ENV_MAX_BYTES);
    buf_init(&lists.env, WIRE_ENV_MAX_BYTES);
    int result = make_lists(o, record, &lists, err);
    if (result == 0) {
        msg_spawn spawn = {
            .spawn_flags = spawn_flags(o, &lists.privileges),
            .columns = o->columns ? o->columns : DEFAULT_COLUMNS,
            .rows = o->rows ? o->rows : DEFAULT_ROWS,
            .argv = strv_of(&lists.argv),
            .env = strv_of(&lists.env),
            .cwd = wire_str(o->working_directory ? o->working_directory : record->cwd),
            .user = wire_str(o->user ? o->user : record->user),
            .timeout_ms = o->timeout_ms,
            .grace_ms = o->grace_ms ? o->grace_ms : NB_EXEC_GRACE_DEFAULT_MS,
            .console_timeout_ms = o->console_timeout_ms ? o->console_timeout_ms : NB_CONSOLE_TIMEOUT_DEFAULT_MS,
            .oom_score_adj = o->oom_score_adj,
            .cap_add = lists.privileges.cap_add,
            .cap_drop = lists.privileges.cap_drop,
            .limits = {buf_bytes(&lists.privileges.limits), buf_length(&lists.privileges.limits)},
        };
        result = exec_begin(box, &spawn, ret_exec, err);
    }
    buf_done(&lists.argv);
    buf_done(&lists.given);
    buf_done(&lists.env);
    privileges_done(&lists.privileges);
    return result;
}

int nb_exec_start(nb_box *box, const nb_exec_options *options, nb_exec **ret_exec, nb_error *err) {
    nb_exec_options o;
    if (!box || !options || !ret_exec)
        return nb_fail(err, NB_E_INVALID, 0, "start an exec: an argument is NULL");
    int result = options_take(&o, sizeof(o), options, "nb_exec_options", err);
    if (result == 0 && o.command.count == 0)
        result = nb_fail(err, NB_E_INVALID, 0, "start an exec: it has no command");
    if (result == 0 && o.working_directory && o.working_directory[0] != '/')
        result = nb_fail(err, NB_E_INVALID, 0, "working directory '%s': it must be an absolute path", o.working_directory);
    if (result == 0 && (o.columns > WIRE_COLUMNS_MAX || o.rows > WIRE_ROWS_MAX))
        result = nb_fail(err, NB_E_INVALID, 0, "terminal size %u x %u: it must not exceed %u x %u", o.columns, o.rows, WIRE_COLUMNS_MAX,
                         WIRE_ROWS_MAX);
    if (result == 0 && (o.oom_score_adj < -WIRE_OOM_SCORE_ADJ_MAX || o.oom_score_adj > WIRE_OOM_SCORE_ADJ_MAX))
        result = nb_fail(err, NB_E_INVALID, 0, "OOM score adjustment %d: it must be from -%d to %d", o.oom_score_adj,
                         WIRE_OOM_SCORE_ADJ_MAX, WIRE_OOM_SCORE_ADJ_MAX);
    if (result < 0)
        return result;
    arena a = {0};
    box_record record;
    result = box_read_record(box, &a, &record, err);
    if (result == 0)
        result = start_exec(box, &o, &record, ret_exec, err);
    arena_done(&a);
    return nb_fail_within(err, result, "box '%s'", box->called);
}
