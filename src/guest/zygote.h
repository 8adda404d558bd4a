/* SPDX-License-Identifier: Apache-2.0
 *
 * zygote.h - the process that creates every process of the container
 */
#ifndef GUEST_ZYGOTE_H
#define GUEST_ZYGOTE_H

#include "wire/message.h"

#include <sys/resource.h>
#include <sys/types.h>

/* Longest datagram between agent and zygote, either way. What is longer (a program's arguments) travels by memory file. */
#define ZYGOTE_DATAGRAM_MAX_BYTES 8192u

/* Processes that may be running, or ended and not yet reported, at once. Above any sensible pids limit for execs. */
#define ZYGOTE_PROCESSES_MAX 4096u

/* What wait4(2) said, as the message that tells it. */
msg_ended zygote_ended_message(uint32_t exec_id, int wait_status, const struct rusage *usage);

/* Forks the zygote; to be called before this process has opened, started or allocated anything.
 *
 * @ret_socket  the agent's end of the seqpacket pair, nonblocking
 * The zygote's pid, or -1 with errno. */
pid_t zygote_fork(int *ret_socket);

#endif
