/* SPDX-License-Identifier: Apache-2.0
 *
 * record.c - the file "run" of a box's folder, whatever is in it: a box without a shim is never told to be alive
 */
#include "base/file.h"
#include "runtime/state.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The lock is in it, as in every box's folder: without one, nobody would be sure enough of the end to write it down. */
static char folder_path[] = "/tmp/nestbox-fuzz-record-XXXXXX";
static int folder = -1;

static void check(bool condition) {
    if (!condition)
        abort();
}

static void remove_folder(void) {
    (void) file_remove_tree(AT_FDCWD, folder_path);
}

static void open_folder(void) {
    check(mkdtemp(folder_path) != NULL);
    folder = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(folder >= 0 && atexit(remove_folder) == 0);
    nb_error ignored;
    int lock = box_lock(folder, &ignored);
    check(lock >= 0 && close(lock) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    if (folder < 0)
        open_folder();
    int fd = openat(folder, STATE_RECORD_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    check(fd >= 0 && write(fd, bytes, length) == (ssize_t) length);
    (void) close(fd);
    box_status first, second;
    if (box_status_read(folder, NULL, &first, NULL) < 0)
        return 0; /* too large to be read */
    check(!first.live && first.record.state <= NB_BOX_FAILED);
    check(first.record.state != NB_BOX_STARTING && first.record.state != NB_BOX_RUNNING && first.record.state != NB_BOX_STOPPING);
    /* What was mended once is mended. */
    check(box_status_read(folder, NULL, &second, NULL) == 0);
    check(first.record.state == second.record.state && first.record.cause == second.record.cause);
    check(first.record.machine_pid == second.record.machine_pid && first.record.machine_start_ticks == second.record.machine_start_ticks);
    check(first.record.finished_at_ms == second.record.finished_at_ms);
    check(first.record.message.length == second.record.message.length);
    box_status_done(&first);
    box_status_done(&second);
    return 0;
}
