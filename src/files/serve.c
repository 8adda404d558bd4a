/* SPDX-License-Identifier: Apache-2.0
 *
 * serve.c - a stream of FUSE messages, answered one after the other
 *
 * Theory of operation
 *   libfuse's low-level half understands the messages, once each has been checked (check.h); the operations are in tree.c, attributes.c,
 *   content.c and folder.c. A volume is one stream, and its order is its order.
 */
#include "files/serve.h"

#include "base/fd.h"
#include "files/check.h"
#include "files/volume.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

/* From linux/fuse.h of Linux 5.12, for older headers: writes need not ask for the file's capabilities first. Here no file has any, nor a set-id
 * bit, so there is nothing to take off. */
#ifndef FUSE_HANDLE_KILLPRIV_V2
#define FUSE_HANDLE_KILLPRIV_V2 (1u << 28)
#endif

/* INIT's answer is the one that needs a word of ours. */
static uint64_t init_unique;

/* One message, whole. 0 at the stream's end; -1 with errno, and then libfuse ends. */
static ssize_t read_request(int fd, void *into, size_t size, void *user) {
    uint8_t *bytes = into;
    uint32_t length;
    if (fd_read_full(fd, bytes, sizeof(length)) != (ssize_t) sizeof(length))
        return 0;
    memcpy(&length, bytes, sizeof(length));
    if (length < sizeof(struct fuse_in_header) || length > CHECK_REQUEST_MAX_BYTES || length > size) {
        errno = EBADMSG;
        return -1;
    }
    size_t rest = length - sizeof(length);
    return fd_read_full(fd, bytes + sizeof(length), rest) == (ssize_t) rest ? (ssize_t) length : 0;
}

/* This libfuse does not know the flag. */
static void add_init_flags(const struct iovec *pieces, int count) {
    const struct fuse_out_header *header = pieces[0].iov_base;
    if (!init_unique || count < 2 || header->unique != init_unique || header->error || pieces[1].iov_len < sizeof(uint32_t) * 4)
        return;
    struct fuse_init_out *init = pieces[1].iov_base;
    init->flags |= FUSE_HANDLE_KILLPRIV_V2;
    init_unique = 0;
}

static ssize_t write_answer(int fd, struct iovec *pieces, int count, void *user) {
    size_t total = 0;
    add_init_flags(pieces, count);
    for (int i = 0; i < count; i++)
        total += pieces[i].iov_len;
    for (size_t sent = 0; sent < total;) {
        ssize_t n = writev(fd, pieces, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        sent += (size_t) n;
        while (count > 0 && (size_t) n >= pieces->iov_len) {
            n -= (ssize_t) pieces->iov_len;
            pieces++;
            count--;
        }
        if (count > 0) {
            pieces->iov_base = (char *) pieces->iov_base + n;
            pieces->iov_len -= (size_t) n;
        }
    }
    return (ssize_t) total;
}

static void on_init(void *user, struct fuse_conn_info *connection) {
    connection->max_write = CHECK_WRITE_MAX_BYTES;
    connection->max_read = CHECK_WRITE_MAX_BYTES;
    connection->max_readahead = UINT32_MAX; /* libfuse lowers it to the kernel's */
    connection->want &= ~(unsigned) (FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE | FUSE_CAP_WRITEBACK_CACHE |
                                     FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_EXPORT_SUPPORT);
}

/* A session that speaks over @fd. NULL: memory. */
static struct fuse_session *open_session(int fd) {
    static const struct fuse_custom_io io = {.writev = write_answer, .read = read_request};
    static char name[] = "nestbox-files", limit[] = "-omax_read=114688";
    static struct fuse_lowlevel_ops ops = {.init = on_init};
    char *words[] = {name, limit, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(2, words);
    tree_operations(&ops);
    attribute_operations(&ops);
    content_operations(&ops);
    folder_operations(&ops);
    struct fuse_session *session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
    fuse_opt_free_args(&args);
    if (session && fuse_session_custom_io(session, &io, fd) < 0) {
        fuse_session_destroy(session);
        return NULL;
    }
    return session;
}

static int answer_all(struct fuse_session *session) {
    struct fuse_buf request = {0};
    check_state state = {0};
    int result = 0;
    while (!fuse_session_exited(session)) {
        int length = fuse_session_receive_buf(session, &request);
        if (length == -EINTR)
            continue;
        if (length <= 0)
            break;
        if (!check_request(&state, request.mem, request.size)) {
            result = 1;
            break;
        }
        const struct fuse_in_header *header = request.mem;
        if (header->opcode == FUSE_INIT)
            init_unique = header->unique;
        fuse_session_process_buf(session, &request);
    }
    free(request.mem);
    return result;
}

int serve(int fd, void (*ready)(void)) {
    init_unique = 0;
    struct fuse_session *session = open_session(fd);
    if (!session)
        return -1;
    ready();
    int result = answer_all(session);
    fuse_session_destroy(session);
    return result;
}
