/* SPDX-License-Identifier: Apache-2.0
 *
 * messages.h - every control message, in one table
 *
 * From this table come the structs, encoders, decoders, names and direction checks (message.h, message.c), the fuzzers' dictionary and
 * the tables of docs/protocol.md. Ids are written out and never reused.
 *
 * Field kinds: u8 u16 u32 u64 i32 (fixed width, little endian), str (length and bytes, no NUL within), strv (length and a packed
 * list, base/strv.h), bytes (length and bytes). The third word is the maximum in bytes of what has a length.
 */
#ifndef WIRE_MESSAGES_H
#define WIRE_MESSAGES_H

#include "wire/limits.h"

/* Who may send a message. The same framing serves three links: guest agent, the shim's clients, image workers. */
enum wire_direction {
    TO_GUEST = 1 << 0,  /* shim to agent */
    TO_HOST = 1 << 1,   /* agent to shim */
    TO_SHIM = 1 << 2,   /* client to shim */
    TO_CLIENT = 1 << 3, /* shim to client */
    TO_WORKER = 1 << 4, /* library to image worker */
    TO_OWNER = 1 << 5,  /* image worker to library */
    TO_ZYGOTE = 1 << 6, /* agent to zygote: one datagram each, with descriptors */
    TO_AGENT = 1 << 7,  /* zygote to agent */
    ON_DISK = 1 << 8,   /* not sent: a file of the box's folder */
    WITHIN = 1 << 9,    /* not sent by itself: a field of other messages */
};

/* clang-format off: one row a field, one row a message */

/* The first message on every link, both ways: what the sender speaks. */
#define WIRE_HELLO(F) F(u16, version, 0) F(u64, capabilities, 0)

/* Gives a booted machine its identity, and has the container built. cpu_quota_us: of processor time in each 100,000 us; 0: no limit.
 * disk_bytes: the disk is as large, if not at once then in a moment; 0: as large as it is.
 * setup_flags: WIRE_SETUP_... After one with WIRE_SETUP_PREPARE another is taken, which renames what is there,
 * and meanwhile SPAWNs of WIRE_REHEARSAL_ARGV, which are nobody's main command. */
#define WIRE_SETUP(F)                     \
    F(str, box_id, WIRE_NAME_MAX_BYTES)   \
    F(str, hostname, WIRE_NAME_MAX_BYTES) \
    F(u64, wall_clock_ns, 0)              \
    F(bytes, entropy, WIRE_ENTROPY_BYTES) \
    F(u64, memory_bytes, 0)               \
    F(u32, pids_max, 0)                   \
    F(u32, cpu_quota_us, 0)               \
    F(u64, disk_bytes, 0)                 \
    F(u8, setup_flags, 0)

#define WIRE_SETUP_DONE(F) F(u32, container_pid, 0)
#define WIRE_SETUP_FAILED(F) F(i32, error, 0) F(str, message, WIRE_TEXT_MAX_BYTES)

/* A process. spawn_flags: WIRE_SPAWN_... The box's main command has exec id WIRE_MAIN_EXEC_ID. timeout_ms 0: none; grace_ms: between SIGTERM
 * and SIGKILL when it is over; console_timeout_ms: how long its terminal's hand-over may take. cap_add and cap_drop: bit N is capability N,
 * over the default set, dropped before added. limits: wire/rlimits.h. */
#define WIRE_SPAWN(F)                  \
    F(u32, exec_id, 0)                 \
    F(u8, spawn_flags, 0)              \
    F(u16, columns, 0)                 \
    F(u16, rows, 0)                    \
    F(strv, argv, WIRE_ARGV_MAX_BYTES) \
    F(strv, env, WIRE_ENV_MAX_BYTES)   \
    F(str, cwd, WIRE_PATH_MAX_BYTES)   \
    F(str, user, WIRE_NAME_MAX_BYTES)  \
    F(u64, timeout_ms, 0)              \
    F(u32, grace_ms, 0)                \
    F(u32, console_timeout_ms, 0)      \
    F(i32, oom_score_adj, 0)           \
    F(u64, cap_add, 0)                 \
    F(u64, cap_drop, 0)                \
    F(bytes, limits, WIRE_RLIMITS_MAX_BYTES)

/* pid: inside the box. */
#define WIRE_SPAWNED(F) F(u32, exec_id, 0) F(u32, pid, 0)
/* step: WIRE_STEP_..., where it failed; error: errno there. */
#define WIRE_SPAWN_FAILED(F) F(u32, exec_id, 0) F(u8, step, 0) F(i32, error, 0)

