/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c - nestbox-guest: PID 1 of a box's machine
 *
 *     nestbox-guest                                  as PID 1: boots the machine, runs the agent, powers off
 *     nestbox-guest --rehearse                       in a container that is no box's yet: writes a word, and ends
 *     nestbox-guest --native LINK_FD ROOTFS CGROUP   in namespaces of the caller's making, for tests: ROOTFS is a folder, CGROUP a
 *                                                    cgroup2 folder or "-" for none
 */
#include "guest/agent.h"
#include "guest/boot.h"
#include "guest/zygote.h"
#include "wire/rehearsal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whoever runs out of memory in the machine, it is not one of us two; spawn.c takes it back for what the zygote starts. */
static void protect_from_oom_killer(pid_t pid) {
    char path[64];
    (void) snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int) pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    (void) !write(fd, "-1000", 5);
    (void) close(fd);
}

static _Noreturn void run_machine(int zygote_fd, pid_t zygote_pid) {
    int link_fd = boot_machine();
    if (link_fd >= 0) {
        protect_from_oom_killer(getpid());
        protect_from_oom_killer(zygote_pid);
        agent_run(&(agent_places){.disk = BOOT_DISK, .rootfs = BOOT_ROOTFS, .cgroup = BOOT_CGROUP, .is_machine = true}, link_fd, zygote_fd,
                  zygote_pid);
    }
    boot_power_off();
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], WIRE_REHEARSAL_WORD) == 0)
        return write(STDOUT_FILENO, "\n", 1) == 1 ? 0 : 1;
    int zygote_fd;
    pid_t zygote_pid = zygote_fork(&zygote_fd); /* before all else: see zygote.c */
    if (zygote_pid < 0) {
        (void) dprintf(STDERR_FILENO, "nestbox-guest: fork the zygote: %s\n", strerror(errno));
        return 1;
    }
    if (getpid() == 1 && argc < 5)
        run_machine(zygote_fd, zygote_pid);
    if (argc != 5 || strcmp(argv[1], "--native") != 0) {
        (void) dprintf(STDERR_FILENO, "usage: nestbox-guest --native LINK_FD ROOTFS CGROUP|-\n");
        return 2;
    }
    char *end;
    long link_fd = strtol(argv[2], &end, 10);
    if (*end || link_fd < 3 || link_fd > 1023) {
        (void) dprintf(STDERR_FILENO, "nestbox-guest: '%s' is no descriptor from 3 to 1023\n", argv[2]);
        return 2;
    }
    agent_run(&(agent_places){.rootfs = argv[3], .cgroup = strcmp(argv[4], "-") == 0 ? NULL : argv[4]}, (int) link_fd, zygote_fd,
              zygote_pid);
    return 0;
}
