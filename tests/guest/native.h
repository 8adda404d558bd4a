/* SPDX-License-Identifier: Apache-2.0
 *
 * native.h - the agent without a machine: in namespaces of its own on this host, and the host's side of its link
 *
 * Theory of operation
 *   The agent, built with the sanitizers, is PID 1 of a pid namespace, so that nothing outlives it whatever a test does. Its root file system
 *   is a copy of the built-in image in a temporary folder, its control group a child of this host's cgroup2 hierarchy, where there is one. The
 *   test is the host: frames are read by native_pump(), which files what comes under its exec and checks the order that the protocol promises;
 *   a test that wants to break the protocol writes frames of its own making.
 */
#ifndef TEST_NATIVE_H
#define TEST_NATIVE_H

#include "base/buf.h"
#include "base/strv.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <stdbool.h>
#include <sys/types.h>

/* Execs that are remembered at once; an id beyond takes the place of one that was forgotten. */
#define NATIVE_EXECS_MAX 4096u

/* Far beyond what anything here takes on a busy machine. */
#define NATIVE_WAIT_MS 30000

#define LIST(text) ((strv){(text), sizeof(text) - 1})

typedef struct native_exec {
    uint32_t id;
    buf out[2]; /* what came, unless it is only counted */
    size_t received[2];
    uint32_t ungranted[2]; /* bytes not yet granted again */
    bool ended[2];
    bool spawned, failed, exited;
    bool count_only; /* drop the bytes */
    bool hold;       /* grant nothing */
    uint32_t pid;
    msg_spawn_failed failure;
    msg_exited exit;
    uint32_t stdin_credit;
} native_exec;

typedef struct native {
    int fd; /* our end of the link; -1 once it is over */
    buf in, out;
    bool sending;
    pid_t keeper; /* our child, which waits for the agent and ends as it did */
    pid_t agent, zygote;
    char cgroup[288]; /* "" where there is none */
    bool set_up, goodbye;
    bool noisy; /* what comes is only counted off, not judged: for tests that break the protocol themselves */
    uint32_t next_id;
    native_exec *execs[NATIVE_EXECS_MAX];
} native;

/* Why nothing can be tested here, or NULL. Prepares what all tests share. */
const char *native_prepare(void);
void native_clean_up(void);

/* The root file system as a path of this host. */
const char *native_rootfs(void);
bool native_has_cgroup(void);

/* Starts an agent. native_begin() says HELLO and no more; native_start() sets the box up too. */
native *native_begin(void);
native *native_start(unsigned setup_flags);
/* Sends a SETUP and waits until it is done. */
void native_set_up(native *n, const msg_setup *setup);
/* Ends it by closing the link, and expects it to end well: nothing left running, no leak. */
void native_stop(native *n);
/* Waits for the agent's end. Its wait status. */
int native_wait_end(native *n);

/* Sends whole frames, in order; takes what comes meanwhile. Frees the buffer. */
void native_send(native *n, buf *frames);
#define native_tell(native_, encoder, message)                       \
    do {                                                             \
        buf native_frames;                                           \
        buf_init(&native_frames, WIRE_READ_BUFFER_BYTES);            \
        assert_true(wire_control(&native_frames, encoder, message)); \
        native_send(native_, &native_frames);                        \
    } while (0)

/* Begins an exec; @request's id, environment and terminal size are filled in where they are 0. Returns its id. */
uint32_t native_spawn(native *n, msg_spawn request);
/* `sh -c @script`. */
uint32_t native_shell(native *n, const char *script);

/* Waits for one thing to come. False: the link is over. Fails the test when nothing comes at all. */
bool native_pump(native *n);
/* The same, waiting so long at most. False: nothing came, or the link is over (@n->fd is -1). */
bool native_pump_for(native *n, int timeout_ms);
/* Takes what is there and returns when nothing comes for a moment. */
void native_settle(native *n);

native_exec *native_get(native *n, uint32_t id);
/* After its end: its memory is given back, and its place is free for another id. */
void native_forget(native *n, uint32_t id);
/* Reads on after native_exec.hold: grants what was held back. */
void native_release(native *n, uint32_t id);
/* Until it has ended or could not begin. */
native_exec *native_wait(native *n, uint32_t id);
native_exec *native_wait_spawned(native *n, uint32_t id);
/* Until this much of its stdout came. */
void native_wait_output(native *n, uint32_t id, size_t bytes);

/* Feeds stdin within the credit there is, waiting for more. */
void native_write(native *n, uint32_t id, const void *bytes, size_t length);
/* As much as the credit there is allows; how much that was. */
size_t native_write_some(native *n, uint32_t id, const void *bytes, size_t length);
void native_close_stdin(native *n, uint32_t id);

/* How many processes of this host have @text in their command line. */
unsigned native_count_processes(const char *text);
/* How many live in the box's pid namespace: its first process, and what execs have started. */
unsigned native_count_box_processes(const native *n);
/* That first process, as this host numbers it. */
pid_t native_find_box_init(const native *n);
/* Until only the first of them is left. */
void native_wait_empty_box(native *n);
/* A number of /proc/PID/status, as "VmHWM"; -1 where it has none. */
long native_status_number(pid_t pid, const char *key);
unsigned native_count_fds(pid_t pid);
/* Those of them that are not open on something below @folder, and those that are, counted in one look: a group may be closed at any time.
 * "" is no folder. */
unsigned native_count_fds_outside(pid_t pid, const char *folder, unsigned *ret_below);
/* What /proc knows of agent, zygote and their children, onto stderr: for a test that is about to fail. */
void native_print_state(native *n);
/* Children of @pid that ended and were not reaped. */
unsigned native_count_zombies(pid_t parent);

#endif
