/* SPDX-License-Identifier: Apache-2.0
 *
 * connect.c - reaching a box's shim
 */
#include "runtime/connect.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/lock.h"
#include "runtime/channel.h"
#include "runtime/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS 5000000L

static bool somebody_runs_it(int folder) {
    CLEANUP(cleanup_fd) int lock = openat(folder, STATE_LOCK_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return lock >= 0 && lock_is_held(lock);
}

int connect_box(int folder, deadline until, nb_error *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    /* Through the folder's descriptor, because a home's path may be longer than sun_path. */
    (void) snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", folder, STATE_SOCKET_FILE);
    for (;;) {
        CLEANUP(cleanup_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
            return nb_fail(err, NB_E_INTERNAL, errno, "make a socket");
        if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
            return take_fd(&fd);
        if (errno != ENOENT && errno != ECONNREFUSED && errno != EINTR && errno != EAGAIN)
            return nb_fail(err, nb_code_of_errno(errno), errno, "connect to the box's shim");
        if (!somebody_runs_it(folder))
            return nb_fail_hint(err, nb_fail(err, NB_E_STOPPED, 0, "the box is not running"), "start it with nestbox start");
        if (deadline_passed(until))
            return nb_fail(err, NB_E_TIMEOUT, 0, "wait for the box's shim to answer");
        (void) nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
}

int connect_ask(int folder, deadline until, buf *bytes, const uint8_t **ret_message, size_t *ret_length, nb_error *err) {
    CLEANUP(cleanup_fd) int fd = connect_box(folder, until, err);
    return fd < 0 ? fd : channel_ask(fd, bytes, until, ret_message, ret_length, err);
}
