/* SPDX-License-Identifier: Apache-2.0
 *
 * cgroup.c - the box's control group (v2) and one below it for each exec
 *
 * Interface files as in the kernel's admin-guide/cgroup-v2.
 */
#include "guest/cgroup.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What one interface file says at most: cgroup.procs of a full box, 5 digits and a newline for each of 4096 processes, with room. */
#define INTERFACE_FILE_MAX_BYTES ((size_t) 64 << 10)

/* Processes of a group that are held at once while they are signalled. */
#define SIGNAL_BATCH 64

/* "e" and the digits of an unsigned number. */
#define LEAF_NAME_SIZE 16

struct cgroup_leaf {
    int fd;
    int kill_fd;     /* its cgroup.kill, open from the start: killing must not fail for want of a descriptor; -1 on a kernel without */
    unsigned number; /* its name is e<number> */
    bool killed;
    cgroup_leaf *next;
};

static int write_file(int folder, const char *name, const char *text) {
    CLEANUP(cleanup_fd) int fd = openat(folder, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    return fd_write_all(fd, text, strlen(text));
}

static int write_limit(int folder, const char *name, uint64_t limit) {
    char text[32];
    if (limit == 0) /* where there is no such file there has been no limit */
        return write_file(folder, name, "max") < 0 && errno != ENOENT ? -1 : 0;
    (void) snprintf(text, sizeof(text), "%" PRIu64, limit);
    return write_file(folder, name, text);
}

static char *read_file(int folder, const char *name) {
    CLEANUP(cleanup_fd) int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    char *text;
    size_t length;
    return fd >= 0 && fd_read_file(fd, INTERFACE_FILE_MAX_BYTES, &text, &length) == 0 ? text : NULL;
}

/* The number behind "key " at the beginning of a line of an interface file; 0 if there is none. */
static uint64_t find_key(const char *text, const char *key) {
    size_t length = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncmp(line, key, length) == 0 && line[length] == ' ')
            return strtoull(line + length + 1, NULL, 10);
    }
    return 0;
}