/* After the last byte of the exec's output. signal 0: exited by itself with code. exit_flags: WIRE_EXIT_... Times are the host's wall clock,
 * set by the shim. */
#define WIRE_EXITED(F)        \
    F(u32, exec_id, 0)        \
    F(i32, code, 0)           \
    F(u8, signal, 0)          \
    F(u8, exit_flags, 0)      \
    F(u64, user_time_us, 0)   \
    F(u64, system_time_us, 0) \
    F(u64, max_rss_bytes, 0)  \
    F(u64, started_at_ms, 0)  \
    F(u64, finished_at_ms, 0)

/* whole_tree 1: to everything that came from the exec; SIGKILL then leaves nothing of it, whatever it does meanwhile. */
#define WIRE_SIGNAL(F) F(u32, exec_id, 0) F(u8, signal, 0) F(u8, whole_tree, 0)
#define WIRE_RESIZE(F) F(u32, exec_id, 0) F(u16, columns, 0) F(u16, rows, 0)

/* A file system that the host serves: opened, and ready for the SPAWN that mounts it. The messages of its kernel, FUSE's, then are the streams of
 * the channel WIRE_VOLUME_EXEC_ID(volume_id): requests on stdout's, answers on stdin's. volume_flags: WIRE_VOLUME_... */
#define WIRE_VOLUME(F) F(u32, volume_id, 0) F(u8, volume_flags, 0)

/* Of a client to a box that runs: mount four words of mount-order.h, with the program that serves volumes; or unmount what one of them, or the order
 * to launch, has mounted there. Answered by MOUNTED or FAILED. */
#define WIRE_MOUNT(F) F(strv, words, WIRE_MOUNTS_MAX_BYTES) F(str, files, WIRE_PATH_MAX_BYTES)
#define WIRE_UNMOUNT(F) F(str, target, WIRE_PATH_MAX_BYTES)
#define WIRE_MOUNTED(F) F(u8, reserved, 0)

/* Kill what is left, sync, unmount, power off. */
#define WIRE_SHUTDOWN(F) F(u8, reserved, 0)
/* The last word of a guest: its disk is unmounted (error 0) or could not be. */
#define WIRE_GOODBYE(F) F(i32, error, 0)

/* All that a shim needs to run its box; on the connection it was born with. launch_flags: WIRE_LAUNCH_... files: the program that serves volumes;
 * mounts: four words each, wire/mount-order.h. cpu_millis: thousandths of a processor; 0, like the io limits: none. restart: nb_restart_policy.
 * health_command: empty for none. template_path: a saved machine to go on from; empty: boot.
 * image_template_path: the same, with the disk of a box that has never run and its container, for one that has not; empty: none. */
#define WIRE_LAUNCH(F)                                 \
    F(str, box_id, WIRE_NAME_MAX_BYTES)                \
    F(str, qemu, WIRE_PATH_MAX_BYTES)                  \
    F(str, accelerator, WIRE_NAME_MAX_BYTES)           \
    F(str, kernel, WIRE_PATH_MAX_BYTES)                \
    F(str, modules, WIRE_PATH_MAX_BYTES)               \
    F(str, agent, WIRE_PATH_MAX_BYTES)                 \
    F(str, base_disk, WIRE_PATH_MAX_BYTES)             \
    F(str, files, WIRE_PATH_MAX_BYTES)                 \
    F(str, template_path, WIRE_PATH_MAX_BYTES)         \
    F(str, image_template_path, WIRE_PATH_MAX_BYTES)   \
    F(strv, mounts, WIRE_MOUNTS_MAX_BYTES)             \
    F(u64, memory_bytes, 0)                            \
    F(u32, cpus, 0)                                    \
    F(u32, cpu_millis, 0)                              \
    F(u64, io_bytes_per_second, 0)                     \
    F(u32, io_operations_per_second, 0)                \
    F(u32, pids_max, 0)                                \
    F(u16, launch_flags, 0)                            \
    F(u16, columns, 0)                                 \
    F(u16, rows, 0)                                    \
    F(str, hostname, WIRE_NAME_MAX_BYTES)              \
    F(strv, argv, WIRE_ARGV_MAX_BYTES)                 \
    F(strv, env, WIRE_ENV_MAX_BYTES)                   \
    F(str, cwd, WIRE_PATH_MAX_BYTES)                   \
    F(str, user, WIRE_NAME_MAX_BYTES)                  \
    F(u8, stop_signal, 0)                              \
    F(u32, stop_timeout_ms, 0)                         \
    F(u32, boot_timeout_ms, 0)                         \
    F(u64, timeout_ms, 0)                              \
    F(u64, cap_add, 0)                                 \
    F(u64, cap_drop, 0)                                \
    F(bytes, limits, WIRE_RLIMITS_MAX_BYTES)           \
    F(u64, requested_at_ns, 0)                         \
    F(u8, log_level, 0)                                \
    F(u8, restart, 0)                                  \
    F(u32, restart_retries, 0)                         \
    F(u64, auto_stop_ms, 0)                            \
    F(u64, max_lifetime_ms, 0)                         \
    F(strv, health_command, WIRE_IMAGE_LIST_MAX_BYTES) \
    F(u64, health_interval_ms, 0)                      \
    F(u64, health_timeout_ms, 0)                       \
    F(u64, health_start_period_ms, 0)                  \
    F(u32, health_retries, 0)

