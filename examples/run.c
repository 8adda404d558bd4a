/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c - runs a command in a box of its own and ends with its status
 *
 *     run echo hello
 *
 * The box is made from the built-in image, has no network, and is gone when this program ends.
 */
#include <nestbox/nestbox.h>

#include <stdio.h>

static int run(nb_runtime *runtime, nb_strings command, nb_box **ret_box, nb_exec **ret_exec, nb_exit_status *ret_status, nb_error *err) {
    nb_box_options options = NB_BOX_OPTIONS_INIT;
    options.image = "busybox";
    options.command = command;
    int result = nb_box_create(runtime, &options, ret_box, err);
    if (result == 0)
        result = nb_box_start(*ret_box, NULL, ret_exec, err);
    nb_event event = {NB_EVENT_NONE};
    while (result == 0 && event.kind != NB_EVENT_EXITED) {
        result = nb_exec_next(*ret_exec, -1, &event, err);
        if (event.kind == NB_EVENT_STDOUT || event.kind == NB_EVENT_STDERR)
            (void) fwrite(event.bytes, 1, event.length, event.kind == NB_EVENT_STDOUT ? stdout : stderr);
    }
    *ret_status = event.status;
    return result;
}

int main(int argc, char **argv) {
    nb_runtime *runtime = NULL;
    nb_box *box = NULL;
    nb_exec *exec = NULL;
    nb_exit_status status = {.code = 125};
    nb_error why;
    if (argc < 2) {
        (void) fprintf(stderr, "usage: run COMMAND [ARG...]\n");
        return 125;
    }
    nb_strings command = {(const char *const *) argv + 1, (size_t) argc - 1};
    int result = nb_runtime_open(NULL, &runtime, &why);
    if (result == 0)
        result = run(runtime, command, &box, &exec, &status, &why);
    if (result < 0) {
        (void) fprintf(stderr, "run: %s\n", why.message);
        status.code = 125;
    }
    nb_exec_free(exec);
    if (box)
        (void) nb_box_remove(box, true, NULL);
    nb_box_free(box);
    nb_runtime_close(runtime);
    return status.code;
}
