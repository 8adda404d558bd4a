/* SPDX-License-Identifier: Apache-2.0
 *
 * box-options.h - the options that say what a box is to be, shared by run and create
 */
#ifndef CLI_BOX_OPTIONS_H
#define CLI_BOX_OPTIONS_H

#include "base/buf.h"
#include "cli/care-options.h"
#include "cli/cli.h"

typedef struct box_arguments {
    const char *name, *working_directory, *user, *entrypoint, *hostname, *stop_signal, *pull, *platform, *network;
    opt_list environment, environment_files, labels, cap_add, cap_drop, security_options, ulimits, volumes, tmpfs;
    uint64_t memory_bytes, disk_bytes, io_bytes_per_second;
    uint32_t cpu_millis, pids_max, io_operations_per_second;
    int64_t stop_timeout_ms, boot_timeout_ms, timeout_ms;
    bool remove, interactive, tty, init, quiet;
    care_arguments care;
} box_arguments;

/* For the option table of a command whose argument struct @args has a box_arguments named box. */
#define BOX_OPTIONS(args)                                                                                                                 \
    OPT_STRING('\0', "name", args, box.name, "NAME", NULL, "name of the box"),                                                            \
        OPT_FLAG('\0', "rm", args, box.remove, "remove the box when it stops"),                                                           \
        OPT_FLAG('i', "interactive", args, box.interactive, "the command's stdin is ours; otherwise it is /dev/null"),                    \
        OPT_FLAG('t', "tty", args, box.tty, "give the command a terminal"),                                                               \
        OPT_LIST('e', "env", args, box.environment, "NAME[=VALUE]", "set a variable, or pass ours on"),                                   \
        OPT_LIST('\0', "env-file", args, box.environment_files, "FILE", "read variables from a file, one in a line"),                     \
        OPT_STRING('w', "workdir", args, box.working_directory, "DIR", NULL, "working directory (default: the image's)"),                 \
        OPT_STRING('u', "user", args, box.user, "USER[:GROUP]", NULL, "user of the command (default: the image's)"),                      \
        OPT_STRING('\0', "entrypoint", args, box.entrypoint, "PROGRAM", NULL, "run this instead of the image's entrypoint; '' for none"), \
        OPT_STRING('\0', "hostname", args, box.hostname, "NAME", NULL, "host name in the box (default: its id)"),                         \
        OPT_LIST('\0', "label", args, box.labels, "KEY[=VALUE]", "attach a label"),                                                       \
        OPT_SIZE('m', "memory", args, box.memory_bytes, NB_MEMORY_MIN_BYTES, NB_MEMORY_MAX_BYTES, "256m", "memory of the box"),           \
        OPT_MILLIS('\0', "cpus", args, box.cpu_millis, NB_CPU_MILLIS_MIN, NB_CPUS_MAX * 1000, NULL,                                       \
                   "processors, or a part of one (default: one, without a limit of its time)"),                                           \
        OPT_SIZE('\0', "disk", args, box.disk_bytes, NB_DISK_MIN_BYTES, NB_DISK_MAX_BYTES, "10g", "disk of the box"),                     \
        OPT_SIZE('\0', "io-maxbandwidth", args, box.io_bytes_per_second, NB_IO_BYTES_MIN, NB_IO_BYTES_MAX, NULL,                          \
                 "bytes a second of its disk, read and written"),                                                                         \
        OPT_COUNT('\0', "io-maxiops", args, box.io_operations_per_second, 1, NB_IO_OPERATIONS_MAX, NULL,                                  \
                  "operations a second of its disk"),                                                                                     \
        OPT_COUNT('\0', "pids-limit", args, box.pids_max, 1, UINT32_MAX, "4096", "processes at once"),                                    \
        OPT_FLAG('\0', "init", args, box.init, "a small init above the command, which reaps orphans"),                                    \
        OPT_STRING('\0', "stop-signal", args, box.stop_signal, "SIGNAL", NULL, "what stop sends (default: the image's, else TERM)"),      \
        OPT_DURATION('\0', "stop-timeout", args, box.stop_timeout_ms, 1, UINT32_MAX, "10s", "how long stop waits before it kills"),       \
        OPT_DURATION('\0', "boot-timeout", args, box.boot_timeout_ms, 1, UINT32_MAX, "1m", "how long the machine may take to boot"),      \
        OPT_DURATION('\0', "timeout", args, box.timeout_ms, 1, INT64_MAX, NULL, "then TERM, 2 s later KILL, and status 124"),             \
        OPT_LIST('v', "volume", args, box.volumes, "SRC:DST[:ro]", "mount a folder or file of the host, or a named volume"),              \
        OPT_LIST('\0', "tmpfs", args, box.tmpfs, "PATH[:OPTIONS]", "mount a file system in memory: size=64m,mode=1777,exec,..."),         \
        OPT_LIST('\0', "cap-add", args, box.cap_add, "CAPABILITY", "give a capability, or ALL"),                                          \
        OPT_LIST('\0', "cap-drop", args, box.cap_drop, "CAPABILITY", "take a capability away, or ALL"),                                   \
        OPT_LIST('\0', "security-opt", args, box.security_options, "OPTION", "no-new-privileges[=true|false]"),                           \
        OPT_LIST('\0', "ulimit", args, box.ulimits, "NAME=SOFT[:HARD]", "set a resource limit"),                                          \
        OPT_CHOICE('\0', "pull", args, box.pull, "missing|always|never", "missing", "when to ask the registry"),                          \
        OPT_CHOICE('\0', "network", args, box.network, "none|full|allow", "none", "network of the box"),                                  \
        OPT_FLAG('q', "quiet", args, box.quiet, "show no progress"), OPT_UNSUPPORTED('p', "publish", "HOST:BOX"),                         \
        OPT_UNSUPPORTED('P', "publish-all", NULL),                                                                                        \
        OPT_STRING('\0', "platform", args, box.platform, "OS/ARCH[/VARIANT]", NULL,                                                       \
                   "the image's variety; for now it must be this host's"),                                                                \
        OPT_UNSUPPORTED('\0', "allow", "RULE"), OPT_UNSUPPORTED('\0', "dns", "ADDRESS"),                                                  \
        OPT_UNSUPPORTED('\0', "add-host", "NAME:ADDRESS"), CARE_OPTIONS(args, box.care), OPT_UNSUPPORTED('\0', "secret", "NAME"),         \
        OPT_UNSUPPORTED('\0', "security", "LEVEL"), OPT_UNSUPPORTED('\0', "privileged", NULL)

/* What the option table cannot check: -NB_E_INVALID or -NB_E_UNSUPPORTED, naming the option. To be called first. */
int box_check(const box_arguments *box, nb_error *err);

/* Makes the box that the options and the positional arguments, IMAGE [COMMAND ARG...], ask for. The home must be open.
 *
 * @detach  the box outlives the program that starts it
 * Errors: those of nb_box_create() and environment_collect(), -NB_E_INVALID and -NB_E_EXHAUSTED for labels. */
int box_create(cli *c, const box_arguments *box, bool detach, int argc, char **argv, nb_box **ret_box, nb_error *err);

#endif