static int open_folder(int parent, const char *name) {
    if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
        return -1;
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int cgroup_box_make(cgroup_box *box, const char *parent, uint64_t memory_bytes, uint32_t pids_max, uint32_t cpu_quota_us) {
    char quota[32];
    CLEANUP(cleanup_fd) int above = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (above < 0)
        return -1;
    if ((memory_bytes || pids_max) && write_file(above, "cgroup.subtree_control", "+memory +pids") < 0)
        return -1;
    (void) snprintf(quota, sizeof(quota), "%" PRIu32 " 100000", cpu_quota_us);
    if (cpu_quota_us && write_file(above, "cgroup.subtree_control", "+cpu") < 0)
        return -1;
    CLEANUP(cleanup_fd) int made = box->fd < 0 ? open_folder(above, "box") : -1;
    int fd = box->fd < 0 ? made : box->fd;
    if (fd < 0 || write_limit(fd, "memory.max", memory_bytes) < 0 || write_limit(fd, "pids.max", pids_max) < 0)
        return -1;
    if (cpu_quota_us && write_file(fd, "cpu.max", quota) < 0)
        return -1;
    if (made >= 0)
        box->fd = take_fd(&made);
    return 0;
}

static void name_leaf(unsigned number, char *ret_name, size_t size) {
    (void) snprintf(ret_name, size, "e%u", number);
}

static void free_leaf(cgroup_leaf *leaf) {
    (void) fd_close(leaf->fd);
    (void) fd_close(leaf->kill_fd);
    free(leaf);
}

/* An emptied group: to be used again, or gone where it was killed. */
static void retire(cgroup_box *box, cgroup_leaf *leaf) {
    if (!leaf->killed) {
        leaf->next = box->idle;
        box->idle = leaf;
        return;
    }
    char name[LEAF_NAME_SIZE];
    name_leaf(leaf->number, name, sizeof(name));
    (void) unlinkat(box->fd, name, AT_REMOVEDIR);
    free_leaf(leaf);
}

/* Looks which groups that orphans lived in have become empty. */
static void collect_emptied(cgroup_box *box) {
    for (cgroup_leaf **at = &box->left; *at;) {
        cgroup_leaf *leaf = *at;
        if (cgroup_is_populated(leaf->fd)) {
            at = &leaf->next;
            continue;
        }
        *at = leaf->next;
        retire(box, leaf);
    }
}

void cgroup_box_done(cgroup_box *box) {
    cgroup_leaf *lists[] = {box->idle, box->left};
    for (size_t i = 0; i < 2; i++) {
        for (cgroup_leaf *leaf = lists[i], *next; leaf; leaf = next) {
            next = leaf->next;
            free_leaf(leaf);
        }
    }
    (void) fd_close(box->fd);
    *box = (cgroup_box){.fd = -1};
}

cgroup_leaf *cgroup_leaf_take(cgroup_box *box) {
    errno = 0;
    if (box->fd < 0)
        return NULL;
    if (!box->idle)
        collect_emptied(box);
    if (box->idle) {
        cgroup_leaf *leaf = box->idle;
        box->idle = leaf->next;
        return leaf;
    }
    char name[LEAF_NAME_SIZE];
    cgroup_leaf *leaf = calloc(1, sizeof(*leaf));
    if (!leaf)
        return NULL;
    leaf->number = box->next_number++;
    name_leaf(leaf->number, name, sizeof(name));
    leaf->fd = open_folder(box->fd, name);
    leaf->kill_fd = leaf->fd < 0 ? -1 : openat(leaf->fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (leaf->fd < 0 || (leaf->kill_fd < 0 && errno != ENOENT)) {
        int saved = errno;
        (void) unlinkat(box->fd, name, AT_REMOVEDIR);
        free_leaf(leaf);
        errno = saved;
        return NULL;
    }
    return leaf;
}

void cgroup_leaf_give_back(cgroup_box *box, cgroup_leaf *leaf) {
    if (!leaf)
        return;
    if (!cgroup_is_populated(leaf->fd)) {
        retire(box, leaf);
        return;
    }
    leaf->next = box->left;
    box->left = leaf;
}

void cgroup_leaf_kill(cgroup_leaf *leaf) {
    leaf->killed = true;
    (void) !write(leaf->kill_fd, "1", 1);
}

int cgroup_leaf_fd(const cgroup_leaf *leaf) {
    return leaf ? leaf->fd : -1;
}

void cgroup_kill(int fd) {
    if (fd >= 0)
        (void) write_file(fd, "cgroup.kill", "1");
}

/* The next pid in cgroup.procs' text; 0 at its end. */
static pid_t next_pid(const char **at) {
    char *end;
    long pid = strtol(*at, &end, 10);
    if (end == *at)
        return 0;
    *at = *end == '\n' ? end + 1 : end;
    return (pid_t) pid;
}

static bool lists_pid(const char *procs, pid_t pid) {
    for (pid_t listed; (listed = next_pid(&procs)) != 0;) {
        if (listed == pid)
            return true;
    }
    return false;
}

/* Between reading a pid and using it its process may end and another one get its number. So each is held by a pidfd first, and signalled only
 * if the group, read again, still lists it: then the descriptor is that process's. */
void cgroup_signal(int fd, int signal) {
    struct {
        pid_t pid;
        int pidfd;
    } held[SIGNAL_BATCH];
    CLEANUP(cleanup_free) char *before = fd < 0 ? NULL : read_file(fd, "cgroup.procs");
    const char *at = before ? before : "";
    for (size_t count = SIGNAL_BATCH; count == SIGNAL_BATCH;) {
        count = 0;
        for (pid_t pid; count < SIGNAL_BATCH && (pid = next_pid(&at)) != 0;) {
            held[count].pid = pid;
            held[count].pidfd = process_open(pid);
            if (held[count].pidfd >= 0)
                count++;
        }
        CLEANUP(cleanup_free) char *after = count == 0 ? NULL : read_file(fd, "cgroup.procs");
        for (size_t i = 0; i < count; i++) {
            if (after && lists_pid(after, held[i].pid))
                (void) process_signal(held[i].pidfd, signal);
            (void) fd_close(held[i].pidfd);
        }
    }
}

bool cgroup_is_populated(int fd) {
    if (fd < 0)
        return false;
    CLEANUP(cleanup_free) char *events = read_file(fd, "cgroup.events");
    return !events || find_key(events, "populated") != 0;
}

bool cgroup_take_oom_kill(cgroup_box *box) {
    CLEANUP(cleanup_free) char *events = box->fd < 0 ? NULL : read_file(box->fd, "memory.events");
    if (!events || find_key(events, "oom_kill") <= box->oom_kills_told)
        return false;
    box->oom_kills_told++;
    return true;
}

static uint64_t read_number(int folder, const char *name) {
    CLEANUP(cleanup_free) char *text = read_file(folder, name);
    return text ? strtoull(text, NULL, 10) : 0;
}

static uint64_t read_key(int folder, const char *name, const char *key) {
    CLEANUP(cleanup_free) char *text = read_file(folder, name);
    return text ? find_key(text, key) : 0;
}

msg_measured cgroup_measure(const cgroup_box *box) {
    if (box->fd < 0)
        return (msg_measured){0};
    uint64_t memory = read_number(box->fd, "memory.current"), files = read_key(box->fd, "memory.stat", "inactive_file");
    return (msg_measured){
        .cpu_time_us = read_key(box->fd, "cpu.stat", "usage_usec"),
        .memory_bytes = memory > files ? memory - files : 0,
        .pids = (uint32_t) read_number(box->fd, "pids.current"),
    };
}
