/* SPDX-License-Identifier: Apache-2.0
 *
 * logs.c - reading what a box has logged
 */
#include "runtime/logs.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "runtime/box.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* As written by the shim (src/shim/piece-log.h): u64 wall clock in ms, u32 length, u8 kind, 3 zero bytes. */
#define PIECE_HEADER_BYTES 16u
#define PIECE_MAX_BYTES ((uint32_t) 1 << 20)
#define PLAIN_READ_BYTES ((size_t) 64 << 10)

void piece_reader_done(piece_reader *r) {
    r->fd = fd_close(r->fd);
    free(r->bytes);
    r->bytes = NULL;
    r->capacity = 0;
}

static bool read_piece(piece_reader *r, const uint8_t header[PIECE_HEADER_BYTES], size_t *ret_length) {
    uint32_t length = load_le32(header + 8);
    if (length == 0 || length > PIECE_MAX_BYTES)
        return false;
    if (length > r->capacity) {
        uint8_t *larger = realloc(r->bytes, length);
        if (!larger)
            return false;
        r->bytes = larger;
        r->capacity = length;
    }
    *ret_length = length;
    return fd_read_full(r->fd, r->bytes, length) == (ssize_t) length;
}

bool piece_next(piece_reader *r, piece *ret_piece) {
    uint8_t header[PIECE_HEADER_BYTES];
    off_t start = lseek(r->fd, 0, SEEK_CUR);
    size_t length;
    if (fd_read_full(r->fd, header, sizeof(header)) == (ssize_t) sizeof(header) && read_piece(r, header, &length)) {
        *ret_piece = (piece){.kind = header[12], .at_ms = load_le64(header), .bytes = r->bytes, .length = length};
        return true;
    }
    (void) lseek(r->fd, start, SEEK_SET);
    return false;
}

/* @fd  taken over */
static int read_pieces(int fd, log_writer *write, void *user) {
    piece_reader reader = {.fd = fd};
    piece next;
    int result = 0;
    while (result == 0 && piece_next(&reader, &next))
        result = write(user, next.kind, next.at_ms, next.bytes, next.length);
    piece_reader_done(&reader);
    return result;
}

static int read_plain(int fd, log_writer *write, void *user) {
    uint8_t bytes[PLAIN_READ_BYTES];
    ssize_t n;
    while ((n = fd_read_full(fd, bytes, sizeof(bytes))) > 0) {
        int result = write(user, 1, 0, bytes, (size_t) n);
        if (result != 0)
            return result;
    }
    return 0;
}

int log_open(int folder, const char *name, int *ret_fd, nb_error *err) {
    *ret_fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return *ret_fd >= 0 || errno == ENOENT ? 0 : nb_fail(err, nb_code_of_errno(errno), errno, "open the log '%s'", name);
}

static int read_whole(int folder, const char *name, log_writer *write, void *user, nb_error *err) {
    CLEANUP(cleanup_fd) int fd = -1;
    int result = log_open(folder, name, &fd, err);
    return result < 0 || fd < 0 ? result : read_plain(fd, write, user);
}

bool log_is_same_file(int a, int b) {
    struct stat x, y;
    return a >= 0 && b >= 0 && fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

/* Both are open before one is read, the newer first: should the shim begin a new one meanwhile, what was there is read whole, and once. */
int log_read_pieces(int folder, const char *name, log_writer *write, void *user, nb_error *err) {
    char old_name[64];
    (void) snprintf(old_name, sizeof(old_name), "%s.1", name);
    CLEANUP(cleanup_fd) int newer = -1;
    CLEANUP(cleanup_fd) int older = -1;
    int result = log_open(folder, name, &newer, err);
    if (result == 0)
        result = log_open(folder, old_name, &older, err);
    if (result < 0)
        return result;
    if (older >= 0 && !log_is_same_file(older, newer))
        result = read_pieces(take_fd(&older), write, user);
    if (result == 0 && newer >= 0)
        result = read_pieces(take_fd(&newer), write, user);
    return result;
}

int nb_box_logs(nb_box *box, nb_log_kind kind, log_writer *write, void *user, nb_error *err) {
    if (!box || !write)
        return nb_fail(err, NB_E_INVALID, 0, "read a box's log: an argument is NULL");
    int folder = box_open_folder(box->runtime, box->id, err);
    if (folder < 0)
        return folder;
    int result = -NB_E_INVALID;
    switch (kind) {
    case NB_LOG_MAIN:
        result = log_read_pieces(folder, LOG_MAIN_FILE, write, user, err);
        break;
    case NB_LOG_CONSOLE:
        result = read_whole(folder, "console.log", write, user, err);
        break;
    case NB_LOG_SHIM:
        result = read_whole(folder, "shim.log", write, user, err);
        break;
    default:
        result = nb_fail(err, NB_E_INVALID, 0, "read a box's log: there is no kind %d", (int) kind);
    }
    (void) fd_close(folder);
    return result;
}
