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

typedef struct piece {
    int kind;
    uint64_t at_ms;
    const uint8_t *bytes; /* until the next one is read */
    size_t length;
} piece;

void piece_reader_done(piece_reader *r) {
    r->fd = fd_close(r->fd);
    free(r->bytes);
    r->bytes = NULL;
    r->capacity = 0;
}

/* The bytes behind a header. 1: they are all there; 0, or -NB_E_NO_MEMORY. */
static int read_piece(piece_reader *r, const uint8_t header[PIECE_HEADER_BYTES], size_t *ret_length) {
    uint32_t length = load_le32(header + 8);
    if (length == 0 || length > PIECE_MAX_BYTES)
        return 0;
    if (length > r->capacity) {
        uint8_t *larger = realloc(r->bytes, length);
        if (!larger)
            return -NB_E_NO_MEMORY;
        r->bytes = larger;
        r->capacity = length;
    }
    *ret_length = length;
    return fd_read_full(r->fd, r->bytes, length) == (ssize_t) length;
}

static int piece_next(piece_reader *r, piece *ret_piece) {
    uint8_t header[PIECE_HEADER_BYTES];
    off_t start = lseek(r->fd, 0, SEEK_CUR);
    size_t length;
    int found = fd_read_full(r->fd, header, sizeof(header)) == (ssize_t) sizeof(header) ? read_piece(r, header, &length) : 0;
    if (found > 0)
        *ret_piece = (piece){.kind = header[12], .at_ms = load_le64(header), .bytes = r->bytes, .length = length};
    else
        (void) lseek(r->fd, start, SEEK_SET);
    return found;
}

int pieces_read(piece_reader *r, log_writer *write, void *user, nb_error *err) {
    for (;;) {
        piece next;
        int found = piece_next(r, &next);
        if (found <= 0)
            return found < 0 ? nb_fail_oom(err) : 0;
        int result = write(user, next.kind, next.at_ms, next.bytes, next.length);
        if (result != 0)
            return result;
    }
}

/* @fd  taken over */
static int read_pieces(int fd, log_writer *write, void *user, nb_error *err) {
    piece_reader reader = {.fd = fd};
    int result = pieces_read(&reader, write, user, err);
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
        result = read_pieces(take_fd(&older), write, user, err);
    if (result == 0 && newer >= 0)
        result = read_pieces(take_fd(&newer), write, user, err);
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
