/* SPDX-License-Identifier: Apache-2.0
 *
 * loop-libuv.c - several commands at once in one box, on libuv's loop (commands.h)
 */
#include "commands.h"

#include <uv.h>

static commands all;

static void on_readable(uv_poll_t *watcher, int status, int events) {
    if (command_read(&all, watcher->data))
        uv_close((uv_handle_t *) watcher, NULL);
}

int main(int argc, char **argv) {
    uv_poll_t watchers[COMMANDS_MAX];
    uv_loop_t *loop = uv_default_loop();
    if (commands_start(&all, argc, argv)) {
        for (int i = 0; i < all.count; i++) {
            uv_poll_init(loop, &watchers[i], nb_exec_fd(all.items[i].exec));
            watchers[i].data = &all.items[i];
            uv_poll_start(&watchers[i], UV_READABLE, on_readable);
        }
        uv_run(loop, UV_RUN_DEFAULT); /* until the last watcher is closed */
    }
    return commands_end(&all);
}