/* To a shim's program that is to save a machine instead of running a box: what the machine is made of. template_path: a saved machine to go on
 * from, and to be saved again with a container over base_disk, of disk_bytes, as setup_flags have it, WIRE_SETUP_...; empty: boot, and have no disk.
 * Answered by TEMPLATE_MADE or FAILED. */
#define WIRE_TEMPLATE(F)                       \
    F(str, qemu, WIRE_PATH_MAX_BYTES)          \
    F(str, accelerator, WIRE_NAME_MAX_BYTES)   \
    F(str, kernel, WIRE_PATH_MAX_BYTES)        \
    F(str, modules, WIRE_PATH_MAX_BYTES)       \
    F(str, agent, WIRE_PATH_MAX_BYTES)         \
    F(u64, memory_bytes, 0)                    \
    F(u32, cpus, 0)                            \
    F(u32, boot_timeout_ms, 0)                 \
    F(str, template_path, WIRE_PATH_MAX_BYTES) \
    F(str, base_disk, WIRE_PATH_MAX_BYTES)     \
    F(u64, disk_bytes, 0)                      \
    F(u8, setup_flags, 0)

#define WIRE_TEMPLATE_MADE(F) F(u64, memory_bytes, 0)

/* To a shim's program that is to keep machines waiting, WIRE_STANDBY_PROGRAM, for as long as the connection lasts: how many, and what each is made of.
 * template_path: one of an image; backing: what the disk calls base_disk, as seen from its folder. Answered by a STANDING whenever the number changes,
 * which says how many wait, and why the last one that does not came to nothing; empty: it has not. */
#define WIRE_STANDBY(F)                        \
    F(u32, count, 0)                           \
    F(str, qemu, WIRE_PATH_MAX_BYTES)          \
    F(str, accelerator, WIRE_NAME_MAX_BYTES)   \
    F(str, template_path, WIRE_PATH_MAX_BYTES) \
    F(str, base_disk, WIRE_PATH_MAX_BYTES)     \
    F(str, backing, WIRE_PATH_MAX_BYTES)       \
    F(u64, disk_bytes, 0)                      \
    F(u64, memory_bytes, 0)                    \
    F(u32, cpus, 0)
#define WIRE_STANDING(F) F(u32, count, 0) F(str, failure, WIRE_TEXT_MAX_BYTES)

/* The file "about" of a template's folder. image_id: empty without an image, like the next two. */
#define WIRE_TEMPLATE_ABOUT(F)               \
    F(str, accelerator, WIRE_NAME_MAX_BYTES) \
    F(u64, memory_bytes, 0)                  \
    F(u32, cpus, 0)                          \
    F(str, image_id, WIRE_NAME_MAX_BYTES)    \
    F(u64, disk_bytes, 0)                    \
    F(u8, setup_flags, 0)

/* The machine runs, and its main command, where it has one. */
#define WIRE_LAUNCHED(F) F(u32, shim_pid, 0) F(u32, machine_pid, 0)

/* Why a request of a client or an owner came to nothing; code: NB_E_... */
#define WIRE_FAILED(F) F(i32, code, 0) F(i32, error, 0) F(str, message, WIRE_TEXT_MAX_BYTES) F(str, hint, WIRE_TEXT_MAX_BYTES)

/* The client's exec runs; id is its name for later connections. */
#define WIRE_BEGUN(F) F(u32, exec_id, 0) F(u32, pid, 0) F(str, id, WIRE_NAME_MAX_BYTES)

/* Asks to be connected to an exec's streams, or with WIRE_ATTACH_WATCH only to hear how it ends. id "": the main command. */
#define WIRE_ATTACH(F) F(str, id, WIRE_NAME_MAX_BYTES) F(u8, attach_flags, 0)
/* spawn_flags: those that it was begun with, WIRE_SPAWN_STDIN only while its stdin is open. lost: bytes of each stream that came while nobody
 * was attached and were too many to keep; what was kept follows as data. */
