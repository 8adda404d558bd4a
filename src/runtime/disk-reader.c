/* SPDX-License-Identifier: Apache-2.0
 *
 * disk-reader.c - what is on a box's disk, as a tar archive that its guest writes
 */
#include "runtime/disk-reader.h"

#include "runtime/box.h"

int disk_reader_open(nb_box *box, disk_reader *ret_reader, nb_error *err) {
    nb_copy_options options = NB_COPY_OPTIONS_INIT;
    options.bare = true;
    *ret_reader = (disk_reader){.log = &box->runtime->log};
    return nb_copy_out(box, "/", &options, &ret_reader->exec, err);
}

void disk_reader_done(disk_reader *r) {
    nb_exec_free(r->exec);
    r->exec = NULL;
}

/* All lines but the last say what was left out. */
static void take_words(disk_reader *r, const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (r->line_whole) {
            log_warning(r->log, "image: %s", r->line);
            r->line_whole = false;
            r->line_bytes = 0;
        }
        if (bytes[i] == '\n')
            r->line_whole = true;
        else if (r->line_bytes < sizeof(r->line) - 1)
            r->line[r->line_bytes++] = (unsigned char) bytes[i] < ' ' ? '?' : bytes[i];
        r->line[r->line_bytes] = '\0';
    }
}

static int end(disk_reader *r, const nb_exit_status *status, nb_error *err) {
    r->ended = true;
    if (status->signal != 0)
        return nb_fail(err, NB_E_BOX_GONE, 0, "read the box's disk: the copier in the box was ended by signal %d", status->signal);
    if (status->code != 0)
        return nb_fail(err, NB_E_STORAGE, 0, "read the box's disk: %s", r->line_bytes > 0 ? r->line : "the copier in the box failed");
    if (r->line_bytes > 0)
        log_warning(r->log, "image: %s", r->line);
    return 0;
}

int disk_reader_next(disk_reader *r, int64_t timeout_ms, const uint8_t **ret_bytes, size_t *ret_length, nb_error *err) {
    *ret_length = 0;
    while (!r->ended) {
        nb_event event;
        int result = nb_exec_next(r->exec, timeout_ms, &event, err);
        if (result < 0 || event.kind == NB_EVENT_NONE)
            return result;
        if (event.kind == NB_EVENT_EXITED)
            return end(r, &event.status, err);
        if (event.kind == NB_EVENT_STDERR)
            take_words(r, event.bytes, event.length);
        if (event.kind == NB_EVENT_STDOUT && event.length > 0) {
            *ret_bytes = event.bytes;
            *ret_length = event.length;
            return 0;
        }
    }
    return 0;
}
