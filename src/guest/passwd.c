/* SPDX-License-Identifier: Apache-2.0
 *
 * passwd.c - who a process runs as, from the image's own files
 */
#include "guest/passwd.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* (uid_t) -1 means "leave as it is" to the kernel. */
#define ID_MAX (UINT32_MAX - 1)
#define FIELDS_MAX 7

typedef struct text {
    const char *at;
    size_t length;
} text;

static bool text_is(text t, const char *string, size_t length) {
    return t.length == length && memcmp(t.at, string, length) == 0;
}

static bool parse_number(text t, uint32_t *ret_number) {
    uint64_t number = 0;
    if (t.length == 0 || t.length > 10)
        return false;
    for (size_t i = 0; i < t.length; i++) {
        if (t.at[i] < '0' || t.at[i] > '9')
            return false;
        number = number * 10 + (uint64_t) (t.at[i] - '0');
    }
    if (number > ID_MAX)
        return false;
    *ret_number = (uint32_t) number;
    return true;
}

/* The next line's fields, split at ':'. The number of fields, or -1 at the end. */
static int next_line(text *rest, text fields[FIELDS_MAX]) {
    if (rest->length == 0)
        return -1;
    const char *newline = memchr(rest->at, '\n', rest->length);
    size_t length = newline ? (size_t) (newline - rest->at) : rest->length;
    text line = {rest->at, length};
    size_t taken = length + (newline ? 1 : 0);
    rest->at += taken;
    rest->length -= taken;

    int count = 0;
    while (count < FIELDS_MAX) {
        const char *colon = memchr(line.at, ':', line.length);
        size_t field = colon ? (size_t) (colon - line.at) : line.length;
        fields[count++] = (text){line.at, field};
        if (!colon)
            break;
        line.at += field + 1;
        line.length -= field + 1;
    }
    return count;
}

/* passwd(5): name:password:uid:gid:gecos:home:shell */
static bool find_user(text users, text wanted, bool by_number, uint32_t number, passwd_identity *identity, text *ret_name) {
    text fields[FIELDS_MAX];
    int count;
    while ((count = next_line(&users, fields)) >= 0) {
        uint32_t uid, gid;
        if (count < 4 || fields[0].length == 0 || !parse_number(fields[2], &uid) || !parse_number(fields[3], &gid))
            continue;
        if (by_number ? uid != number : !text_is(fields[0], wanted.at, wanted.length))
            continue;
        identity->uid = uid;
        identity->gid = gid;
        if (count >= 6 && fields[5].length > 0 && fields[5].length < sizeof(identity->home))
            (void) snprintf(identity->home, sizeof(identity->home), "%.*s", (int) fields[5].length, fields[5].at);
        *ret_name = fields[0];
        return true;
    }
    return false;
}

/* group(5): name:password:gid:member,member */
static bool find_group(text groups, text wanted, uint32_t *ret_gid) {
    text fields[FIELDS_MAX];
    int count;
    while ((count = next_line(&groups, fields)) >= 0) {
        uint32_t gid;
        if (count >= 3 && text_is(fields[0], wanted.at, wanted.length) && parse_number(fields[2], &gid)) {
            *ret_gid = gid;
            return true;
        }
    }
    return false;
}

static bool is_member(text members, text name) {
    while (members.length > 0) {
        const char *comma = memchr(members.at, ',', members.length);
        size_t length = comma ? (size_t) (comma - members.at) : members.length;
        if (text_is((text){members.at, length}, name.at, name.length))
            return true;
        size_t taken = length + (comma ? 1 : 0);
        members.at += taken;
        members.length -= taken;
    }
    return false;
}

static void add_supplementary(text groups, text name, passwd_identity *identity) {
    text fields[FIELDS_MAX];
    int count;
    while ((count = next_line(&groups, fields)) >= 0 && identity->group_count < PASSWD_GROUPS_MAX) {
        uint32_t gid;
        if (count >= 4 && parse_number(fields[2], &gid) && gid != identity->gid && is_member(fields[3], name))
            identity->groups[identity->group_count++] = gid;
    }
}

int passwd_look_up(const char *users, size_t users_length, const char *groups, size_t groups_length, const char *spec,
                   passwd_identity *ret_identity) {
    passwd_identity identity = {.home = "/"};
    text name = {spec, strcspn(spec, ":")};
    bool has_group = spec[name.length] == ':';
    text group = {spec + name.length + 1, has_group ? strlen(spec + name.length + 1) : 0};
    text all_users = {users, users_length}, all_groups = {groups, groups_length};
    if (name.length == 0)
        name = (text){"0", 1};
    if (has_group && group.length == 0)
        return -1;

    /* A name counts before a number, as in Docker: a user may be called "1000". */
    text found_name = {0};
    uint32_t number;
    bool found = find_user(all_users, name, false, 0, &identity, &found_name);
    if (!found) {
        if (!parse_number(name, &number))
            return -1;
        found = find_user(all_users, name, true, number, &identity, &found_name);
        if (!found) {
            identity.uid = number;
            identity.gid = 0;
        }
    }
    if (has_group) {
        if (!find_group(all_groups, group, &identity.gid) && !parse_number(group, &identity.gid))
            return -1;
    }
    /* The group itself is among them: a program with the set-group-id bit, which changes the first, must not be a way out of it
     * (CVE-2022-36109, of the engine that this was found in). */
    identity.groups[identity.group_count++] = identity.gid;
    if (!has_group && found)
        add_supplementary(all_groups, found_name, &identity);
    *ret_identity = identity;
    return 0;
}
