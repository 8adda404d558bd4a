/* SPDX-License-Identifier: Apache-2.0
 *
 * processes.c - what runs in the container, told by a process of it
 *
 * Theory of operation
 *   Like the copier (copy.c) an exec that goes on in this program: the image may have no ps, and the agent, which sees other numbers than the box,
 *   opens nothing of the container's. It reads the container's /proc, proc(5). A process that ends meanwhile is left out.
 */
#include "guest/processes.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/strv.h"
#include "wire/limits.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define STAT_MAX_BYTES 4096u
#define COMMAND_MAX_BYTES 4096u
#define NUMBER_SIZE 24u

typedef struct process {
    char state;
    uint64_t parent, cpu_us, age_ms;
    char name[64];
} process;

/* Up to @size - 1 bytes of a file; -1 with errno. */
static ssize_t read_some(int folder, const char *name, char *text, size_t size) {
    CLEANUP(cleanup_fd) int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : fd_read_full(fd, text, size - 1);
    text[n < 0 ? 0 : n] = '\0';
    return n;
}

static uint64_t now_ms(void) {
    struct timespec now;
    (void) clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t) now.tv_sec * 1000u + (uint64_t) now.tv_nsec / 1000000u;
}

/* The name stands in parentheses and may hold some; the fields behind it are counted from 3, as in proc(5). */
static bool read_stat(int folder, process *p) {
    char text[STAT_MAX_BYTES], *name, *at;
    uint64_t fields[23] = {0}, ticks = (uint64_t) sysconf(_SC_CLK_TCK);
    if (read_some(folder, "stat", text, sizeof(text)) <= 0 || !(name = strchr(text, '(')) || !(at = strrchr(text, ')')) || at[1] != ' ')
        return false;
    *at = '\0';
    (void) snprintf(p->name, sizeof(p->name), "[%.60s]", name + 1);
    p->state = at[2];
    at += 3;
    for (size_t i = 4; i < sizeof(fields) / sizeof(fields[0]); i++)
        fields[i] = strtoull(at, &at, 10);
    p->parent = fields[4];
    p->cpu_us = (fields[14] + fields[15]) * (1000000u / ticks);
    uint64_t began_ms = fields[22] * (1000u / ticks), now = now_ms();
    p->age_ms = now > began_ms ? now - began_ms : 0;
    return true;
}

/* The real user's number; "0" where it cannot be read any more. */
static void read_user(int folder, char ret_user[NUMBER_SIZE]) {
    char text[STAT_MAX_BYTES];
    const char *line = read_some(folder, "status", text, sizeof(text)) > 0 ? strstr(text, "\nUid:") : NULL;
    (void) snprintf(ret_user, NUMBER_SIZE, "%lu", line ? strtoul(line + strlen("\nUid:"), NULL, 10) : 0ul);
}

/* Its words with spaces between; its name where it has none, as kernel threads and the dead. */
static void read_command(int folder, const char *name, char command[COMMAND_MAX_BYTES]) {
    ssize_t n = read_some(folder, "cmdline", command, COMMAND_MAX_BYTES);
    while (n > 0 && command[n - 1] == '\0')
        n--;
    for (ssize_t i = 0; i < n; i++) {
        if (command[i] == '\0')
            command[i] = ' ';
    }
    if (n <= 0)
        (void) snprintf(command, COMMAND_MAX_BYTES, "%s", name);
}

static bool add_number(buf *words, uint64_t number) {
    char text[NUMBER_SIZE];
    (void) snprintf(text, sizeof(text), "%" PRIu64, number);
    return strv_add(words, text);
}

/* False: out of memory. */
static bool add_process(int proc, const char *pid, buf *words) {
    CLEANUP(cleanup_fd) int folder = openat(proc, pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char user[NUMBER_SIZE], command[COMMAND_MAX_BYTES];
    process p;
    if (folder < 0 || !read_stat(folder, &p))
        return true;
    read_user(folder, user);
    read_command(folder, p.name, command);
    return strv_add(words, pid) && add_number(words, p.parent) && strv_add(words, user) && strv_add(words, (char[]){p.state, '\0'}) &&
           add_number(words, p.cpu_us) && add_number(words, p.age_ms) && strv_add(words, command);
}

static const char *tell_all(void) {
    CLEANUP(buf_done) buf words;
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    bool good = true;
    buf_init(&words, WIRE_PROCESSES_MAX_BYTES);
    while (folder && good && (entry = readdir(folder))) {
        if (isdigit((unsigned char) entry->d_name[0]) && strtol(entry->d_name, NULL, 10) != getpid())
            good = add_process(dirfd(folder), entry->d_name, &words);
    }
    if (!folder)
        return strerror(errno);
    (void) closedir(folder);
    if (!good)
        return "there are too many to tell";
    return fd_write_all(STDOUT_FILENO, buf_bytes(&words), buf_length(&words)) < 0 ? strerror(errno) : NULL;
}

_Noreturn void processes_become(void) {
    (void) prctl(PR_SET_NAME, "top");
    fd_close_others(STDERR_FILENO, STDERR_FILENO); /* the zygote's are ours until here */
    const char *why = tell_all();
    if (why)
        (void) dprintf(STDERR_FILENO, "list the processes: %s\n", why);
    _exit(why ? 1 : 0);
}
