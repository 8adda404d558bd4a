/* SPDX-License-Identifier: Apache-2.0
 *
 * loop-glib.c - several commands at once in one box, on GLib's main loop (commands.h)
 */
#include "commands.h"

#include <glib-unix.h>

static commands all;
static GMainLoop *loop;

static gboolean on_readable(gint fd, GIOCondition condition, gpointer user) {
    if (!command_read(&all, user))
        return G_SOURCE_CONTINUE;
    if (all.running == 0)
        g_main_loop_quit(loop);
    return G_SOURCE_REMOVE;
}

int main(int argc, char **argv) {
    loop = g_main_loop_new(NULL, FALSE);
    if (commands_start(&all, argc, argv)) {
        for (int i = 0; i < all.count; i++)
            g_unix_fd_add(nb_exec_fd(all.items[i].exec), G_IO_IN, on_readable, &all.items[i]);
        g_main_loop_run(loop);
    }
    g_main_loop_unref(loop);
    return commands_end(&all);
}
