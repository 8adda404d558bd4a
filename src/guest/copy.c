/* SPDX-License-Identifier: Apache-2.0
 *
 * copy.c - files into and out of the box, by a process of the box
 *
 * Theory of operation
 *   The copier is an exec like any other, with streams, flow control, a cgroup and a status; only that it goes on in this program instead of
 *   executing one of the image's, which may have neither tar nor a shell. It is born in the container, so that it sees the container's mounts and
 *   the image's links lead where they lead for everybody in it; and whatever hangs on a file system hangs it alone.
 */
#include "guest/copy.h"

#include "base/error.h"
#include "base/fd.h"
#include "tar/pack.h"
#include "tar/place.h"
#include "tar/unpack.h"
#include "wire/copy-order.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1 /* open_tree(2); not in musl's headers */
#endif

static int read_stdin(void *user, void *into, size_t size, size_t *ret_length, nb_error *err) {
    ssize_t n;
    do {
        n = read(STDIN_FILENO, into, size);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "read the archive");
    *ret_length = (size_t) n;
    return 0;
}

static int write_stdout(void *user, const void *bytes, size_t length, nb_error *err) {
    return fd_write_all(STDOUT_FILENO, bytes, length) < 0 ? nb_fail(err, NB_E_STORAGE, errno, "write the archive") : 0;
}

static void tell(void *user, const char *sentence) {
    (void) dprintf(STDERR_FILENO, "%s\n", sentence);
}

/* ----------------------------------------------------------------------------------------------------------------- out */

/* From here on @path is the working folder, without what is mounted below it: what the box's disk has there. The descriptor stays open:
 * with it the view would end. */
static int enter_bare(const char *path, nb_error *err) {
    int bare = (int) syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | O_CLOEXEC);
    return bare < 0 || fchdir(bare) < 0 ? nb_fail(err, nb_code_of_errno(errno), errno, "open the folder '%s'", path) : 0;
}

static int copy_out(const char *path, const char *how, nb_error *err) {
    const tar_pack_options options = {.follow = strcmp(how, WIRE_COPY_FOLLOW) == 0, .past_cache = true, .on_notice = tell};
    if (strcmp(how, WIRE_COPY_BARE) == 0) {
        int result = enter_bare(path, err);
        if (result < 0)
            return result;
        path = ".";
    }
    return tar_pack((tar_output){.write = write_stdout}, path, &options, err);
}

/* ------------------------------------------------------------------------------------------------------------------ in */

static int place_root(void *user, const tar_entry *first, tar_place *ret_place, nb_error *err) {
    char name[sizeof(ret_place->name)];
    tar_place_base_name(first->name, name, sizeof(name));
    return tar_place_find(user, name, first->kind == TAR_FOLDER, ret_place, err);
}

static int place_whole(void *user, const tar_entry *first, tar_place *ret_place, nb_error *err) {
    return tar_place_whole(user, ret_place, err);
}

static int copy_in(char *path, bool names, bool owners, nb_error *err) {
    tar_reader *reader = tar_reader_new((tar_input){.read = read_stdin});
    if (!reader)
        return nb_fail_oom(err);
    const tar_unpack_options options = {
        .place = names ? place_whole : place_root,
        .on_notice = tell,
        .user = path,
        .owners = owners,
        .past_cache = true,
    };
    int result = tar_unpack(reader, &options, err);
    tar_reader_free(reader);
    return result;
}

_Noreturn void copy_become(strv order) {
    char **words = strv_pointers(order);
    size_t count = strv_count(order);
    nb_error err = {0};
    int result;
    (void) prctl(PR_SET_NAME, "copy");
    fd_close_others(STDERR_FILENO, STDERR_FILENO); /* the zygote's are ours until here */
    if (!words)
        result = nb_fail_oom(&err);
    else if (count == 3 && strcmp(words[0], WIRE_COPY_OUT) == 0)
        result = copy_out(words[1], words[2], &err);
    else if (count == 4 && strcmp(words[0], WIRE_COPY_IN) == 0)
        result = copy_in(words[1], strcmp(words[2], WIRE_COPY_NAMES) == 0, strcmp(words[3], WIRE_COPY_OWNERS) == 0, &err);
    else
        result = nb_fail(&err, NB_E_INVALID, 0, "there is no such order");
    if (result < 0)
        tell(NULL, err.message);
    _exit(result < 0 ? 1 : 0);
}
