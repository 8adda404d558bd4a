/* SPDX-License-Identifier: Apache-2.0
 *
 * test-base-fd.c - descriptors that travel, files read whole
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "test-folder.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct pair {
    int ends[2];
} pair;

static void cleanup_pair(pair *p) {
    (void) fd_close(p->ends[0]);
    (void) fd_close(p->ends[1]);
}

static pair make_pair(void) {
    pair p;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p.ends), 0);
    return p;
}

static unsigned count_open(void) {
    test_folder here = {.fd = AT_FDCWD};
    return test_folder_count(&here, "/proc/self/fd");
}

static void descriptors_arrive_open_and_cloexec(void **state) {
    CLEANUP(cleanup_pair) pair p = make_pair();
    int pipes[2], fds[FD_PASS_MAX];
    size_t count = 0;
    char text[8];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(fd_send_message(p.ends[0], "hi", 2, &pipes[1], 1), 2);
    (void) fd_close(pipes[1]);
    assert_int_equal(fd_receive_message(p.ends[1], text, sizeof(text), fds, &count), 2);
    assert_int_equal(count, 1);
    assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(fds[0], "x", 1), 1);
    assert_int_equal(read(pipes[0], text, sizeof(text)), 1);
    (void) fd_close(fds[0]);
    (void) fd_close(pipes[0]);
}

/* Sends @fd_count descriptors past fd_send_message(), which would refuse so many itself. */
static void send_many(int socket, size_t length, size_t fd_count) {
    char bytes[64] = {0};
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * 64)];
    } control = {0};
    struct iovec data = {bytes, length};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = CMSG_SPACE(sizeof(int) * fd_count)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
    for (size_t i = 0; i < fd_count; i++)
        memcpy(CMSG_DATA(header) + i * sizeof(int), &(int){STDERR_FILENO}, sizeof(int));
    assert_int_equal(sendmsg(socket, &message, 0), length);
}

static void as_many_as_fit_arrive_and_more_leave_nothing_open(void **state) {
    CLEANUP(cleanup_pair) pair p = make_pair();
    char bytes[64];
    int fds[FD_PASS_MAX];
    for (size_t sent = FD_PASS_MAX; sent <= FD_PASS_MAX + 9; sent++) {
        size_t count = 99;
        unsigned before = count_open();
        send_many(p.ends[0], 4, sent);
        ssize_t n = fd_receive_message(p.ends[1], bytes, sizeof(bytes), fds, &count);
        if (sent == FD_PASS_MAX) {
            assert_int_equal(n, 4);
            assert_int_equal(count, FD_PASS_MAX);
            while (count > 0)
                (void) fd_close(fds[--count]);
        } else {
            assert_int_equal(n, 4); /* what it says arrives: its receiver can answer */
            assert_int_equal(count, 0);
        }
        assert_int_equal(count_open(), before);
    }
}

static void a_cut_message_leaves_nothing_open(void **state) {
    CLEANUP(cleanup_pair) pair p = make_pair();
    char bytes[4];
    int fds[FD_PASS_MAX];
    size_t count;
    unsigned before = count_open();
    send_many(p.ends[0], sizeof(bytes) + 1, 2);
    assert_int_equal(fd_receive_message(p.ends[1], bytes, sizeof(bytes), fds, &count), -1);
    assert_int_equal(errno, EMSGSIZE);
    assert_int_equal(count_open(), before);
    assert_int_equal(fd_receive_message(p.ends[1], bytes, sizeof(bytes), fds, &count), -1);
    assert_int_equal(errno, EAGAIN);
    (void) shutdown(p.ends[0], SHUT_WR);
    assert_int_equal(fd_receive_message(p.ends[1], bytes, sizeof(bytes), fds, &count), 0);
}

static void a_file_is_read_up_to_the_bound(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    static const size_t bounds[] = {1, 4095, 4096, 4097, 10000};
    static char content[10001];
    memset(content, 'x', sizeof(content));
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        for (size_t length = bounds[i] - 1; length <= bounds[i] + 1; length++) {
            test_folder_write(&folder, "file", content, length);
            CLEANUP(cleanup_free) char *text = NULL;
            size_t read = 99999;
            int result = file_read(folder.fd, "file", bounds[i], &text, &read);
            assert_int_equal(result, length <= bounds[i] ? 0 : -1);
            if (result < 0) {
                assert_int_equal(errno, EFBIG);
                assert_null(text);
                continue;
            }
            assert_int_equal(read, length);
            assert_int_equal(strlen(text), length);
        }
    }
}

static void sealed_memory_cannot_be_changed(void **state) {
    CLEANUP(cleanup_fd) int fd = fd_sealed_memory("test", "abc", 3);
    char text[4] = "";
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
    assert_int_equal(pread(fd, text, sizeof(text), 0), 3);
    assert_string_equal(text, "abc");
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static void closing_keeps_errno(void **state) {
    errno = ENOTTY;
    assert_int_equal(fd_close(-1), -1);
    assert_int_equal(fd_close(dup(STDERR_FILENO)), -1);
    assert_int_equal(errno, ENOTTY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_arrive_open_and_cloexec), cmocka_unit_test(as_many_as_fit_arrive_and_more_leave_nothing_open),
        cmocka_unit_test(a_cut_message_leaves_nothing_open),   cmocka_unit_test(a_file_is_read_up_to_the_bound),
        cmocka_unit_test(sealed_memory_cannot_be_changed),     cmocka_unit_test(closing_keeps_errno),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