#define WIRE_ATTACHED(F)            \
    F(u32, exec_id, 0)              \
    F(str, id, WIRE_NAME_MAX_BYTES) \
    F(u8, spawn_flags, 0)           \
    F(u64, lost_stdout_bytes, 0)    \
    F(u64, lost_stderr_bytes, 0)

/* Asks which execs there are; answered by an EXEC_INFO for each that has not ended, and LISTED. */
#define WIRE_LIST(F) F(u8, reserved, 0)
#define WIRE_LISTED(F) F(u32, count, 0)

/* An exec. info_flags: WIRE_INFO_...; argv: its beginning. The log "execs.log" of a box's folder holds one for each that has ended. */
#define WIRE_EXEC_INFO(F)                    \
    F(str, id, WIRE_NAME_MAX_BYTES)          \
    F(u8, info_flags, 0)                     \
    F(u32, pid, 0)                           \
    F(strv, argv, WIRE_SHOWN_ARGV_MAX_BYTES) \
    F(u64, started_at_ms, 0)                 \
    F(u64, finished_at_ms, 0)                \
    F(i32, code, 0)                          \
    F(u8, signal, 0)                         \
    F(u8, exit_flags, 0)                     \
    F(u64, user_time_us, 0)                  \
    F(u64, system_time_us, 0)                \
    F(u64, max_rss_bytes, 0)

/* What the box's processes use, answered by MEASURED. cpu_time_us: since its start; memory_bytes: without what the kernel keeps of files and
 * could drop at any time. */
#define WIRE_MEASURE(F) F(u8, reserved, 0)
#define WIRE_MEASURED(F) F(u64, cpu_time_us, 0) F(u64, memory_bytes, 0) F(u32, pids, 0)

/* The same asked of the shim, which adds what it has counted since the box's start, and what machine and shim take of the host; answered by
 * COUNTED. execs: processes begun, the main command among them; exec_failures: those that could not be. at_us: monotonic clock. */
#define WIRE_COUNT(F) F(u8, reserved, 0)
#define WIRE_COUNTED(F)             \
    F(u64, at_us, 0)                \
    F(u64, execs, 0)                \
    F(u64, exec_failures, 0)        \
    F(u64, input_bytes, 0)          \
    F(u64, output_bytes, 0)         \
    F(u64, cpu_time_us, 0)          \
    F(u64, memory_bytes, 0)         \
    F(u32, pids, 0)                 \
    F(u64, machine_cpu_time_us, 0)  \
    F(u64, machine_memory_bytes, 0) \
    F(u64, shim_memory_bytes, 0)

/* grace_ms UINT32_MAX: the box's own. The connection ends when the box has stopped. */
#define WIRE_STOP(F) F(u32, grace_ms, 0)

/* As a connection's first request: the box is to outlive its owner; answered by ATTACHED with exec id 0. On an exec's connection: its
 * client is about to go, and the exec is not to notice; no answer. */
#define WIRE_DETACH(F) F(u8, reserved, 0)

/* The file "run" of a box's folder: what its shim last did. state: nb_box_state, cause: nb_end_cause. Times are wall clock, timings
 * microseconds of each step of the start. next_start_at_ms: it is started again then; 0: it is not waiting for that. health: nb_health.
 * limits_by: how the host holds the machine, WIRE_LIMITS_BY_..., limits_held: WIRE_LIMIT_..., limits_missing: why not by all of them, limits_groups:
 * the control groups to be removed after it. A record of an older version ends before restart_count, or before limits_by. */
#define WIRE_RECORD(F)                          \
    F(u8, state, 0)                             \
    F(u8, cause, 0)                             \
    F(u8, has_exit, 0)                          \
    F(i32, code, 0)                             \
    F(u8, signal, 0)                            \
    F(u8, exit_flags, 0)                        \
    F(u32, shim_pid, 0)                         \
    F(u64, shim_start_ticks, 0)                 \
    F(u32, machine_pid, 0)                      \
    F(u64, machine_start_ticks, 0)              \
    F(u64, started_at_ms, 0)                    \
    F(u64, finished_at_ms, 0)                   \
    F(str, accelerator, WIRE_NAME_MAX_BYTES)    \
    F(i32, failure, 0)                          \
    F(str, message, WIRE_TEXT_MAX_BYTES)        \
    F(u64, prepare_us, 0)                       \
    F(u64, machine_us, 0)                       \
    F(u64, boot_us, 0)                          \
    F(u64, container_us, 0)                     \
    F(u64, command_us, 0)                       \
    F(u32, restart_count, 0)                    \
    F(u64, next_start_at_ms, 0)                 \
    F(u8, health, 0)                            \
    F(u32, health_failures, 0)                  \
    F(u8, limits_by, 0)                         \
    F(u8, limits_held, 0)                       \
    F(str, limits_missing, WIRE_TEXT_MAX_BYTES) \
    F(strv, limits_groups, WIRE_LIMITS_GROUPS_MAX_BYTES)

