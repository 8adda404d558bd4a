/* SPDX-License-Identifier: Apache-2.0
 *
 * agent-memory.c - the memory of the agent and its zygote, idle and with execs open
 *
 *     agent-memory EXECS
 *
 * No process of a box can see them, so the agent that goes into boxes runs on this host, as in the tests of the guest. Prints what is
 * resident of both, in KiB: all of it, and what is not the program's file.
 */
#include "native.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void print_memory(const native *n, const char *when) {
    long resident = native_status_number(n->agent, "VmRSS") + native_status_number(n->zygote, "VmRSS");
    long own = native_status_number(n->agent, "RssAnon") + native_status_number(n->zygote, "RssAnon");
    (void) printf("%s %ld %ld\n", when, resident, own);
}

int main(int argc, char **argv) {
    unsigned count = argc == 2 ? (unsigned) strtoul(argv[1], NULL, 10) : 0;
    const char *why = native_prepare();
    if (why || count == 0 || count > NATIVE_EXECS_MAX / 2) {
        (void) fprintf(stderr, "agent-memory: %s\n", why ? why : "usage: agent-memory EXECS");
        native_clean_up();
        return 1;
    }
    native *n = native_start(WIRE_SETUP_INIT);
    (void) native_wait(n, native_shell(n, "true"));
    print_memory(n, "idle");
    uint32_t first = n->next_id;
    for (unsigned i = 0; i < count; i++)
        (void) native_shell(n, "exec sleep 1000");
    for (unsigned i = 0; i < count; i++)
        (void) native_wait_spawned(n, first + i);
    print_memory(n, "open");
    native_stop(n);
    native_clean_up();
    return 0;
}
