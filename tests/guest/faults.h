/* SPDX-License-Identifier: Apache-2.0
 *
 * faults.h - calls of the guest that fail when a test wants them to
 *
 * Theory of operation
 *   The agent under test is linked from the product's own objects, with the linker's --wrap for the calls below. Each goes through faults.c,
 *   which looks into a page that test, agent, zygote and new processes share: the file that $NESTBOX_TEST_FAULTS names, mapped before main().
 *   The test arms one fault: the call, whose call, and the how manieth from now on; it happens once. A call on a program's way into a box is
 *   made in one of three roles, and a process knows its own: it starts as the agent, becomes the zygote by fork(), a new process by clone3().
 */
#ifndef TEST_FAULTS_H
#define TEST_FAULTS_H

#include <stdatomic.h>

#define FAULTS_VARIABLE "NESTBOX_TEST_FAULTS"

typedef enum fault_role { FAULT_IN_AGENT, FAULT_IN_ZYGOTE, FAULT_IN_CHILD } fault_role;

typedef enum fault_call {
    FAULT_NONE,
    FAULT_CLONE3,
    FAULT_PIPE2,
    FAULT_MEMFD_CREATE,
    FAULT_SENDMSG,
    FAULT_RECVMSG,
    FAULT_SOCKETPAIR,
    FAULT_OPENAT,
    FAULT_MALLOC,
    FAULT_CALLOC,
    FAULT_EPOLL_CTL,
    FAULT_FCNTL,
} fault_call;

/* In place of an errno. */
#define FAULT_HANG (-1)             /* the call does not come back; the process can be killed */
#define FAULT_LOSE_DESCRIPTORS (-2) /* recvmsg: the message comes, its descriptors do not: the table of open files is full */

typedef struct fault_page {
    _Atomic fault_call call; /* FAULT_NONE: nothing is armed. Written last. */
    fault_role role;
    int error;
    atomic_int left;  /* so many calls go through first */
    atomic_int fired; /* the fault has happened */
} fault_page;

#endif