/* A look at the box's health; the log "health.log" of a box's folder holds the last ones. code -1: the command could not be run, and output says
 * why. exit_flags: WIRE_EXIT_... */
#define WIRE_HEALTH_RESULT(F) \
    F(u64, started_at_ms, 0)  \
    F(u64, finished_at_ms, 0) \
    F(i32, code, 0)           \
    F(u8, exit_flags, 0)      \
    F(str, output, WIRE_TEXT_MAX_BYTES)

/* How an image wants to be run: the `config` of other messages. exposed_ports: "80/tcp", "8000-8010/udp"; health_test: Docker's, empty where
 * there is no health check, and its times 0 where it names none. */
#define WIRE_IMAGE_CONFIG(F)                          \
    F(str, architecture, WIRE_NAME_MAX_BYTES)         \
    F(str, os, WIRE_NAME_MAX_BYTES)                   \
    F(strv, entrypoint, WIRE_ARGV_MAX_BYTES)          \
    F(strv, command, WIRE_ARGV_MAX_BYTES)             \
    F(strv, env, WIRE_ENV_MAX_BYTES)                  \
    F(strv, labels, WIRE_ENV_MAX_BYTES)               \
    F(str, cwd, WIRE_PATH_MAX_BYTES)                  \
    F(str, user, WIRE_NAME_MAX_BYTES)                 \
    F(str, stop_signal, WIRE_NAME_MAX_BYTES)          \
    F(strv, exposed_ports, WIRE_IMAGE_LIST_MAX_BYTES) \
    F(strv, volumes, WIRE_IMAGE_LIST_MAX_BYTES)       \
    F(strv, shell, WIRE_IMAGE_LIST_MAX_BYTES)         \
    F(strv, health_test, WIRE_IMAGE_LIST_MAX_BYTES)   \
    F(u64, health_interval_ns, 0)                     \
    F(u64, health_timeout_ns, 0)                      \
    F(u64, health_start_period_ns, 0)                 \
    F(u32, health_retries, 0)

/* Makes a base disk. kind: WIRE_IMAGE_...; the source is descriptor WIRE_WORKER_SOURCE_FD, the disk goes to WIRE_WORKER_DISK_FD. config: an
 * IMAGE_CONFIG for a root file system, which brings none; changes: to it, a Dockerfile's instructions. Limits: wire/image-limits.h; 0: the
 * default. */
#define WIRE_IMPORT(F)                            \
    F(u8, kind, 0)                                \
    F(str, reference, WIRE_NAME_MAX_BYTES)        \
    F(str, architecture, WIRE_NAME_MAX_BYTES)     \
    F(bytes, config, WIRE_IMAGE_CONFIG_MAX_BYTES) \
    F(strv, changes, WIRE_IMAGE_LIST_MAX_BYTES)   \
    F(u64, max_layers, 0)                         \
    F(u64, max_entries, 0)                        \
    F(u64, max_bytes, 0)                          \
    F(u64, max_ratio, 0)                          \
    F(u64, max_manifest_bytes, 0)

/* config: an IMAGE_CONFIG. */
#define WIRE_IMPORTED(F)              \
    F(str, id, WIRE_NAME_MAX_BYTES)   \
    F(str, name, WIRE_NAME_MAX_BYTES) \
    F(u64, disk_bytes, 0)             \
    F(u64, content_bytes, 0)          \
    F(bytes, config, WIRE_IMAGE_CONFIG_MAX_BYTES)

/* Asks for the configuration, as OCI writes it, of an image of one layer. config: an IMAGE_CONFIG; layer: the digest of the layer, unpacked. */
#define WIRE_DESCRIBE(F) F(bytes, config, WIRE_IMAGE_CONFIG_MAX_BYTES) F(str, layer, WIRE_NAME_MAX_BYTES)
#define WIRE_DESCRIBED(F) F(bytes, text, WIRE_IMAGE_CONFIG_MAX_BYTES)

/* item: the part of the work that this is about, a blob's or layer's digest, or "layer 2 of 5"; "" for the whole. */
#define WIRE_PROGRESS(F)              \
    F(str, what, WIRE_TEXT_MAX_BYTES) \
    F(str, item, WIRE_NAME_MAX_BYTES) \
    F(u64, done_bytes, 0)             \
    F(u64, total_bytes, 0)

