/* SPDX-License-Identifier: Apache-2.0
 *
 * exec-open.c - coming back to an exec by its id, from any program, while it runs or later
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "runtime/box.h"
#include "runtime/channel.h"
#include "runtime/connect.h"
#include "runtime/exec-list.h"
#include "runtime/exec.h"
#include "runtime/state.h"

#include <string.h>

int exec_attach(int folder, const char *id, nb_exec_access access, nb_exec **ret_exec, nb_error *err) {
    deadline until = deadline_in(CONNECT_TIMEOUT_MS);
    CLEANUP(cleanup_fd) int socket = connect_box(folder, until, err);
    if (socket < 0)
        return socket;
    buf bytes;
    buf_init(&bytes, WIRE_READ_BUFFER_BYTES);
    const uint8_t *message;
    size_t length;
    msg_attached attached;
    bool watches = access == NB_EXEC_WATCH;
    msg_attach attach = {.id = wire_str(id), .attach_flags = watches ? WIRE_ATTACH_WATCH : 0};
    int result = wire_control(&bytes, wire_encode_attach, &attach) ? channel_ask(socket, &bytes, until, &message, &length, err)
                                                                   : nb_fail_full(err, &bytes, "exec '%.40s...': that is no exec's id", id);
    if (result == 0 && wire_decode_attached(message, length, &attached) < 0)
        result = channel_failed(message, length, err);
    if (result == 0) {
        exec_beginning beginning = {
            .exec_id = attached.exec_id,
            .id = attached.id,
            .open_stdin = attached.spawn_flags & WIRE_SPAWN_STDIN,
            .tty = attached.spawn_flags & WIRE_SPAWN_TTY,
            .watches = watches,
            .lost = {attached.lost_stdout_bytes, attached.lost_stderr_bytes},
        };
        result = exec_handle_new(take_fd(&socket), &beginning, ret_exec, err);
    }
    buf_done(&bytes);
    return result;
}

typedef struct ended_search {
    const char *id;
    nb_exec **ret_exec;
    nb_error *err;
} ended_search;

static int open_if_it(void *user, const msg_exec_info *info) {
    const ended_search *search = user;
    if (strlen(search->id) != info->id.length || memcmp(search->id, info->id.at, info->id.length) != 0)
        return 0;
    int result = exec_handle_ended(info, search->ret_exec, search->err);
    return result == 0 ? 1 : result;
}

static int open_ended(int folder, const char *id, nb_exec **ret_exec, nb_error *err) {
    int result = exec_list_ended(folder, open_if_it, &(ended_search){id, ret_exec, err}, err);
    if (result == 0)
        return nb_fail(err, NB_E_NOT_FOUND, 0, "exec '%.40s': there was none such in the box's last run", id);
    return result < 0 ? result : 0;
}

/* The main command's end is in the box's own record. */
static int open_ended_main(nb_runtime *rt, int folder, nb_exec **ret_exec, nb_error *err) {
    box_status status;
    int result = box_status_read(folder, &rt->log, &status, err);
    if (result < 0)
        return result;
    const msg_record *run = &status.record;
    if (status.live && run->state == NB_BOX_RUNNING) {
        result = nb_fail(err, NB_E_NOT_FOUND, 0, "open the main command: the box runs without one");
    } else if (run->started_at_ms == 0) {
        result = nb_fail_hint(err, nb_fail(err, NB_E_STOPPED, 0, "the box is not running"), "start it with nestbox start");
    } else {
        msg_exec_info info = {
            .code = run->code,
            .signal = run->signal,
            .exit_flags = run->has_exit ? run->exit_flags : WIRE_EXIT_STOPPED,
            .started_at_ms = run->started_at_ms,
            .finished_at_ms = run->finished_at_ms,
        };
        result = exec_handle_ended(&info, ret_exec, err);
    }
    box_status_done(&status);
    return result;
}

int nb_exec_open(nb_box *box, const char *id, nb_exec_access access, nb_exec **ret_exec, nb_error *err) {
    if (!box || !ret_exec || (id && !id[0]))
        return nb_fail(err, NB_E_INVALID, 0, "open an exec: an argument is NULL or empty");
    if (access != NB_EXEC_STREAMS && access != NB_EXEC_WATCH)
        return nb_fail(err, NB_E_INVALID, 0, "open an exec: there is no access %d", (int) access);
    int folder = box_open_folder(box->runtime, box->id, err);
    if (folder < 0)
        return folder;
    int result = exec_attach(folder, id, access, ret_exec, err);
    /* Over, or cut off while we asked: what the shim wrote down before it forgot it. */
    if (result == -NB_E_NOT_FOUND || result == -NB_E_STOPPED || result == -NB_E_BOX_GONE)
        result = id ? open_ended(folder, id, ret_exec, err) : open_ended_main(box->runtime, folder, ret_exec, err);
    (void) fd_close(folder);
    return nb_fail_within(err, result, "box '%s'", box->called);
}
