/* SPDX-License-Identifier: Apache-2.0
 *
 * passwd.c - an image's users and groups: whoever is found can be run as
 *
 * Input: who is asked for, NUL, /etc/passwd, NUL, /etc/group.
 */
#include "guest/passwd.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void check(bool condition) {
    if (!condition)
        abort();
}

/* Exact blocks: the sanitizer sees a read beyond either text. */
static char *copy(const uint8_t *bytes, size_t length, bool with_newline) {
    char *text = malloc(length + with_newline + (length + with_newline == 0));
    check(text != NULL);
    if (length > 0)
        memcpy(text, bytes, length);
    if (with_newline)
        text[length] = '\n';
    return text;
}

static int look_up(const char *spec, const uint8_t *users, size_t users_length, const uint8_t *groups, size_t groups_length,
                   bool with_newline, passwd_identity *ret) {
    char *a = copy(users, users_length, with_newline), *b = copy(groups, groups_length, with_newline);
    int result = passwd_look_up(a, users_length + with_newline, b, groups_length + with_newline, spec, ret);
    free(a);
    free(b);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    const uint8_t *end = bytes + length, *users = length ? memchr(bytes, 0, length) : NULL;
    const uint8_t *groups = users && ++users < end ? memchr(users, 0, (size_t) (end - users)) : NULL;
    if (!groups)
        return 0;
    groups++;
    size_t users_length = (size_t) (groups - users) - 1, groups_length = (size_t) (end - groups);
    static passwd_identity one, two;
    memset(&one, 0xee, sizeof(one));
    memset(&two, 0xee, sizeof(two));
    int result = look_up((const char *) bytes, users, users_length, groups, groups_length, false, &one);
    check(result == 0 || result == -1);
    /* A file's last line may lack its newline, and means the same. */
    check(look_up((const char *) bytes, users, users_length, groups, groups_length, true, &two) == result);
    if (result < 0) {
        check(one.uid == 0xeeeeeeee);
        return 0;
    }
    check(one.uid != UINT32_MAX && one.gid != UINT32_MAX && one.group_count <= PASSWD_GROUPS_MAX);
    check(memchr(one.home, '\0', sizeof(one.home)) != NULL && one.home[0] != '\0');
    for (size_t i = 0; i < one.group_count; i++)
        check(one.groups[i] != UINT32_MAX && one.groups[i] == two.groups[i]);
    check(one.uid == two.uid && one.gid == two.gid && one.group_count == two.group_count && strcmp(one.home, two.home) == 0);
    return 0;
}