/* Brings an image's blobs from a registry into the folder of blobs, WIRE_WORKER_SOURCE_FD. registry: a host, perhaps with a port; reference:
 * a tag or a digest; fetch_flags: WIRE_FETCH_...; auth_file: where logins are kept; env: the variables of the library's process.
 * Limits: as in IMPORT; store_max_bytes: what all images together may take, 0: no limit. */
#define WIRE_FETCH(F)                         \
    F(str, registry, WIRE_NAME_MAX_BYTES)     \
    F(str, repository, WIRE_NAME_MAX_BYTES)   \
    F(str, reference, WIRE_NAME_MAX_BYTES)    \
    F(u8, fetch_flags, 0)                     \
    F(str, architecture, WIRE_NAME_MAX_BYTES) \
    F(str, variant, WIRE_NAME_MAX_BYTES)      \
    F(str, auth_file, WIRE_PATH_MAX_BYTES)    \
    F(strv, env, WIRE_ENV_MAX_BYTES)          \
    F(u64, max_layers, 0)                     \
    F(u64, max_bytes, 0)                      \
    F(u64, max_manifest_bytes, 0)             \
    F(u64, store_max_bytes, 0)

/* registry: the one that had it. manifest, config: digests; blobs: the digests of all that belongs to the image, these two included. */
#define WIRE_FETCHED(F)                   \
    F(str, registry, WIRE_NAME_MAX_BYTES) \
    F(str, manifest, WIRE_NAME_MAX_BYTES) \
    F(str, config, WIRE_NAME_MAX_BYTES)   \
    F(strv, blobs, WIRE_BLOBS_MAX_BYTES)

/* Asks the registry whether it takes this user, and if it does keeps the login in auth_file. */
#define WIRE_LOGIN(F)                      \
    F(str, registry, WIRE_NAME_MAX_BYTES)  \
    F(str, user, WIRE_NAME_MAX_BYTES)      \
    F(str, password, WIRE_TEXT_MAX_BYTES)  \
    F(str, auth_file, WIRE_PATH_MAX_BYTES) \
    F(strv, env, WIRE_ENV_MAX_BYTES)

/* Forgets a login. */
#define WIRE_LOGOUT(F) F(str, registry, WIRE_NAME_MAX_BYTES) F(str, auth_file, WIRE_PATH_MAX_BYTES)
#define WIRE_DONE(F) F(u8, reserved, 0)

/* Builds the container. Descriptors: the folder that becomes the zygote's root, the box's cgroup. setup_flags: WIRE_SETUP_... */
#define WIRE_BUILD(F)                     \
    F(str, hostname, WIRE_NAME_MAX_BYTES) \
    F(str, rootfs, WIRE_PATH_MAX_BYTES)   \
    F(u8, setup_flags, 0)                 \
    F(u8, has_cgroup, 0)
#define WIRE_BUILT(F) F(u32, pid, 0)
#define WIRE_BUILD_FAILED(F) F(i32, error, 0) F(str, message, WIRE_TEXT_MAX_BYTES)

/* Makes a process. Descriptors: a memory file with the SPAWN message, then by create_flags (WIRE_CREATE_...) the exec's cgroup, then the
 * console socket, or stdin, stdout and stderr. */
#define WIRE_CREATE(F) F(u32, exec_id, 0) F(u8, create_flags, 0)
#define WIRE_CREATED(F) F(u32, exec_id, 0) F(u32, pid, 0) F(u32, inner_pid, 0)
#define WIRE_CREATE_FAILED(F) F(u32, exec_id, 0) F(u8, step, 0) F(i32, error, 0)
/* The process has ended and was reaped. signal 0: it exited by itself with code. */
#define WIRE_ENDED(F)         \
    F(u32, exec_id, 0)        \
    F(i32, code, 0)           \
    F(u8, signal, 0)          \
    F(u64, user_time_us, 0)   \
    F(u64, system_time_us, 0) \
    F(u64, max_rss_bytes, 0)
#define WIRE_SIGNAL_PROCESS(F) F(u32, exec_id, 0) F(u8, signal, 0)

