/* SPDX-License-Identifier: Apache-2.0
 *
 * embedded.c - the helper programs that the library carries: extracted on first use, verified on every use
 *
 * Theory of operation
 *   A copy is written to a temporary file of this process's own, made durable, read back and verified, and renamed into place: of any
 *   number of processes doing this at once each sees a whole file or none.
 *
 *   The kernel executes no file that anybody has open for writing (ETXTBSY), and a descriptor is soon in more hands than one: each child
 *   that another thread of the host program forks has a copy of it, some for as long as they live. So the descriptor that writes exists
 *   in a process of its own alone (aside.c), and that has ended before the copy gets its name.
 */
#include "runtime/embedded.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/id.h"
#include "runtime/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sha256.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(SHA256_DIGEST_STRING_LENGTH == 65, "libmd's hexadecimal digest is what the build writes");

/* What we carry may itself be damaged. Looked at when a copy is made; a digest at each start would take thirty times as long as comparing. */
static bool is_as_built(const embedded_program *program) {
    char digest[SHA256_DIGEST_STRING_LENGTH];
    (void) SHA256Data(program->bytes, program->length, digest);
    return strcmp(digest, program->sha256) == 0;
}

/* Whether the open file is the program, byte for byte. -1 with errno when it cannot be read. */
static int verify(int fd, const embedded_program *program) {
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -1;
    if (!S_ISREG(status.st_mode) || (uint64_t) status.st_size != program->length)
        return 0;
    void *bytes = mmap(NULL, program->length, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return -1;
    bool is_same = memcmp(bytes, program->bytes, program->length) == 0;
    (void) munmap(bytes, program->length);
    return is_same;
}

/* 1: open and verified, in @ret_fd. 0: missing or damaged. -1 with errno. */
static int open_copy(int folder, const embedded_program *program, int *ret_fd) {
    CLEANUP(cleanup_fd) int fd = openat(folder, program->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT || errno == ELOOP ? 0 : -1;
    int good = verify(fd, program);
    if (good > 0)
        *ret_fd = take_fd(&fd);
    return good;
}

typedef struct writing {
    int folder;
    const char *name;
    const embedded_program *program;
    int error; /* errno of what failed first, 0 when the file is there and durable */
} writing;

/* Runs aside: bare system calls only. */
static int write_file(const writing *w) {
    int fd = (int) syscall(SYS_openat, w->folder, w->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0700);
    if (fd < 0)
        return -1;
    for (size_t done = 0; done < w->program->length;) {
        long n = syscall(SYS_write, fd, w->program->bytes + done, w->program->length - done);
        if (n < 0 && errno != EINTR)
            return -1;
        done += n > 0 ? (size_t) n : 0;
    }
    return syscall(SYS_fchmod, fd, 0500) == 0 && syscall(SYS_fsync, fd) == 0 ? 0 : -1;
}

static void write_aside(void *user) {
    writing *w = user;
    w->error = write_file(w) < 0 ? errno : 0; /* the descriptor ends with the process */
}

static int verify_and_name(int folder, const char *temporary, const embedded_program *program) {
    CLEANUP(cleanup_fd) int fd = openat(folder, temporary, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    int good = is_as_built(program) ? verify(fd, program) : 0;
    if (good == 0)
        errno = EIO; /* what was read back is not what was written */
    return good > 0 ? renameat(folder, temporary, folder, program->name) : -1;
}

/* 0, or -1 with errno and nothing left behind. */
static int write_copy(int folder, const embedded_program *program) {
    char temporary[NAME_MAX + 1], id[ID_SIZE];
    if (id_generate(id) < 0)
        return -1;
    (void) snprintf(temporary, sizeof(temporary), ".%s.%s", program->name, id);
    writing w = {.folder = folder, .name = temporary, .program = program};
    if (aside_run(write_aside, &w) < 0)
        return -1;
    errno = w.error;
    if (w.error || verify_and_name(folder, temporary, program) < 0) {
        int saved = errno;
        (void) unlinkat(folder, temporary, 0);
        errno = saved;
        return -1;
    }
    return fsync(folder);
}

static int fail(const embedded_program *program, const char *cache_path, nb_error *err) {
    return nb_fail(err, nb_code_of_errno(errno), errno, "keep a copy of '%s' in '%s/%s'", program->name, cache_path, program->sha256);
}

int embedded_open(const embedded_program *program, int cache, const char *cache_path, const log_sink *log, char **ret_path, nb_error *err) {
    if (mkdirat(cache, program->sha256, 0700) < 0 && errno != EEXIST)
        return fail(program, cache_path, err);
    CLEANUP(cleanup_fd) int folder = openat(cache, program->sha256, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (folder < 0)
        return fail(program, cache_path, err);
    CLEANUP(cleanup_fd) int fd = -1;
    int found = open_copy(folder, program, &fd);
    if (found == 0) {
        if (faccessat(folder, program->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            log_warning(log, "embedded: the copy of '%s' in the cache is damaged, writing it anew", program->name);
        if (write_copy(folder, program) < 0)
            return fail(program, cache_path, err);
        found = open_copy(folder, program, &fd);
        if (found == 0)
            errno = EIO; /* gone or changed again under our hands */
    }
    if (found <= 0)
        return fail(program, cache_path, err);
    if (ret_path) {
        char path[PATH_MAX];
        int length = snprintf(path, sizeof(path), "%s/%s/%s", cache_path, program->sha256, program->name);
        char *copy = length > 0 && (size_t) length < sizeof(path) ? strdup(path) : NULL;
        if (!copy)
            return nb_fail_oom(err);
        *ret_path = copy;
    }
    return take_fd(&fd);
}
