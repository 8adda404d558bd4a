/* SPDX-License-Identifier: Apache-2.0
 *
 * host-cgroup.c - the host's control groups, which hold a machine's process whatever its guest does
 *
 * Theory of operation
 *   A host has the controllers cpu, memory and pids each in a hierarchy of version 1, or in the unified one, or not at all; which, is seen from
 *   where this process stands (/proc/self/cgroup) and what is mounted. In version 1 a group for the machine goes below our own. In version 2
 *   that works only where our own has no processes beside, which is the root of all; elsewhere the group goes beside ours, if whoever
 *   delegated the tree to us has left us that. Not further up: a group there would escape limits that were meant for us.
 */
#include "machine/host-cgroup.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/size.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROC_TEXT_MAX_BYTES ((size_t) 1 << 20)
#define INTERFACE_FILE_MAX_BYTES ((size_t) 64 << 10)
#define VALUE_SIZE 64u
#define GROUP_PREFIX "nestbox-"

typedef struct limit_kind {
    unsigned bit;
    const char *name, *file_v1, *file_v2;
} limit_kind;

static const limit_kind controllers[] = {
    {HOST_LIMIT_CPU, "cpu", "cpu.cfs_quota_us", "cpu.max"},
    {HOST_LIMIT_MEMORY, "memory", "memory.limit_in_bytes", "memory.max"},
    {HOST_LIMIT_TASKS, "pids", "pids.max", "pids.max"},
};

static uint64_t limit_of(const host_limits *limits, unsigned bit) {
    switch (bit) {
    case HOST_LIMIT_CPU:
        return limits->cpu_us;
    case HOST_LIMIT_MEMORY:
        return limits->memory_bytes;
    default:
        return limits->tasks;
    }
}

unsigned host_limits_wanted(const host_limits *limits) {
    unsigned wanted = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(controllers); i++)
        wanted |= limit_of(limits, controllers[i].bit) ? controllers[i].bit : 0;
    return wanted;
}

void host_cgroup_name(const char *box_id, char *ret_name) {
    (void) snprintf(ret_name, HOST_CGROUP_NAME_SIZE, GROUP_PREFIX "%s", box_id);
}

/* ------------------------------------------------------------------------------------------------ where a process stands */

/* Whether the list of words up to @end has this one. */
static bool list_has(const char *list, const char *end, char separator, const char *word) {
    size_t length = strlen(word);
    while (list < end) {
        const char *stop = memchr(list, separator, (size_t) (end - list));
        stop = stop ? stop : end;
        if ((size_t) (stop - list) == length && memcmp(list, word, length) == 0)
            return true;
        list = stop + 1;
    }
    return false;
}

static const char *line_end(const char *line) {
    return line + strcspn(line, "\n");
}

/* The @index-th word of a line, from 0; empty where there is none. */
static const char *word_at(const char *line, unsigned index, size_t *ret_length) {
    for (; index > 0; index--) {
        line += strcspn(line, " \n");
        line += *line == ' ';
    }
    *ret_length = strcspn(line, " \n");
    return line;
}

/* A line of mountinfo, proc(5): where the hierarchy is mounted, and which of its groups shows there as the topmost. NULL for version 2. */
static bool is_mount_of(const char *line, const char *controller_name) {
    const char *end = line_end(line), *rest = memmem(line, (size_t) (end - line), " - ", 3);
    size_t length;
    if (!rest)
        return false;
    const char *type = word_at(rest + 3, 0, &length);
    if (!controller_name)
        return length == strlen("cgroup2") && memcmp(type, "cgroup2", length) == 0;
    if (length != strlen("cgroup") || memcmp(type, "cgroup", length) != 0)
        return false;
    const char *options = word_at(rest + 3, 2, &length);
    return list_has(options, options + length, ',', controller_name);
}

/* The folder of the group @path, of @path_length, in the hierarchy that is mounted. */
static bool join_mount(const char *mounts, const char *controller_name, const char *path, size_t path_length, char *ret_path) {
    const char *line = mounts;
    while (*line && !is_mount_of(line, controller_name)) {
        line = line_end(line);
        line += *line == '\n';
    }
    if (!*line)
        return false;
    size_t root_length, at_length;
    const char *root = word_at(line, 3, &root_length), *at = word_at(line, 4, &at_length);
    if (root_length == 1)
        root_length = 0; /* "/" */
    if (path_length < root_length || memcmp(path, root, root_length) != 0 || (path_length > root_length && path[root_length] != '/'))
        return false; /* it stands outside of what can be seen */
    path += root_length;
    path_length -= root_length;
    if (path_length == 1)
        path_length = 0;
    if (memmem(path, path_length, "/../", 4) || (path_length >= 3 && memcmp(path + path_length - 3, "/..", 3) == 0))
        return false;
    int n = snprintf(ret_path, PATH_MAX, "%.*s%.*s", (int) at_length, at, (int) path_length, path);
    return n > 0 && n < PATH_MAX;
}

