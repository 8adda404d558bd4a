/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c - nestbox-shim: supervises one box
 *
 * Started by the library alone, with its first client's socket, the box's folder and a pidfd of its owner as descriptors
 * (wire/limits.h). Takes no arguments. By other names it makes templates, and keeps machines waiting.
 */
#include "shim/client.h"
#include "shim/keeper.h"
#include "shim/process.h"
#include "shim/shim.h"
#include "shim/template-make.h"
#include "wire/standby.h"
#include "wire/template.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Inherits nothing but what it was given: the program that started us may have had anything open. */
static int check_descriptors(void) {
    if (fcntl(WIRE_SHIM_SOCKET_FD, F_SETFD, FD_CLOEXEC) < 0 || fcntl(WIRE_SHIM_FOLDER_FD, F_SETFD, FD_CLOEXEC) < 0 ||
        fcntl(WIRE_SHIM_OWNER_FD, F_SETFD, FD_CLOEXEC) < 0)
        return -1;
    return close_range(WIRE_SHIM_OWNER_FD + 1, ~0u, 0);
}

static int supervise(void) {
    shim s;
    shim_process p;
    nb_error why = {0};
    loop *l = loop_new();
    if (!l)
        return 1;
    shim_init(&s, l);
    int result = shim_enter(&s, WIRE_SHIM_FOLDER_FD, &why);
    client *first = client_new(&s, WIRE_SHIM_SOCKET_FD);
    if (!first)
        return 1;
    if (result < 0) {
        client_fail(first, &why);
        (void) client_end_flushed(&s);
        return 1;
    }
    if (process_watch_signals(&s, &p) < 0 || process_begin_duty(&s, &p, WIRE_SHIM_OWNER_FD) < 0)
        return 1;
    result = loop_run(l);
    shim_done(&s);
    return result < 0 ? 1 : 0;
}

int main(int argc, char **argv) {
    const char *name = argc > 0 ? argv[0] : "";
    if (check_descriptors() < 0) {
        (void) dprintf(STDERR_FILENO, "nestbox-shim: started by hand; it is libnestbox that starts it\n");
        return 2;
    }
    (void) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void) prctl(PR_SET_DUMPABLE, 0);
    (void) umask(0077);
    process_prepare();
    if (strcmp(name, WIRE_TEMPLATE_PROGRAM) == 0)
        return template_main();
    return strcmp(name, WIRE_STANDBY_PROGRAM) == 0 ? keeper_main() : supervise();
}
