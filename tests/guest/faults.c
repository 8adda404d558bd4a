/* SPDX-License-Identifier: Apache-2.0
 *
 * faults.c - calls of the guest that fail when a test wants them to
 */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static fault_page *page;
static fault_role role = FAULT_IN_AGENT;

/* Before main(), and so before the zygote is forked: all three see one page. */
__attribute__((constructor)) static void map_page(void) {
    const char *path = getenv(FAULTS_VARIABLE);
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void) close(fd);
    if (memory != MAP_FAILED)
        page = memory;
}

/* Counts a call. True: it is the one that is to fail; errno says how. */
static bool fails(fault_call call) {
    if (!page || atomic_load(&page->call) != call || page->role != role)
        return false;
    if (atomic_fetch_sub(&page->left, 1) != 0)
        return false;
    atomic_store(&page->call, FAULT_NONE);
    atomic_store(&page->fired, 1);
    while (page->error == FAULT_HANG)
        (void) pause();
    errno = page->error;
    return true;
}

/* The linker's names for the wrapper and the wrapped; with file offsets of 64 bits, as meson has them everywhere, libc's names say so. */
pid_t __real_fork(void);
pid_t __wrap_fork(void);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
int __real_pipe2(int *ends, int flags);
int __wrap_pipe2(int *ends, int flags);
int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);
ssize_t __real_sendmsg(int socket, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int socket, const struct msghdr *message, int flags);
ssize_t __real_recvmsg(int socket, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int socket, struct msghdr *message, int flags);
int __real_socketpair(int domain, int type, int protocol, int *ends);
int __wrap_socketpair(int domain, int type, int protocol, int *ends);
int __real_openat64(int folder, const char *path, int flags, ...);
int __wrap_openat64(int folder, const char *path, int flags, ...);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);

pid_t __wrap_fork(void) {
    pid_t pid = __real_fork();
    if (pid == 0)
        role = FAULT_IN_ZYGOTE;
    return pid;
}

long __wrap_syscall(long number, ...) {
    va_list list;
    long words[6];
    va_start(list, number);
    for (size_t i = 0; i < 6; i++)
        words[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_clone3 && fails(FAULT_CLONE3))
        return -1;
    long result = __real_syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]);
    if (number == SYS_clone3 && result == 0)
        role = FAULT_IN_CHILD;
    return result;
}

int __wrap_pipe2(int *ends, int flags) {
    return fails(FAULT_PIPE2) ? -1 : __real_pipe2(ends, flags);
}

int __wrap_memfd_create(const char *name, unsigned flags) {
    return fails(FAULT_MEMFD_CREATE) ? -1 : __real_memfd_create(name, flags);
}

ssize_t __wrap_sendmsg(int socket, const struct msghdr *message, int flags) {
    return fails(FAULT_SENDMSG) ? -1 : __real_sendmsg(socket, message, flags);
}

/* What the kernel does when the receiver's table of descriptors is full. */
static ssize_t receive_without_descriptors(int socket, struct msghdr *message, int flags) {
    message->msg_control = NULL;
    message->msg_controllen = 0;
    return __real_recvmsg(socket, message, flags);
}

ssize_t __wrap_recvmsg(int socket, struct msghdr *message, int flags) {
    if (!fails(FAULT_RECVMSG))
        return __real_recvmsg(socket, message, flags);
    return page->error == FAULT_LOSE_DESCRIPTORS ? receive_without_descriptors(socket, message, flags) : -1;
}

int __wrap_socketpair(int domain, int type, int protocol, int *ends) {
    return fails(FAULT_SOCKETPAIR) ? -1 : __real_socketpair(domain, type, protocol, ends);
}

int __wrap_openat64(int folder, const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    return fails(FAULT_OPENAT) ? -1 : __real_openat64(folder, path, flags, mode);
}

void *__wrap_malloc(size_t size) {
    return fails(FAULT_MALLOC) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails(FAULT_CALLOC) ? NULL : __real_calloc(count, size);
}

/* Only what adds a watch needs memory. */
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
    return operation == EPOLL_CTL_ADD && fails(FAULT_EPOLL_CTL) ? -1 : __real_epoll_ctl(epoll, operation, fd, event);
}

/* Only what makes a new descriptor can fail. */
int __wrap_fcntl64(int fd, int command, ...) {
    va_list list;
    va_start(list, command);
    long word = va_arg(list, long);
    va_end(list);
    return command == F_DUPFD_CLOEXEC && fails(FAULT_FCNTL) ? -1 : __real_fcntl64(fd, command, word);
}
