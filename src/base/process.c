/* SPDX-License-Identifier: Apache-2.0
 *
 * process.c - naming a process so that a recycled pid is not taken for it
 */
#include "base/process.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/size.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STAT_TEXT_SIZE 1024
/* Fields of /proc/PID/stat, proc(5). */
enum { STAT_STATE = 3, STAT_USER_TICKS = 14, STAT_SYSTEM_TICKS = 15, STAT_START_TICKS = 22, STAT_RESIDENT_PAGES = 24 };

/* Its text from the field STAT_STATE on. The command name in field 2 may hold anything, so fields are counted from its last ')'. */
static int read_stat(pid_t pid, char text[STAT_TEXT_SIZE], const char **ret_fields) {
    char path[64];
    (void) snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
    CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT)
            errno = ESRCH;
        return -1;
    }
    ssize_t n = fd_read_full(fd, text, STAT_TEXT_SIZE - 1);
    if (n < 0)
        return -1;
    text[n] = '\0';
    const char *at = strrchr(text, ')');
    if (!at || at[1] != ' ') {
        errno = EINVAL;
        return -1;
    }
    *ret_fields = at + 2;
    return 0;
}

/* 0 where there are not so many. */
static uint64_t field_number(const char *fields, int field) {
    for (int at = STAT_STATE; at < field; at++) {
        fields = strchr(fields, ' ');
        if (!fields)
            return 0;
        fields++;
    }
    return strtoull(fields, NULL, 10);
}

int process_identify(pid_t pid, process_id *ret_id) {
    char text[STAT_TEXT_SIZE];
    const char *fields;
    if (read_stat(pid, text, &fields) < 0)
        return -1;
    *ret_id = (process_id){pid, field_number(fields, STAT_START_TICKS)};
    return 0;
}

int process_measure(pid_t pid, process_usage *ret_usage) {
    char text[STAT_TEXT_SIZE];
    const char *fields;
    if (read_stat(pid, text, &fields) < 0)
        return -1;
    uint64_t ticks = field_number(fields, STAT_USER_TICKS) + field_number(fields, STAT_SYSTEM_TICKS);
    *ret_usage = (process_usage){
        .cpu_time_us = ticks * 1000000u / (uint64_t) sysconf(_SC_CLK_TCK),
        .memory_bytes = field_number(fields, STAT_RESIDENT_PAGES) * (uint64_t) sysconf(_SC_PAGESIZE),
    };
    return 0;
}

bool process_is_alive(process_id id) {
    char text[STAT_TEXT_SIZE];
    const char *fields;
    if (id.pid <= 0 || read_stat(id.pid, text, &fields) < 0)
        return false;
    return field_number(fields, STAT_START_TICKS) == id.start_ticks && *fields != 'Z' && *fields != 'X';
}

int process_open(pid_t pid) {
    return (int) syscall(SYS_pidfd_open, pid, 0);
}

int process_open_exact(process_id id) {
    CLEANUP(cleanup_fd) int pidfd = process_open(id.pid);
    if (pidfd < 0 || process_is_alive(id)) /* asked after opening: the descriptor is that process's */
        return take_fd(&pidfd);
    errno = ESRCH;
    return -1;
}

int process_signal(int pidfd, int signal) {
    return (int) syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

/* The signals that users name, signal(7). */
static const struct {
    int number;
    const char *name;
} signal_names[] = {
    {SIGHUP, "HUP"},   {SIGINT, "INT"},   {SIGQUIT, "QUIT"}, {SIGILL, "ILL"},       {SIGTRAP, "TRAP"},   {SIGABRT, "ABRT"},
    {SIGBUS, "BUS"},   {SIGFPE, "FPE"},   {SIGKILL, "KILL"}, {SIGUSR1, "USR1"},     {SIGSEGV, "SEGV"},   {SIGUSR2, "USR2"},
    {SIGPIPE, "PIPE"}, {SIGALRM, "ALRM"}, {SIGTERM, "TERM"}, {SIGCHLD, "CHLD"},     {SIGCONT, "CONT"},   {SIGSTOP, "STOP"},
    {SIGTSTP, "TSTP"}, {SIGTTIN, "TTIN"}, {SIGTTOU, "TTOU"}, {SIGURG, "URG"},       {SIGXCPU, "XCPU"},   {SIGXFSZ, "XFSZ"},
    {SIGPROF, "PROF"}, {SIGSYS, "SYS"},   {SIGIO, "IO"},     {SIGVTALRM, "VTALRM"}, {SIGWINCH, "WINCH"}, {SIGPWR, "PWR"},
};

/* Linux's real-time signals end here; the C library's own SIGRTMAX is a call. */
#define SIGNAL_NUMBER_MAX 64

const char *signal_name(int signal) {
    for (size_t i = 0; i < ARRAY_LENGTH(signal_names); i++) {
        if (signal_names[i].number == signal)
            return signal_names[i].name;
    }
    return NULL;
}

int signal_number(const char *name) {
    char *end;
    long number = strtol(name, &end, 10);
    if (end != name && *end == '\0')
        return number >= 1 && number <= SIGNAL_NUMBER_MAX ? (int) number : 0;
    if (strncasecmp(name, "SIG", 3) == 0)
        name += 3;
    for (size_t i = 0; i < ARRAY_LENGTH(signal_names); i++) {
        if (strcasecmp(signal_names[i].name, name) == 0)
            return signal_names[i].number;
    }
    return 0;
}
