/* SPDX-License-Identifier: Apache-2.0
 *
 * shared-box.h - one box that all tests of a program share, and what most of them do with it
 *
 * A box takes seconds to boot. Everything here fails the test by itself when it does not come out as asked.
 */
#ifndef TEST_SHARED_BOX_H
#define TEST_SHARED_BOX_H

#include <nestbox/nestbox.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Far beyond what anything here takes on a busy machine without KVM. */
#define WAIT_MS 60000

extern nb_runtime *runtime;
extern nb_box *box;
extern char home[];

/* Of the last call that had to succeed. */
extern nb_error problem;

/* The call, which reports to &problem, must succeed; if not, its reason is the test's. */
#define MUST(call)                                                       \
    do {                                                                 \
        int must_result = (call);                                        \
        if (must_result < 0)                                             \
            fail_msg("%s: %d: %s", #call, must_result, problem.message); \
    } while (0)

/* Opens a home of this program's own and starts the box in it; ends both. For a group of tests. */
int open_box(void **state);
int close_box(void **state);
/* For one test: the box runs when it begins, whatever the test before has done to it. */
int restart_box(void **state);

/* A new box of @runtime: busybox without a main command, running. */
nb_box *start_another_box(void);
void remove_another_box(nb_box *other);

/* Runs `sh -c @script` in the shared box, or in another. */
nb_exec *start(const char *script);
nb_exec *start_with(nb_exec_options options, const char *script);
nb_exec *start_in(nb_box *where, nb_exec_options options, const char *script);

typedef struct output {
    char *bytes[2]; /* stdout, stderr; terminated */
    size_t length[2];
    bool ended[2];
    nb_exit_status status;
} output;

void output_free(output *o);

/* Takes what comes until @exec has ended. True: it has. False: nothing came in time. */
bool collect(nb_exec *exec, int64_t timeout_ms, output *o);
/* The same, with the error that ended it instead, or 0. */
int collect_to_end(nb_exec *exec, output *o, nb_error *err);

/* `sh -c @script` exits with @code and has written @out. */
void expect(const char *script, int code, const char *out);

/* The status of an exec that ends by itself, which is freed. */
nb_exit_status wait_and_free(nb_exec *exec);

/* Waits until @out has come from @exec. */
void await_output(nb_exec *exec, const char *out);

/* 1 for a short test, @soaking with NESTBOX_SOAK=1. */
unsigned rounds(unsigned few, unsigned soaking);

/* Of any process: its open descriptors, its resident memory, its dead children. */
unsigned count_fds(int64_t pid);
size_t resident_bytes(int64_t pid);
unsigned count_zombies(int64_t parent);

void remove_home(const char *path);

/* Why there can be no box here, or NULL. */
const char *find_obstacle(void);

#endif
