/* SPDX-License-Identifier: Apache-2.0
 *
 * process.h - naming a process so that a recycled pid is not taken for it
 */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A pid alone is reused; together with the start time it names one process of this boot. */
typedef struct process_id {
    pid_t pid;
    uint64_t start_ticks; /* field 22 of /proc/PID/stat, proc(5); 0 when unknown */
} process_id;

/* 0, or -1 with errno (ESRCH: no such process). */
int process_identify(pid_t pid, process_id *ret_id);

/* Whether exactly that process is still there; a zombie counts as gone. */
bool process_is_alive(process_id id);

typedef struct process_usage {
    uint64_t cpu_time_us;  /* user and system, all threads */
    uint64_t memory_bytes; /* resident */
} process_usage;

/* What a process has taken so far, proc(5). 0, or -1 with errno. */
int process_measure(pid_t pid, process_usage *ret_usage);

/* pidfd_open(2), CLOEXEC; -1 with errno. */
int process_open(pid_t pid);
/* The same of exactly that process; -1 with errno when it is gone. */
int process_open_exact(process_id id);
/* pidfd_send_signal(2); 0, or -1 with errno. */
int process_signal(int pidfd, int signal);

/* The name of a signal without SIG ("TERM"), or NULL; and its number from "TERM", "SIGTERM" or "15", 0 if there is none. */
const char *signal_name(int signal);
int signal_number(const char *name);

#endif
