/* SPDX-License-Identifier: Apache-2.0
 *
 * policy.h - which files a machine's process may have opened for it
 */
#ifndef JAIL_POLICY_H
#define JAIL_POLICY_H

#include <limits.h>
#include <stdbool.h>

typedef enum policy_verdict {
    POLICY_REFUSED,
    POLICY_READ,   /* a regular file or a folder of the system's, opened for reading */
    POLICY_DEVICE, /* a character device, opened as asked */
    POLICY_OWN,    /* one of its own descriptors, opened anew, for reading whatever was asked: @ret_path names it by the asker's number */
    POLICY_ASKER,  /* of /proc/self: what it says of the asker */
} policy_verdict;

/* Judges what a process asks for.
 *
 * @program   the process's program: what is installed beside it may be read too
 * @path      as it was asked for
 * @flags     of open(2)
 * @ret_path  PATH_MAX bytes: what is to be opened, without "." and ".."; of POLICY_OWN and POLICY_ASKER the part behind /proc/self/ */
policy_verdict policy_judge(const char *program, const char *path, int flags, char *ret_path);

#endif
