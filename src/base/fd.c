/* SPDX-License-Identifier: Apache-2.0
 *
 * fd.c - descriptors: owning, reading and writing whole, passing on
 */
#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

int fd_close(int fd) {
    if (fd >= 0) {
        int saved = errno;
        (void) close(fd); /* Linux releases the descriptor even on EINTR */
        errno = saved;
    }
    return -1;
}

void fd_close_others(int keep_a, int keep_b) {
    int low = keep_a < keep_b ? keep_a : keep_b, high = keep_a < keep_b ? keep_b : keep_a;
    if (low > STDERR_FILENO + 1)
        (void) syscall(SYS_close_range, STDERR_FILENO + 1, low - 1, 0);
    if (high > low + 1)
        (void) syscall(SYS_close_range, low + 1, high - 1, 0);
    (void) syscall(SYS_close_range, high + 1, ~0u, 0);
}

int fd_set_nonblock(int fd, bool nonblock) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -1;
    int wanted = nonblock ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    return wanted == flags ? 0 : fcntl(fd, F_SETFL, wanted);
}

int fd_set_cloexec(int fd, bool cloexec) {
    return fcntl(fd, F_SETFD, cloexec ? FD_CLOEXEC : 0);
}

int fd_write_all(int fd, const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    while (length > 0) {
        ssize_t n = write(fd, at, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = EIO;
            return -1;
        }
        at += n;
        length -= (size_t) n;
    }
    return 0;
}

int fd_pwrite_all(int fd, const void *bytes, size_t length, uint64_t offset) {
    const uint8_t *at = bytes;
    while (length > 0) {
        ssize_t n = pwrite(fd, at, length, (off_t) offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = EIO;
            return -1;
        }
        at += n;
        offset += (uint64_t) n;
        length -= (size_t) n;
    }
    return 0;
}

ssize_t fd_read_full(int fd, void *bytes, size_t length) {
    uint8_t *at = bytes;
    size_t done = 0;
    while (done < length) {
        ssize_t n = read(fd, at + done, length - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t) n;
    }
    return (ssize_t) done;
}

int fd_read_file(int fd, size_t max_bytes, char **ret_text, size_t *ret_length) {
    size_t capacity = 4096, length = 0;
    char *text = malloc(capacity + 1);
    if (!text)
        return -1;
    for (;;) {
        ssize_t n = fd_read_full(fd, text + length, capacity - length);
        if (n < 0)
            break;
        length += (size_t) n;
        if (length > max_bytes) {
            errno = EFBIG;
            break;
        }
        if (length < capacity) {
            text[length] = '\0';
            *ret_text = text;
            *ret_length = length;
            return 0;
        }
        char *larger = realloc(text, capacity * 2 + 1);
        if (!larger)
            break;
        text = larger;
        capacity *= 2;
    }
    int saved = errno;
    free(text);
    errno = saved;
    return -1;
}

int fd_sealed_memory(const char *name, const void *bytes, size_t length) {
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    if (fd_write_all(fd, bytes, length) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return fd_close(fd);
    return fd;
}

ssize_t fd_send_message(int socket, const void *bytes, size_t length, const int *fds, size_t fd_count) {
    assert(fd_count <= FD_PASS_MAX);
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
    } control;
    struct iovec data = {(void *) bytes, length};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (fd_count > 0) {
        memset(&control, 0, sizeof(control));
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
    }
    ssize_t n;
    do
        n = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n;
}

ssize_t fd_receive_message(int socket, void *bytes, size_t size, int *fds, size_t *ret_count) {
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
    } control;
    struct iovec data = {bytes, size};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space)};
    ssize_t n;
    do
        n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -1;

    size_t count = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t here = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
            if (count < FD_PASS_MAX)
                fds[count++] = fd;
            else
                (void) fd_close(fd);
        }
    }
    while (count > 0 && message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        (void) fd_close(fds[--count]);
    if (message.msg_flags & MSG_TRUNC) {
        errno = EMSGSIZE;
        return -1;
    }
    *ret_count = count;
    return n;
}
