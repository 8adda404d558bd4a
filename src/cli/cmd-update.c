/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-update.c - nestbox update: change what boxes have mounted, running or not
 */
#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/mounts.h"

struct update_args {
    opt_list added, tmpfs, removed;
    mount_list mounts; /* what the first two say */
};

static const opt update_opts[] = {
    OPT_LIST('\0', "volume-add", struct update_args, added, "SRC:DST[:ro]", "mount a folder or file of the host, or a named volume"),
    OPT_LIST('\0', "tmpfs-add", struct update_args, tmpfs, "PATH[:OPTIONS]", "mount a file system in memory"),
    OPT_LIST('\0', "volume-rm", struct update_args, removed, "DST", "unmount what is mounted there; before anything is added"),
    OPT_UNSUPPORTED('m', "memory", "SIZE"),
    OPT_UNSUPPORTED('\0', "cpus", "N"),
    OPT_UNSUPPORTED('\0', "pids-limit", "N"),
    OPT_UNSUPPORTED('\0', "restart", "POLICY"),
    OPT_END,
};

static int update_one(cli *c, const char *name, void *command_args, nb_error *err) {
    const struct update_args *args = command_args;
    CLEANUP(cleanup_box) nb_box *box = NULL;
    int r = nb_box_open(c->runtime, name, &box, err);
    for (size_t i = 0; r == 0 && i < args->removed.count; i++)
        r = nb_box_unmount(box, args->removed.items[i], err);
    for (size_t i = 0; r == 0 && i < args->mounts.count; i++)
        r = nb_box_mount(box, &args->mounts.items[i], err);
    return r;
}

static int update_run(cli *c, void *command_args, int argc, char **argv) {
    struct update_args *args = command_args;
    nb_error err = {0};
    if (args->added.count + args->tmpfs.count + args->removed.count == 0)
        return cli_usage(c, "say what is to change: --volume-add, --tmpfs-add or --volume-rm");
    int r = mounts_collect(&args->added, &args->tmpfs, &args->mounts, &err);
    if (r == 0)
        r = cli_open(c, &err);
    int status = r < 0 ? cli_fail(c, &err) : cli_each(c, argc, argv, update_one, args, true);
    mount_list_done(&args->mounts);
    return status;
}

const command command_update = {
    .name = "update",
    .group = GROUP_BOX,
    .usage = "OPTIONS BOX...",
    .summary = "Mount and unmount volumes of boxes, running or not",
    .details = "What runs has them at once, and every start from now on. What a process of the box uses, or has something mounted within\n"
               "it, is not unmounted. Prints the name of each box.",
    .example = "nestbox update --volume-add data:/data web",
    .opts = update_opts,
    .args_size = sizeof(struct update_args),
    .min_args = 1,
    .max_args = COMMAND_ARGS_ANY,
    .order = OPT_ANYWHERE,
    .run = update_run,
};
