/* SPDX-License-Identifier: Apache-2.0
 *
 * files.c - a volume's file server and a guest that sends it anything
 *
 * The input is a stream of FUSE messages, served from a small folder made anew each time. Whatever comes, nothing beside that folder may have
 * changed afterwards.
 */
#include "base/fd.h"
#include "base/file.h"
#include "files/serve.h"
#include "files/volume.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a socket takes without a reader. */
#define INPUT_MAX_BYTES ((size_t) 128 << 10)
#define SECRET "of the host"

static char base_path[] = "/dev/shm/nestbox-fuzz-XXXXXX";
static int base = -1;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void put(const char *name, const char *text) {
    int fd = openat(base, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t) strlen(text))
        abort();
    (void) close(fd);
}

static void clean_up(void) {
    (void) file_remove_tree(AT_FDCWD, base_path);
}

static void make_volume(void) {
    if (base < 0) {
        if (!mkdtemp(base_path) || (base = open(base_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || mkdirat(base, "outside", 0755) < 0)
            abort();
        put("outside/secret", SECRET);
        (void) atexit(clean_up);
    }
    if (file_remove_tree(base, "volume") < 0 || mkdirat(base, "volume", 0755) < 0 || mkdirat(base, "volume/sub", 0755) < 0 ||
        symlinkat("../outside/secret", base, "volume/up") < 0 || symlinkat("../outside", base, "volume/away") < 0)
        abort();
    put("volume/file", "some text");
    put("volume/sub/inner", "more");
}

/* "." and "..", "outside" and "volume"; and in "outside" one file as it was. */
static void look_around(void) {
    char text[64] = "";
    size_t count = 0;
    int fd = openat(base, "outside/secret", O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0 || read(fd, text, sizeof(text)) != (ssize_t) strlen(SECRET) || strcmp(text, SECRET) != 0 ||
        (status.st_mode & 07777) != 0644 || status.st_nlink != 1)
        abort();
    (void) close(fd);
    static const char *const folders[] = {".", "outside"};
    for (size_t i = 0; i < 2; i++) {
        DIR *folder = fdopendir(openat(base, folders[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        while (folder && readdir(folder))
            count++;
        (void) closedir(folder);
    }
    if (count != 4 + 3)
        abort();
}

static void nothing(void) {
}

static void say_nothing(enum fuse_log_level level, const char *format, va_list words) {
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    int ends[2], size = (int) INPUT_MAX_BYTES * 2;
    if (length == 0 || length > INPUT_MAX_BYTES)
        return 0;
    make_volume();
    fuse_set_log_func(say_nothing);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        abort();
    (void) setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    (void) setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    (void) fd_set_nonblock(ends[0], true);
    if (write(ends[0], bytes + 1, length - 1) < 0) {
        (void) close(ends[0]);
        (void) close(ends[1]);
        return 0;
    }
    (void) shutdown(ends[0], SHUT_WR);
    (void) fd_set_nonblock(ends[1], true); /* answers that nobody takes end it */
    volume_served = (volume){
        .read_only = bytes[0] & 1,
        .mapped = true,
        .user = geteuid(),
        .group = getegid(),
        .descriptors = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC),
    };
    if (nodes_init(openat(base, bytes[0] & 2 ? "volume/file" : "volume", O_PATH | O_CLOEXEC)) == 0)
        (void) serve(ends[1], nothing);
    handles_done();
    nodes_done();
    (void) close(volume_served.descriptors);
    (void) close(ends[0]);
    (void) close(ends[1]);
    look_around();
    return 0;
}
