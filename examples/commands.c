/* SPDX-License-Identifier: Apache-2.0
 *
 * commands.c - several commands at once in one box, for the examples of event loops
 */
#include "commands.h"

#include <stdio.h>

static bool fail(const char *what, const nb_error *why) {
    (void) fprintf(stderr, "%s: %s\n", what, why->message);
    return false;
}

static bool start_box(commands *all) {
    nb_box_options options = NB_BOX_OPTIONS_INIT;
    nb_error why;
    options.image = "busybox";
    options.keep = true; /* no main command: it runs until it is stopped, and ends with this program at the latest */
    if (nb_runtime_open(NULL, &all->runtime, &why) < 0)
        return fail("open the home", &why);
    if (nb_box_create(all->runtime, &options, &all->box, &why) < 0 || nb_box_start(all->box, NULL, NULL, &why) < 0)
        return fail("start a box", &why);
    return true;
}

bool commands_start(commands *all, int argc, char **argv) {
    *all = (commands){0};
    if (argc < 2 || argc - 1 > COMMANDS_MAX) {
        (void) fprintf(stderr, "usage: %s LINE...\n", argv[0]);
        return false;
    }
    if (!start_box(all))
        return false;
    for (int i = 1; i < argc; i++) {
        const char *const words[] = {"sh", "-c", argv[i]};
        nb_exec_options options = NB_EXEC_OPTIONS_INIT;
        nb_error why;
        options.command = (nb_strings){words, 3};
        command *c = &all->items[all->count];
        c->number = i;
        if (nb_exec_start(all->box, &options, &c->exec, &why) < 0)
            return fail(argv[i], &why);
        all->count++;
        all->running++;
    }
    return true;
}

bool command_read(commands *all, command *c) {
    for (;;) {
        nb_event event;
        nb_error why;
        if (nb_exec_next(c->exec, 0, &event, &why) < 0) {
            (void) fail("command", &why);
            c->status = 125;
            event.kind = NB_EVENT_EXITED;
        } else if (event.kind == NB_EVENT_EXITED) {
            c->status = event.status.code;
        }
        if (event.kind == NB_EVENT_NONE)
            return false;
        if (event.kind == NB_EVENT_EXITED) {
            (void) printf("%d: status %d\n", c->number, c->status);
            all->running--;
            return true;
        }
        if ((event.kind == NB_EVENT_STDOUT || event.kind == NB_EVENT_STDERR) && event.length > 0)
            (void) printf("%d: %.*s", c->number, (int) event.length, (const char *) event.bytes);
    }
}

int commands_end(commands *all) {
    int status = all->count == 0 ? 125 : 0;
    for (int i = 0; i < all->count; i++) {
        nb_exec_free(all->items[i].exec);
        if (all->items[i].status != 0)
            status = all->items[i].status;
    }
    if (all->box)
        (void) nb_box_remove(all->box, true, NULL);
    nb_box_free(all->box);
    nb_runtime_close(all->runtime);
    return status;
}