bool host_cgroup_find(const char *membership, const char *mounts, const char *controller, char *ret_path, bool *ret_is_v1) {
    const char *unified = NULL;
    for (const char *line = membership; *line; line = line_end(line), line += *line == '\n') {
        const char *end = line_end(line), *list = memchr(line, ':', (size_t) (end - line));
        const char *path = list ? memchr(list + 1, ':', (size_t) (end - list - 1)) : NULL;
        if (!path)
            continue;
        if (list_has(list + 1, path, ',', controller)) {
            *ret_is_v1 = true;
            return join_mount(mounts, controller, path + 1, (size_t) (end - path - 1), ret_path);
        }
        if (strncmp(line, "0::", 3) == 0)
            unified = path + 1;
    }
    *ret_is_v1 = false;
    return unified && join_mount(mounts, NULL, unified, (size_t) (line_end(unified) - unified), ret_path);
}

/* What the two texts of host_cgroup_find() are for @pid. */
typedef struct standing {
    char *membership, *mounts;
} standing;

static bool read_standing(pid_t pid, standing *s) {
    char name[32];
    size_t length;
    (void) snprintf(name, sizeof(name), "/proc/%d/cgroup", (int) pid);
    *s = (standing){0};
    return file_read(AT_FDCWD, name, PROC_TEXT_MAX_BYTES, &s->membership, &length) == 0 &&
           file_read(AT_FDCWD, "/proc/self/mountinfo", PROC_TEXT_MAX_BYTES, &s->mounts, &length) == 0;
}

static void standing_done(standing *s) {
    free(s->membership);
    free(s->mounts);
}

bool host_cgroup_find_own(const char *controller, char *ret_path, bool *ret_is_v1) {
    CLEANUP(standing_done) standing s;
    return read_standing(getpid(), &s) && host_cgroup_find(s.membership, s.mounts, controller, ret_path, ret_is_v1);
}

/* ------------------------------------------------------------------------------------------------------ one group's files */

