/* SPDX-License-Identifier: Apache-2.0
 *
 * fd.h - descriptors: owning, reading and writing whole, passing on
 */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

/* Closes without touching errno; any negative number (also an error code in a descriptor's place) is nothing to close. Returns -1, so that `fd = fd_close(fd)` resets the variable. */
int fd_close(int fd);

static inline void cleanup_fd(int *fd) {
    *fd = fd_close(*fd);
}

/* Hands an owned descriptor over: the variable is -1 afterwards. */
static inline int take_fd(int *fd) {
    int taken = *fd;
    *fd = -1;
    return taken;
}

/* Closes every descriptor above the standard streams but these two. */
void fd_close_others(int keep_a, int keep_b);

/* 0, or -1 with errno. */
int fd_set_nonblock(int fd, bool nonblock);
int fd_set_cloexec(int fd, bool cloexec);

/* Writes all of it, going on after EINTR and short writes; the descriptor must be blocking. 0, or -1 with errno. */
int fd_write_all(int fd, const void *bytes, size_t length);
int fd_pwrite_all(int fd, const void *bytes, size_t length, uint64_t offset);

/* Reads until @length bytes or end of file. The number read, or -1 with errno. */
ssize_t fd_read_full(int fd, void *bytes, size_t length);

/* Reads the whole of a file into a NUL-terminated block that the caller frees; @ret_length without the NUL.
 * -1 with errno; EFBIG when there are more than @max_bytes. */
int fd_read_file(int fd, size_t max_bytes, char **ret_text, size_t *ret_length);

/* A read-only memory file with these bytes, sealed so that nobody can change it any more. The descriptor, or -1 with errno. */
int fd_sealed_memory(const char *name, const void *bytes, size_t length);

/* At most this many descriptors travel in one message: what one exec needs (three streams, a console, its cgroup, its options). */
#define FD_PASS_MAX 8

/* One datagram with descriptors over a unix socket. The sender keeps its descriptors.
 * The result of sendmsg(2) / recvmsg(2): bytes, or -1 with errno. */
ssize_t fd_send_message(int socket, const void *bytes, size_t length, const int *fds, size_t fd_count);

/* @fds        array of FD_PASS_MAX; received descriptors are CLOEXEC and the caller's
 * @ret_count  how many came; 0, and nothing is kept, where not all of them could be had: too many, or our table is full
 * A message longer than @size is -1 with EMSGSIZE and nothing is kept. */
ssize_t fd_receive_message(int socket, void *bytes, size_t size, int *fds, size_t *ret_count);

#endif
