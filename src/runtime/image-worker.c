/* SPDX-License-Identifier: Apache-2.0
 *
 * image-worker.c - one errand of a helper process that works on images
 */
#include "runtime/image-worker.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "runtime/launch.h"
#include "runtime/progress.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* The worker reports its progress several times a second; one that says nothing for this long hangs. */
#define WORKER_SILENCE_MS 300000
#define PROGRESS_TEXT_SIZE 256

/* Our end of its connection. */
static int start(nb_runtime *rt, const embedded_program *program, const int *fds, size_t fd_count, nb_error *err) {
    CLEANUP(cleanup_fd) int copy = home_program(rt, program, NULL, err);
    return copy < 0 ? copy : launch_program(copy, program->name, fds, fd_count, err);
}

static void take_text(wire_bytes text, char into[PROGRESS_TEXT_SIZE]) {
    int length = (int) (text.length < PROGRESS_TEXT_SIZE ? text.length : PROGRESS_TEXT_SIZE - 1);
    (void) snprintf(into, PROGRESS_TEXT_SIZE, "%.*s", length, (const char *) text.at);
}

static int pass_progress_on(nb_runtime *rt, const uint8_t *bytes, size_t length, nb_error *err) {
    msg_progress m;
    char what[PROGRESS_TEXT_SIZE], item[PROGRESS_TEXT_SIZE];
    if (wire_decode_progress(bytes, length, &m) < 0)
        return nb_fail(err, NB_E_PROTOCOL, 0, "understand a worker's progress");
    take_text(m.what, what);
    take_text(m.item, item);
    return progress_tell(rt, &(nb_progress){what, item, m.done_bytes, m.total_bytes}, err);
}

static deadline patience(deadline until) {
    deadline silence = deadline_in(WORKER_SILENCE_MS);
    return silence.at_ms < until.at_ms ? silence : until;
}

int image_worker_ask(nb_runtime *rt, const embedded_program *program, const int *fds, size_t fd_count, buf *bytes, const channel_work *feed,
                     deadline until, const uint8_t **ret_bytes, size_t *ret_length, nb_error *err) {
    assert(fd_count <= IMAGE_WORKER_FDS_MAX);
    CLEANUP(cleanup_fd) int socket = start(rt, program, fds, fd_count, err);
    int result = socket < 0 ? socket : 0;
    if (result == 0)
        result = channel_send(socket, bytes, patience(until), err);
    while (result == 0) {
        const uint8_t *message;
        size_t length;
        if (deadline_passed(until)) /* one that reports its progress without end is not silent */
            return nb_fail(err, NB_E_TIMEOUT, 0, "wait for '%s'", program->name);
        result = channel_receive_at_work(socket, TO_OWNER, patience(until), feed, bytes, &message, &length, err);
        if (result == -NB_E_BOX_GONE)
            return nb_fail(err, NB_E_IMAGE, 0, "'%s' died, of a limit on its memory or of a fault", program->name);
        if (result < 0)
            break;
        uint16_t id = wire_message_id(message, length);
        if (id == id_of_msg_progress) {
            result = pass_progress_on(rt, message, length, err);
            continue;
        }
        if (id == id_of_msg_failed)
            return channel_failed(message, length, err);
        *ret_bytes = message;
        *ret_length = length;
        return 0;
    }
    return result;
}