static int write_interface(const char *group, const char *name, const char *text) {
    CLEANUP(cleanup_fd) int folder = open(group, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(cleanup_fd) int fd = folder < 0 ? -1 : openat(folder, name, O_WRONLY | O_CLOEXEC);
    return fd < 0 ? -1 : fd_write_all(fd, text, strlen(text));
}

/* The first line of an interface file, without its end; false where there is none. */
static bool read_interface(const char *group, const char *name, char *ret_text, size_t size) {
    CLEANUP(cleanup_fd) int folder = open(group, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length;
    if (folder < 0 || file_read(folder, name, INTERFACE_FILE_MAX_BYTES, &text, &length) < 0)
        return false;
    text[strcspn(text, "\n")] = '\0';
    return (size_t) snprintf(ret_text, size, "%s", text) < size;
}

static bool has_controller(const char *group, const char *file, const char *name) {
    char list[INTERFACE_FILE_MAX_BYTES / 16];
    return read_interface(group, file, list, sizeof(list)) && list_has(list, list + strlen(list), ' ', name);
}

static void limit_text(const limit_kind *c, bool is_v1, uint64_t limit, char *ret_text) {
    if (c->bit == HOST_LIMIT_CPU && !is_v1)
        (void) snprintf(ret_text, VALUE_SIZE, "%" PRIu64 " %u", limit, HOST_CGROUP_PERIOD_US);
    else
        (void) snprintf(ret_text, VALUE_SIZE, "%" PRIu64, limit);
}

static int write_limit(const char *group, const limit_kind *c, bool is_v1, uint64_t limit) {
    char text[VALUE_SIZE];
    limit_text(c, is_v1, limit, text);
    if (c->bit == HOST_LIMIT_CPU && is_v1) {
        char period[VALUE_SIZE];
        (void) snprintf(period, sizeof(period), "%u", HOST_CGROUP_PERIOD_US);
        if (write_interface(group, "cpu.cfs_period_us", period) < 0)
            return -1;
    }
    return write_interface(group, is_v1 ? c->file_v1 : c->file_v2, text);
}

/* ---------------------------------------------------------------------------------------------------------------- placing */

static void note(host_cgroup *g, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void note(host_cgroup *g, int error, const char *format, ...) {
    va_list arguments;
    if (g->why[0])
        return;
    va_start(arguments, format);
    int n = vsnprintf(g->why, sizeof(g->why), format, arguments);
    va_end(arguments);
    if (error && n > 0 && (size_t) n < sizeof(g->why))
        (void) snprintf(g->why + n, sizeof(g->why) - (size_t) n, ": %s", strerror(error));
}

static bool is_made(const host_cgroup *g, const char *group) {
    for (size_t i = 0; i < g->group_count; i++) {
        if (strcmp(g->groups[i], group) == 0)
            return true;
    }
    return false;
}

/* Makes the group @name below @parent, remembers it, and moves the process there. */
static int make_group(host_cgroup *g, const char *parent, const char *name, pid_t pid, char *ret_group) {
    char number[VALUE_SIZE];
    if ((size_t) snprintf(ret_group, PATH_MAX, "%s/%s", parent, name) >= PATH_MAX || g->group_count == HOST_CGROUP_GROUPS_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (is_made(g, ret_group))
        return 0; /* two controllers, one hierarchy */
    if (mkdir(ret_group, 0755) < 0 && errno != EEXIST)
        return -1;
    (void) snprintf(number, sizeof(number), "%d", (int) pid);
    if (write_interface(ret_group, "cgroup.procs", number) < 0) {
        int error = errno;
        (void) rmdir(ret_group);
        errno = error;
        return -1;
    }
    (void) snprintf(g->groups[g->group_count++], PATH_MAX, "%s", ret_group);
    return 0;
}

/* Has the groups below @parent be limited in what @c controls. */
static int enable_below(const char *parent, const limit_kind *c) {
    char text[VALUE_SIZE];
    if (has_controller(parent, "cgroup.subtree_control", c->name))
        return 0;
    (void) snprintf(text, sizeof(text), "+%s", c->name);
    return write_interface(parent, "cgroup.subtree_control", text);
}

/* The group of version 2: below our own, @own, or beside it. */
static int make_unified(host_cgroup *g, const char *own, const char *name, const limit_kind *c, pid_t pid, char *ret_group) {
    char beside[PATH_MAX];
    if (g->group_count > 0 && !g->is_v1) { /* made for another limit: in the same place, or not at all */
        (void) snprintf(ret_group, PATH_MAX, "%s", g->groups[0]);
        (void) snprintf(beside, sizeof(beside), "%s", g->groups[0]);
        *strrchr(beside, '/') = '\0';
        return enable_below(beside, c);
    }
    if (enable_below(own, c) == 0 && make_group(g, own, name, pid, ret_group) == 0)
        return 0;
    (void) snprintf(beside, sizeof(beside), "%s", own);
    char *last = strrchr(beside, '/');
    if (last == beside || !has_controller(own, "cgroup.controllers", c->name))
        return -1;
    *last = '\0';
    int error = errno;
    if (enable_below(beside, c) == 0 && make_group(g, beside, name, pid, ret_group) == 0)
        return 0;
    errno = error;
    return -1;
}

static void apply(host_cgroup *g, const standing *s, const limit_kind *c, pid_t pid, const char *name, uint64_t limit) {
    char own[PATH_MAX], group[PATH_MAX];
    bool is_v1;
    if (!host_cgroup_find(s->membership, s->mounts, c->name, own, &is_v1)) {
        note(g, 0, "%s: no control groups are to be seen here", c->name);
        return;
    }
    if (!is_v1 && !has_controller(own, "cgroup.controllers", c->name)) {
        note(g, 0, "%s: '%s' has not been given that controller", c->name, own);
        return;
    }
    int made = is_v1 ? make_group(g, own, name, pid, group) : make_unified(g, own, name, c, pid, group);
    if (made < 0) {
        note(g, errno, "%s: make a control group below '%s'", c->name, own);
        return;
    }
    g->is_v1 = g->is_v1 || is_v1;
    if (write_limit(group, c, is_v1, limit) < 0)
        note(g, errno, "%s: write the limit of '%s'", c->name, group);
    else
        g->applied |= c->bit;
}

void host_cgroup_place(pid_t pid, const char *name, const host_limits *limits, host_cgroup *ret) {
    CLEANUP(standing_done) standing s;
    *ret = (host_cgroup){0};
    if (!read_standing(getpid(), &s)) {
        note(ret, errno, "read '/proc/self/cgroup'");
        return;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(controllers); i++) {
        uint64_t limit = limit_of(limits, controllers[i].bit);
        if (limit)
            apply(ret, &s, &controllers[i], pid, name, limit);
    }
}

unsigned host_cgroup_look(pid_t pid, const char *name, const host_limits *limits) {
    CLEANUP(standing_done) standing s;
    unsigned hold = 0;
    if (!read_standing(pid, &s))
        return 0;
    for (size_t i = 0; i < ARRAY_LENGTH(controllers); i++) {
        const limit_kind *c = &controllers[i];
        char group[PATH_MAX], wanted[VALUE_SIZE], is[VALUE_SIZE];
        bool is_v1;
        if (!limit_of(limits, c->bit) || !host_cgroup_find(s.membership, s.mounts, c->name, group, &is_v1))
            continue;
        const char *last = strrchr(group, '/');
        limit_text(c, is_v1, limit_of(limits, c->bit), wanted);
        if (last && strcmp(last + 1, name) == 0 && read_interface(group, is_v1 ? c->file_v1 : c->file_v2, is, sizeof(is)) &&
            strcmp(is, wanted) == 0)
            hold |= c->bit;
    }
    return hold;
}

void host_cgroup_remove(const char *group) {
    const char *last = strrchr(group, '/');
    if (last && strncmp(last + 1, GROUP_PREFIX, strlen(GROUP_PREFIX)) == 0)
        (void) rmdir(group);
}