/* M(struct, encoder, decoder, id, name, directions, fields): every name is written out, so that grep finds it. */
#define WIRE_MESSAGES(M)                                                                                                               \
    M(msg_hello, wire_encode_hello, wire_decode_hello, 1, "HELLO", TO_GUEST | TO_HOST | TO_SHIM | TO_CLIENT | TO_WORKER | TO_OWNER,    \
      WIRE_HELLO)                                                                                                                      \
    M(msg_setup, wire_encode_setup, wire_decode_setup, 2, "SETUP", TO_GUEST, WIRE_SETUP)                                               \
    M(msg_setup_done, wire_encode_setup_done, wire_decode_setup_done, 3, "SETUP_DONE", TO_HOST, WIRE_SETUP_DONE)                       \
    M(msg_setup_failed, wire_encode_setup_failed, wire_decode_setup_failed, 4, "SETUP_FAILED", TO_HOST, WIRE_SETUP_FAILED)             \
    M(msg_spawn, wire_encode_spawn, wire_decode_spawn, 5, "SPAWN", TO_GUEST | TO_SHIM, WIRE_SPAWN)                                     \
    M(msg_spawned, wire_encode_spawned, wire_decode_spawned, 6, "SPAWNED", TO_HOST, WIRE_SPAWNED)                                      \
    M(msg_spawn_failed, wire_encode_spawn_failed, wire_decode_spawn_failed, 7, "SPAWN_FAILED", TO_HOST | TO_CLIENT, WIRE_SPAWN_FAILED) \
    M(msg_exited, wire_encode_exited, wire_decode_exited, 8, "EXITED", TO_HOST | TO_CLIENT, WIRE_EXITED)                               \
    M(msg_signal, wire_encode_signal, wire_decode_signal, 9, "SIGNAL", TO_GUEST | TO_SHIM, WIRE_SIGNAL)                                \
    M(msg_resize, wire_encode_resize, wire_decode_resize, 10, "RESIZE", TO_GUEST | TO_SHIM, WIRE_RESIZE)                               \
    M(msg_shutdown, wire_encode_shutdown, wire_decode_shutdown, 11, "SHUTDOWN", TO_GUEST, WIRE_SHUTDOWN)                               \
    M(msg_goodbye, wire_encode_goodbye, wire_decode_goodbye, 12, "GOODBYE", TO_HOST, WIRE_GOODBYE)                                     \
    M(msg_measure, wire_encode_measure, wire_decode_measure, 13, "MEASURE", TO_GUEST, WIRE_MEASURE)                                    \
    M(msg_measured, wire_encode_measured, wire_decode_measured, 14, "MEASURED", TO_HOST, WIRE_MEASURED)                                \
    M(msg_volume, wire_encode_volume, wire_decode_volume, 15, "VOLUME", TO_GUEST, WIRE_VOLUME)                                         \
    M(msg_launch, wire_encode_launch, wire_decode_launch, 20, "LAUNCH", TO_SHIM, WIRE_LAUNCH)                                          \
    M(msg_launched, wire_encode_launched, wire_decode_launched, 21, "LAUNCHED", TO_CLIENT, WIRE_LAUNCHED)                              \
    M(msg_failed, wire_encode_failed, wire_decode_failed, 22, "FAILED", TO_CLIENT | TO_OWNER, WIRE_FAILED)                             \
    M(msg_attach, wire_encode_attach, wire_decode_attach, 23, "ATTACH", TO_SHIM, WIRE_ATTACH)                                          \
    M(msg_attached, wire_encode_attached, wire_decode_attached, 24, "ATTACHED", TO_CLIENT, WIRE_ATTACHED)                              \
    M(msg_stop, wire_encode_stop, wire_decode_stop, 25, "STOP", TO_SHIM, WIRE_STOP)                                                    \
    M(msg_detach, wire_encode_detach, wire_decode_detach, 26, "DETACH", TO_SHIM, WIRE_DETACH)                                          \
    M(msg_begun, wire_encode_begun, wire_decode_begun, 27, "BEGUN", TO_CLIENT, WIRE_BEGUN)                                             \
    M(msg_list, wire_encode_list, wire_decode_list, 28, "LIST", TO_SHIM, WIRE_LIST)                                                    \
    M(msg_listed, wire_encode_listed, wire_decode_listed, 29, "LISTED", TO_CLIENT, WIRE_LISTED)                                        \
    M(msg_exec_info, wire_encode_exec_info, wire_decode_exec_info, 31, "EXEC_INFO", TO_CLIENT | ON_DISK, WIRE_EXEC_INFO)               \
    M(msg_count, wire_encode_count, wire_decode_count, 32, "COUNT", TO_SHIM, WIRE_COUNT)                                               \
    M(msg_counted, wire_encode_counted, wire_decode_counted, 33, "COUNTED", TO_CLIENT, WIRE_COUNTED)                                   \
    M(msg_mount, wire_encode_mount, wire_decode_mount, 34, "MOUNT", TO_SHIM, WIRE_MOUNT)                                               \
    M(msg_unmount, wire_encode_unmount, wire_decode_unmount, 35, "UNMOUNT", TO_SHIM, WIRE_UNMOUNT)                                     \
    M(msg_mounted, wire_encode_mounted, wire_decode_mounted, 36, "MOUNTED", TO_CLIENT, WIRE_MOUNTED)                                   \
    M(msg_template, wire_encode_template, wire_decode_template, 38, "TEMPLATE", TO_SHIM, WIRE_TEMPLATE)                                \
    M(msg_template_made, wire_encode_template_made, wire_decode_template_made, 39, "TEMPLATE_MADE", TO_CLIENT, WIRE_TEMPLATE_MADE)     \
    M(msg_standby, wire_encode_standby, wire_decode_standby, 52, "STANDBY", TO_SHIM, WIRE_STANDBY)                                     \
    M(msg_standing, wire_encode_standing, wire_decode_standing, 53, "STANDING", TO_CLIENT, WIRE_STANDING)                              \
    M(msg_record, wire_encode_record, wire_decode_record, 30, "RECORD", ON_DISK, WIRE_RECORD)                                          \
    M(msg_template_about, wire_encode_template_about, wire_decode_template_about, 51, "TEMPLATE_ABOUT", ON_DISK, WIRE_TEMPLATE_ABOUT)  \
    M(msg_health_result, wire_encode_health_result, wire_decode_health_result, 37, "HEALTH_RESULT", ON_DISK, WIRE_HEALTH_RESULT)       \
    M(msg_import, wire_encode_import, wire_decode_import, 40, "IMPORT", TO_WORKER, WIRE_IMPORT)                                        \
    M(msg_progress, wire_encode_progress, wire_decode_progress, 41, "PROGRESS", TO_OWNER, WIRE_PROGRESS)                               \
    M(msg_imported, wire_encode_imported, wire_decode_imported, 42, "IMPORTED", TO_OWNER, WIRE_IMPORTED)                               \
    M(msg_fetch, wire_encode_fetch, wire_decode_fetch, 43, "FETCH", TO_WORKER, WIRE_FETCH)                                             \
    M(msg_fetched, wire_encode_fetched, wire_decode_fetched, 44, "FETCHED", TO_OWNER, WIRE_FETCHED)                                    \
    M(msg_login, wire_encode_login, wire_decode_login, 45, "LOGIN", TO_WORKER, WIRE_LOGIN)                                             \
    M(msg_logout, wire_encode_logout, wire_decode_logout, 46, "LOGOUT", TO_WORKER, WIRE_LOGOUT)                                        \
    M(msg_done, wire_encode_done, wire_decode_done, 47, "DONE", TO_OWNER, WIRE_DONE)                                                   \
    M(msg_image_config, wire_encode_image_config, wire_decode_image_config, 48, "IMAGE_CONFIG", WITHIN, WIRE_IMAGE_CONFIG)             \
    M(msg_describe, wire_encode_describe, wire_decode_describe, 49, "DESCRIBE", TO_WORKER, WIRE_DESCRIBE)                              \
    M(msg_described, wire_encode_described, wire_decode_described, 50, "DESCRIBED", TO_OWNER, WIRE_DESCRIBED)                          \
    M(msg_build, wire_encode_build, wire_decode_build, 60, "BUILD", TO_ZYGOTE, WIRE_BUILD)                                             \
    M(msg_built, wire_encode_built, wire_decode_built, 61, "BUILT", TO_AGENT, WIRE_BUILT)                                              \
    M(msg_build_failed, wire_encode_build_failed, wire_decode_build_failed, 62, "BUILD_FAILED", TO_AGENT, WIRE_BUILD_FAILED)           \
    M(msg_create, wire_encode_create, wire_decode_create, 63, "CREATE", TO_ZYGOTE, WIRE_CREATE)                                        \
    M(msg_created, wire_encode_created, wire_decode_created, 64, "CREATED", TO_AGENT, WIRE_CREATED)                                    \
    M(msg_create_failed, wire_encode_create_failed, wire_decode_create_failed, 65, "CREATE_FAILED", TO_AGENT, WIRE_CREATE_FAILED)      \
    M(msg_ended, wire_encode_ended, wire_decode_ended, 66, "ENDED", TO_AGENT, WIRE_ENDED)                                              \
    M(msg_signal_process, wire_encode_signal_process, wire_decode_signal_process, 67, "SIGNAL_PROCESS", TO_ZYGOTE, WIRE_SIGNAL_PROCESS)

/* clang-format on */

#endif
