/* SPDX-License-Identifier: Apache-2.0
 *
 * loop-libevent.c - several commands at once in one box, on libevent's loop (commands.h)
 */
#include "commands.h"

#include <event2/event.h>

static commands all;

/* The event itself, for its own callback. */
typedef struct watch {
    struct event *event;
    command *command;
} watch;

static void on_readable(evutil_socket_t fd, short events, void *user) {
    watch *w = user;
    if (command_read(&all, w->command))
        event_del(w->event);
}

int main(int argc, char **argv) {
    watch watches[COMMANDS_MAX];
    struct event_base *base = event_base_new();
    if (commands_start(&all, argc, argv)) {
        for (int i = 0; i < all.count; i++) {
            watches[i].command = &all.items[i];
            watches[i].event = event_new(base, nb_exec_fd(all.items[i].exec), EV_READ | EV_PERSIST, on_readable, &watches[i]);
            event_add(watches[i].event, NULL);
        }
        event_base_dispatch(base); /* until the last event is deleted */
        for (int i = 0; i < all.count; i++)
            event_free(watches[i].event);
    }
    event_base_free(base);
    return commands_end(&all);
}
