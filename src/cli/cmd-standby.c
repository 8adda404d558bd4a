/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-standby.c - nestbox standby: have machines of an image wait, for boxes that are to start at once
 */
#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/signals.h"

#include <nestbox/standby.h>

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

/* Each takes a second or so, and one after the other. */
#define READY_ALLOWANCE_MS (60u * 1000u)

struct standby_args {
    uint64_t memory_bytes, disk_bytes;
    uint32_t count, cpus;
    bool init;
};

static const opt standby_opts[] = {
    OPT_COUNT('n', "count", struct standby_args, count, 1, NB_STANDBY_MAX, "1", "so many are to wait"),
    OPT_SIZE('m', "memory", struct standby_args, memory_bytes, NB_MEMORY_MIN_BYTES, NB_MEMORY_MAX_BYTES, "256m",
             "what their boxes may use"),
    OPT_COUNT('\0', "cpus", struct standby_args, cpus, 1, NB_CPUS_MAX, "1", "processors"),
    OPT_SIZE('\0', "disk", struct standby_args, disk_bytes, NB_DISK_MIN_BYTES, NB_DISK_MAX_BYTES, NULL,
             "size of the boxes' disk; default: as run has it"),
    OPT_FLAG('\0', "init", struct standby_args, init, "for boxes that have an init"),
    OPT_END,
};

static void cleanup_standby(nb_standby **standby) {
    nb_standby_close(*standby);
}

/* That one could not be had is no reason to end: it is tried again. */
static int take_news(nb_standby *standby, nb_error *err) {
    int r = nb_standby_wait(standby, 0, err);
    if (r == -NB_E_MACHINE)
        (void) fprintf(stderr, "nestbox: standby: %s\n", err->message);
    return r == -NB_E_TIMEOUT || r == -NB_E_MACHINE ? 0 : r;
}

/* Until a signal asks for the end. */
static int keep(nb_standby *standby, const signal_queue *signals, nb_error *err) {
    struct pollfd fds[] = {{.fd = signals->fd, .events = POLLIN}, {.fd = nb_standby_fd(standby), .events = POLLIN}};
    int r = 0;
    while (r == 0 && !signals_next(signals)) {
        (void) poll(fds, 2, -1);
        if (fds[1].revents)
            r = take_news(standby, err);
    }
    return r;
}

static int standby_run(cli *c, void *command_args, int argc, char **argv) {
    const struct standby_args *args = command_args;
    CLEANUP(cleanup_standby) nb_standby *standby = NULL;
    nb_image_info *image = NULL;
    signal_queue signals = {.fd = -1};
    nb_error err = {0};
    nb_template_options machine = NB_TEMPLATE_OPTIONS_INIT;
    machine.memory_bytes = args->memory_bytes;
    machine.cpus = args->cpus;
    machine.disk_bytes = args->disk_bytes;
    machine.init = args->init;
    nb_standby_options options = NB_STANDBY_OPTIONS_INIT;
    options.count = args->count;
    options.machine = &machine;
    int r = cli_open(c, &err);
    if (r == 0)
        r = nb_image_prepare(c->runtime, argv[0], NULL, &image, &err);
    if (r == 0)
        machine.image = image->id;
    if (r == 0)
        r = nb_standby_open(c->runtime, &options, &standby, &err);
    if (r == 0)
        r = nb_standby_wait(standby, options.count * READY_ALLOWANCE_MS, &err);
    if (r == 0) {
        (void) printf("%" PRIu32 " %s of %s\n", args->count, args->count == 1 ? "machine waits for a box" : "machines wait for boxes",
                      argv[0]);
        (void) fflush(stdout);
        r = signals_take(&signals, &err);
    }
    if (r == 0)
        r = keep(standby, &signals, &err);
    signals_give_back(&signals);
    nb_image_free(image);
    return r < 0 ? cli_fail(c, &err) : STATUS_OK;
}

const command command_standby = {
    .name = "standby",
    .group = GROUP_TEMPLATE,
    .usage = "[OPTIONS] IMAGE",
    .summary = "Have machines wait, for boxes that are to start at once",
    .details = "Until it is interrupted, so many machines wait for boxes of the image; one that was taken is replaced. run --standby and\n"
               "start --standby take one where the box has the same image, memory, processors and size of disk, and has not run yet.\n"
               "Says when all of them wait. Boxes that have taken one go on when this ends.",
    .example = "nestbox standby -n 4 busybox",
    .opts = standby_opts,
    .args_size = sizeof(struct standby_args),
    .min_args = 1,
    .max_args = 1,
    .order = OPT_ANYWHERE,
    .run = standby_run,
};
