/* SPDX-License-Identifier: Apache-2.0
 *
 * server.c - nestbox-files: serves one volume to one box
 *
 * usage: nestbox-files PATH ro|rw      (started by nestbox-shim; descriptor 0 is a stream of FUSE messages)
 *
 * Theory of operation
 *   The guest's kernel asks through /dev/fuse, the agent passes its messages on over the link, the shim puts them into descriptor 0 as they
 *   are. libfuse's low-level half understands them, once each has been checked (check.h); the operations are in tree.c, attributes.c, content.c
 *   and folder.c. One request after the other: a volume is one stream, and its order is its order.
 *   First word on the stream: a NUL when all is ready, else a sentence that says why not, and the end.
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/size.h"
#include "files/check.h"
#include "files/confine.h"
#include "files/volume.h"

#include <errno.h>
#include <linux/fuse.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

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

/* File systems of this host's own have said all at write(2) and fsync(2): a question less for each file that is closed. */
static bool close_may_tell(int root) {
    static const long own[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, TMPFS_MAGIC, OVERLAYFS_SUPER_MAGIC, F2FS_SUPER_MAGIC};
    struct statfs status;
    if (fstatfs(root, &status) < 0)
        return true;
    for (size_t i = 0; i < ARRAY_LENGTH(own); i++) {
        if (status.f_type == own[i])
            return false;
    }
    return true;
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

/* Until the box has gone, or sends what no kernel does: 1. */
static int serve(struct fuse_session *session) {
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

static void report(const char *sentence) {
    (void) fd_write_all(STDIN_FILENO, sentence, strlen(sentence) + (*sentence ? 0 : 1));
}

int main(int argc, char **argv) {
    nb_error err = {0};
    int root = -1;
    if (argc != 3 || (strcmp(argv[2], "ro") != 0 && strcmp(argv[2], "rw") != 0)) {
        (void) fprintf(stderr, "usage: nestbox-files PATH ro|rw      (started by nestbox-shim)\n");
        return 2;
    }
    (void) umask(0); /* the guest's kernel has applied the guest's */
    volume_served = (volume){
        .read_only = strcmp(argv[2], "ro") == 0,
        .mapped = geteuid() != 0,
        .user = geteuid(),
        .group = getegid(),
        .descriptors = -1,
    };
    if (confine_to(argv[1], volume_served.read_only, &root, &volume_served.descriptors, &err) < 0) {
        report(err.message);
        return 1;
    }
    volume_served.close_tells = close_may_tell(root);
    struct fuse_session *session = nodes_init(root) < 0 ? NULL : open_session(STDIN_FILENO);
    if (!session) {
        report("serve the volume: out of memory");
        return 1;
    }
    report("");
    int result = serve(session);
    fuse_session_destroy(session);
    nodes_done();
    return result;
}
