/* SPDX-License-Identifier: Apache-2.0
 *
 * broker.c - opens files for a process that may open none
 *
 * Theory of operation
 *   The kernel stops a thread that calls open or openat and tells us (seccomp_unotify(2)). The path is copied out of its memory once, judged, and
 *   what is then opened is opened by us, by that copy: another thread of its may change its own text meanwhile, and changes nothing. The call is never
 *   let go on by itself. The answer is a descriptor of a description of its own (SECCOMP_IOCTL_NOTIF_ADDFD), so that no lock and no offset
 *   is shared with anybody. Everything that is asked is bounded: one path, one open, of things that do not block.
 *
 *   The asker may be gone, or its pid somebody else's, at any time: after what was read of it or by its pid, the kernel is asked whether the
 *   call still waits (SECCOMP_IOCTL_NOTIF_ID_VALID); only then does it count.
 */
#include "jail/broker.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "jail/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PROGRAM_SIZE PATH_MAX
/* A guest that has taken QEMU over could ask for ever: so many refusals are worth a line. */
#define REFUSALS_LOGGED_MAX 32u

enum { KIND_FILE = 1, KIND_FOLDER = 2, KIND_DEVICE = 4 };

struct broker {
    const log_sink *log;
    loop_fd watch;
    int listener;
    struct seccomp_notif *request;
    struct seccomp_notif_resp *response;
    unsigned refusals;
    char program[PROGRAM_SIZE];
};

/* Copies the string at @address of another process; false where there is none that ends in time. */
static bool read_text(pid_t pid, uint64_t address, char *ret_text, size_t size) {
    size_t page = (size_t) sysconf(_SC_PAGESIZE), first = page - address % page;
    /* Two pieces, of which the second may be in no memory at all. */
    struct iovec to = {ret_text, size - 1};
    struct iovec from[2] = {
        {(void *) (uintptr_t) address, first < size - 1 ? first : size - 1}}; /* NOLINT: an address of another process */
    from[1] = (struct iovec){(char *) from[0].iov_base + from[0].iov_len, size - 1 - from[0].iov_len};
    ssize_t n = process_vm_readv(pid, &to, 1, from, from[1].iov_len > 0 ? 2 : 1, 0);
    if (n <= 0)
        return false;
    ret_text[n] = '\0';
    return memchr(ret_text, '\0', (size_t) n) != NULL;
}

/* What was opened (-1 with errno: nothing was), if it is of a kind that @kinds has; taken over. */
static int keep_if(int opened, unsigned kinds) {
    CLEANUP(cleanup_fd) int fd = opened;
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return -1;
    unsigned kind = S_ISREG(status.st_mode) ? KIND_FILE : S_ISDIR(status.st_mode) ? KIND_FOLDER : S_ISCHR(status.st_mode) ? KIND_DEVICE : 0;
    if (!(kind & kinds)) {
        errno = EACCES;
        return -1;
    }
    return take_fd(&fd);
}

static int open_system_file(const char *path, int flags) {
    struct open_how how = {.flags = (uint64_t) (O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (flags & O_DIRECTORY)),
                           .resolve = RESOLVE_NO_MAGICLINKS};
    return keep_if((int) syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how)), KIND_FILE | KIND_FOLDER);
}

static int open_device(const char *path, int flags) {
    CLEANUP(cleanup_fd) int fd = keep_if(open(path, (flags & O_ACCMODE) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW), KIND_DEVICE);
    return fd < 0 || fd_set_nonblock(fd, (flags & O_NONBLOCK) != 0) < 0 ? -1 : take_fd(&fd);
}

/* @rest  behind /proc/self/ */
static int open_of_asker(pid_t pid, const char *rest) {
    char path[64];
    if ((size_t) snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, rest) >= sizeof(path)) {
        errno = ENOENT;
        return -1;
    }
    return keep_if(open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), KIND_FILE);
}

/* A descriptor for what is asked, or -1 with errno: what the asker is told. */
static int open_for(broker *b, pid_t pid, const char *path, int flags) {
    char clean[PATH_MAX];
    switch (policy_judge(b->program, path, flags, clean)) {
    case POLICY_READ:
        return open_system_file(clean, flags);
    case POLICY_DEVICE:
        return open_device(clean, flags);
    case POLICY_OWN:
    case POLICY_ASKER:
        return open_of_asker(pid, clean);
    case POLICY_REFUSED:
        break;
    }
    if (b->refusals++ < REFUSALS_LOGGED_MAX)
        log_info(b->log, "broker: the machine's process asked for '%.200s', flags %#x: refused", path, (unsigned) flags);
    errno = EACCES;
    return -1;
}

static bool still_asks(const broker *b) {
    return ioctl(b->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &b->request->id) == 0;
}

static void answer_error(broker *b, int error) {
    memset(b->response, 0, sizeof(*b->response));
    b->response->id = b->request->id;
    b->response->error = -error;
    (void) seccomp_notify_respond(b->listener, b->response); /* ENOENT: it asks no more */
}

static void answer(broker *b) {
    const struct seccomp_data *call = &b->request->data;
    bool is_openat = call->nr == SCMP_SYS(openat);
    pid_t pid = (pid_t) b->request->pid;
    char path[PATH_MAX + 1];
    if (!read_text(pid, call->args[is_openat ? 1 : 0], path, sizeof(path))) {
        answer_error(b, EFAULT);
        return;
    }
    int flags = (int) call->args[is_openat ? 2 : 1];
    CLEANUP(cleanup_fd) int fd = open_for(b, pid, path, flags);
    int error = errno;
    if (!still_asks(b))
        return;
    if (fd < 0) {
        answer_error(b, error);
        return;
    }
    struct seccomp_notif_addfd given = {
        .id = b->request->id,
        .flags = SECCOMP_ADDFD_FLAG_SEND,
        .srcfd = (uint32_t) fd,
        .newfd_flags = flags & O_CLOEXEC ? O_CLOEXEC : 0,
    };
    if (ioctl(b->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &given) < 0 && errno != ENOENT)
        answer_error(b, errno == EMFILE ? EMFILE : EACCES);
}

static void on_request(loop_fd *watcher, uint32_t events) {
    broker *b = watcher->user;
    if (!(events & EPOLLIN)) { /* nobody is left who could ask */
        loop_fd_done(&b->watch);
        return;
    }
    memset(b->request, 0, sizeof(*b->request)); /* the kernel insists */
    if (seccomp_notify_receive(b->listener, b->request) == 0)
        answer(b);
}

int broker_new(loop *l, const log_sink *log, int listener, const char *program, broker **ret_broker, nb_error *err) {
    CLEANUP(cleanup_fd) int owned = listener;
    broker *b = calloc(1, sizeof(*b));
    if (!b)
        return nb_fail_oom(err);
    b->listener = take_fd(&owned);
    b->log = log;
    (void) snprintf(b->program, sizeof(b->program), "%s", program);
    int result = 0;
    if (seccomp_notify_alloc(&b->request, &b->response) < 0)
        result = nb_fail_oom(err);
    else if (loop_fd_init(l, &b->watch, b->listener, EPOLLIN, on_request, b) < 0)
        result = nb_fail(err, NB_E_MACHINE, errno, "watch what the machine's process opens");
    if (result < 0)
        broker_free(b);
    else
        *ret_broker = b;
    return result;
}

void broker_free(broker *b) {
    if (!b)
        return;
    loop_fd_done(&b->watch);
    (void) fd_close(b->listener);
    seccomp_notify_free(b->request, b->response);
    free(b);
}
