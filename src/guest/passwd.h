/* SPDX-License-Identifier: Apache-2.0
 *
 * passwd.h - who a process runs as, from the image's own files
 *
 * Pure: text in, numbers out. The texts are the image's /etc/passwd and /etc/group, passwd(5) and group(5): foreign bytes.
 */
#ifndef GUEST_PASSWD_H
#define GUEST_PASSWD_H

#include <stddef.h>
#include <stdint.h>

/* NGROUPS_MAX is 65536; nobody is in more than a handful, and this much stands on the stack. */
#define PASSWD_GROUPS_MAX 256

/* What a file of users or groups may measure; a larger one is not read. */
#define PASSWD_FILE_MAX_BYTES ((size_t) 1 << 20)

typedef struct passwd_identity {
    uint32_t uid, gid;
    uint32_t groups[PASSWD_GROUPS_MAX]; /* supplementary; the first is gid */
    size_t group_count;
    char home[256]; /* "/" where the user has no line, or a longer one */
} passwd_identity;

/* Looks "user", "user:group", "uid", "uid:gid" or "" (root) up, as Docker does: a number need not be in the files, a name must.
 * With an explicit group there are no other supplementary groups.
 *
 * @users, @groups  the texts, may be empty; lines that are malformed are passed over
 * 0, or -1: no such user or group, or a number beyond 2^32 - 2. */
int passwd_look_up(const char *users, size_t users_length, const char *groups, size_t groups_length, const char *spec,
                   passwd_identity *ret_identity);

#endif
