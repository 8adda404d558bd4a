/* SPDX-License-Identifier: Apache-2.0
 *
 * server.c - nestbox-files: serves one volume to one box
 *
 * usage: nestbox-files PATH ro|rw      (started by nestbox-shim; descriptor 0 is a stream of FUSE messages)
 *
 * Theory of operation
 *   The guest's kernel asks through /dev/fuse, the agent passes its messages on over the link, the shim puts them into descriptor 0 as they
 *   are, and they are answered there (serve.c).
 *   First word on the stream: a NUL when all is ready, else a sentence that says why not, and the end.
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/size.h"
#include "files/confine.h"
#include "files/serve.h"
#include "files/volume.h"

#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

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

static void report(const char *sentence) {
    (void) fd_write_all(STDIN_FILENO, sentence, strlen(sentence) + (*sentence ? 0 : 1));
}

static void report_ready(void) {
    report("");
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
    int result = nodes_init(root) < 0 ? -1 : serve(STDIN_FILENO, report_ready);
    if (result < 0)
        report("serve the volume: out of memory");
    handles_done();
    nodes_done();
    return result == 0 ? 0 : 1;
}
