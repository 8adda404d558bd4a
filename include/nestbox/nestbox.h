/* SPDX-License-Identifier: Apache-2.0
 *
 * nestbox.h - libnestbox: run untrusted code in boxes, each one OCI image in one micro-VM of its own
 *
 * The whole of the library's model:
 *
 *   runtime   one open home (a folder with boxes, images and their state); any number per process, any number of processes per home
 *   box       a record and a disk in the home; while it runs, a machine watched over by a nestbox-shim process of its own
 *   exec      one process in a running box, with its streams and its exit status; the main command is one too
 *
 * Rules that hold everywhere:
 *
 *   Results     int: 0, or -NB_E_...; the reason is in the nb_error passed last, which may be NULL. ret_ parameters are set on
 *               success only.
 *   Ownership   what a ret_ parameter gives belongs to the caller and is freed with the matching _free, which takes NULL. Strings
 *               and memory passed in are borrowed for the call. Strings inside a result live as long as the result.
 *   Options     a struct begins with its own size (use the _INIT macro); zero means default for every member. A member that this
 *               library does not know must be zero, else -NB_E_UNSUPPORTED.
 *   Threads     no global state. A runtime may be used by several threads at once; a box handle likewise; an exec as said there.
 *   Processes   the library makes no thread, installs no signal handler, writes to no stream, and never waits for a child that is
 *               not its own. Its helper processes do not appear among the caller's children. All its descriptors are CLOEXEC.
 *   fork        after fork() the child must not use handles opened before it.
 *   Times       milliseconds unless the name says otherwise; a timeout of -1 waits for ever, of 0 only looks.
 */
#ifndef NESTBOX_NESTBOX_H
#define NESTBOX_NESTBOX_H

#include <nestbox/error.h>
#include <nestbox/state.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NB_API __attribute__((visibility("default")))

#define NB_VERSION_MAJOR 0
#define NB_VERSION_MINOR 1
#define NB_VERSION_PATCH 0
#define NB_VERSION "0.1.0"

/* The version of the library that is loaded, "0.1.0"; static. */
NB_API const char *nb_version(void);

/* The text of an error code, "not found"; static, never NULL. Takes a code with either sign. */
NB_API const char *nb_error_text(int code);

typedef struct nb_runtime nb_runtime;
typedef struct nb_box nb_box;
typedef struct nb_exec nb_exec;

/* A list of strings. NULL-terminated arrays are not needed: @count counts. */
typedef struct nb_strings {
    const char *const *items;
    size_t count;
} nb_strings;

/* ------------------------------------------------------------------------------------------------------------ runtime */

typedef enum nb_log_level { NB_LOG_ERROR = 0, NB_LOG_WARNING = 1, NB_LOG_INFO = 2, NB_LOG_DEBUG = 3 } nb_log_level;

/* How far a long call is: of one part of the work, or of the whole. */
typedef struct nb_progress {
    const char *
        what; /* in a word or a few: "waiting", "fetching", "fetched", "here already", "unpacking", "unpacked", "waiting for the registry" */
    const char *item;                 /* which part: a layer's or another blob's digest, "layer 2 of 5"; "" for the whole */
    uint64_t done_bytes, total_bytes; /* of the part; total_bytes 0: not known */
} nb_progress;

typedef struct nb_runtime_options {
    size_t size;
    const char *home;        /* default: $NESTBOX_HOME, else $XDG_DATA_HOME/nestbox, else ~/.local/share/nestbox; made with mode 0700 */
    const char *accelerator; /* "kvm" or "tcg"; default: $NESTBOX_ACCEL, else KVM where it is real, else TCG */
    /* Called from within library calls, in their thread, for each decision worth a line. @line is valid during the call only. */
    void (*log)(void *user, nb_log_level level, const char *line);
    void *log_user;
    nb_log_level log_level; /* lines above it are not made; 0 is errors only */
    /* Called from within library calls, in their thread, while an image is prepared, read or written: each new state of a part, how far it is
     * ten times a second, and once a second at the least while something is waited for. 0: go on. Anything else: give up. The call then
     * returns -NB_E_CANCELLED, and nothing stays of what it made or fetched. @progress is valid during the call only. */
    int (*progress)(void *user, const nb_progress *progress);
    void *progress_user;
} nb_runtime_options;
#define NB_RUNTIME_OPTIONS_INIT \
    { .size = sizeof(nb_runtime_options) }

/* Opens a home, making it where it does not exist, and repairs the records of boxes whose processes ended without saying so.
 *
 * @options  may be NULL
 * Errors: -NB_E_INVALID, -NB_E_STORAGE, -NB_E_PERMISSION (the home cannot be written, or belongs to somebody else), -NB_E_DATABASE
 * (damaged, or written by a newer Nestbox), -NB_E_NO_MEMORY. */
NB_API int nb_runtime_open(const nb_runtime_options *options, nb_runtime **ret_runtime, nb_error *err);

/* Closes it. Boxes that are not detached go on until this *process* ends or they are stopped. Handles made from it must be freed first. */
NB_API void nb_runtime_close(nb_runtime *runtime);

typedef struct nb_info {
    const char *version;            /* of the library */
    const char *home;               /* absolute */
    const char *accelerator;        /* "kvm" or "tcg" */
    const char *accelerator_reason; /* why that one: "the CPU offers neither vmx nor svm" */
    const char *qemu;               /* path of the machine program, or NULL where none was found */
    const char *kernel;             /* path of the guest kernel, or NULL where the guest bundle was not found */
    const char *kernel_version;     /* "6.1.0-56-cloud-amd64", or NULL */
    const char *architecture;       /* of boxes: "amd64", "arm64" */
    size_t boxes, boxes_running, images;
} nb_info;

/* What this runtime is and would use. Free with nb_info_free(). */
NB_API int nb_runtime_info(nb_runtime *runtime, nb_info **ret_info, nb_error *err);
NB_API void nb_info_free(nb_info *info);

/* Removes what is to go by itself: boxes with auto_remove or auto_delete_ms whose time has come, and what a crash left behind. Opening a home does
 * the same; this is for who keeps it open. What another program is at work on is left to it. */
NB_API int nb_runtime_sweep(nb_runtime *runtime, nb_error *err);

typedef enum nb_check_state {
    NB_CHECK_OK = 0,
    NB_CHECK_WARNING = 1, /* boxes run, with less than there could be */
    NB_CHECK_ERROR = 2,   /* boxes do not run */
} nb_check_state;

typedef struct nb_check {
    const char *name; /* "accelerator" */
    nb_check_state state;
    const char *found;   /* what there is */
    const char *meaning; /* what follows from it for boxes; "" where nothing does */
    const char *remedy;  /* how to mend it; "" where nothing is to be mended */
} nb_check;

typedef struct nb_checks {
    const nb_check *items;
    size_t count, errors;
} nb_checks;

/* Looks at all that boxes need on this host and in a home, also where the home cannot be opened: that is then one of the errors found.
 *
 * @options  as of nb_runtime_open()
 * -NB_E_NO_MEMORY, -NB_E_INVALID (the options). Free the result with nb_checks_free(). */
NB_API int nb_doctor(const nb_runtime_options *options, nb_checks **ret_checks, nb_error *err);
NB_API void nb_checks_free(nb_checks *checks);

/* "warning"; "unknown" for what is none. Static. */
NB_API const char *nb_check_state_name(nb_check_state state);

typedef struct nb_usage {
    size_t count;               /* how many there are */
    size_t active;              /* images that a box is made from, boxes that run; of other kinds all */
    uint64_t size_bytes;        /* what they take on the home's file system */
    uint64_t reclaimable_bytes; /* of it, what would be free if all that are not active were removed */
} nb_usage;

typedef struct nb_disk_usage {
    nb_usage images;    /* their base disks */
    nb_usage boxes;     /* their disks and logs */
    nb_usage blobs;     /* what registries sent; removed with the last image that has it */
    nb_usage volumes;   /* named ones; active: a box mounts it */
    nb_usage templates; /* saved machines, wherever they are; another start makes them anew */
    nb_usage cache;     /* this version's helper programs, and other versions' */
} nb_disk_usage;

/* What the home takes on its file system. Looks at every file of it, so it takes a moment. */
NB_API int nb_runtime_disk_usage(nb_runtime *runtime, nb_disk_usage *ret_usage, nb_error *err);

/* ------------------------------------------------------------------------------------------------------------- images */

/* How the health of a box is looked at: Docker's HEALTHCHECK. A command is run in the box every interval; status 0 within the timeout is
 * good. */
typedef struct nb_health_check {
    nb_strings test; /* "NONE"; "CMD" and a command's words; "CMD-SHELL" and a line for the shell. Empty: not said */
    uint64_t interval_ns, timeout_ns, start_period_ns; /* nanoseconds; 0: not said. What fails within the start period does not count */
    uint32_t retries;                                  /* failures in a row that make it unhealthy; 0: not said */
} nb_health_check;

typedef struct nb_image_info {
    const char *id;         /* "sha256:" and 64 hexadecimal digits: the digest of the image's configuration */
    const char *name;       /* "busybox", "rootfs:/srv/a.tar": what it was made or named as */
    uint64_t created_at_ms; /* when it came into this home, wall clock */
    uint64_t size_bytes;    /* what its base disk takes on the host's file system */
    uint64_t disk_bytes;    /* how large its base disk is */
    nb_strings entrypoint, command, environment;
    const char *working_directory; /* "" is "/" */
    const char *user;              /* "" is root */
    const char *stop_signal;       /* "" is SIGTERM */
    const char *architecture, *os; /* "amd64", "linux" */
    /* What an image says besides. It is carried and shown: no port is published by it, no volume made. */
    nb_strings exposed_ports; /* "80/tcp", "8000-8010/udp" */
    nb_strings volumes;       /* absolute paths in the box */
    nb_strings labels;        /* "KEY=value"; its boxes have them too */
    nb_strings shell;         /* what its builder ran commands with, "/bin/bash", "-c" */
    nb_health_check health_check;
} nb_image_info;

typedef struct nb_image_list {
    const nb_image_info *items;
    size_t count;
} nb_image_list;

/* Where an image comes from: "busybox" (built in), "rootfs:FILE.tar[.gz|.zst]", "oci:DIR[:TAG]", "oci-archive:FILE[:TAG]",
 * "docker-archive:FILE[:REF]", "dir:PATH" (a folder as root file system), the name or id of an image that is already here, or a name in a
 * registry, "[HOST[:PORT]/]PATH[:TAG][@sha256:...]", which means what it means to Docker: "python:3.12" is docker.io/library/python:3.12.
 *
 * Makes it ready: fetches it where it is not here, reads it in a worker process, writes its base disk, and records it. What is already
 * here and has not changed is not made again. Only regular files and folders named by @reference are opened.
 *
 * @name     record it under this name too, or NULL
 * Errors: -NB_E_IMAGE (damaged, unsupported, or not to be had from its registry; nothing is recorded), -NB_E_NOT_FOUND, -NB_E_INVALID (the
 * reference's syntax, or the settings of registries), -NB_E_PERMISSION (the registry wants a login, or another), -NB_E_STORAGE,
 * -NB_E_EXHAUSTED (a limit on images, which images.json may raise, or the registry's on requests), -NB_E_TIMEOUT (it takes longer than
 * images.json allows). Where images.json sets a size for all images, others that no box is made from may go for the new one (docs/images.md).
 * Free the result with nb_image_free(). */
NB_API int nb_image_prepare(nb_runtime *runtime, const char *reference, const char *name, nb_image_info **ret_image, nb_error *err);

/* When a registry is asked for an image that is named by its name there. */
typedef enum nb_pull_policy {
    NB_PULL_MISSING = 0, /* when it is not here */
    NB_PULL_ALWAYS = 1,  /* each time; what is here already of it is not fetched again */
    NB_PULL_NEVER = 2,   /* never; nor is anything else made that is not here */
} nb_pull_policy;

/* The same as nb_image_prepare(), and the registry is asked in any case.
 *
 * @platform  "linux/arm64", "linux/arm/v7"; NULL: this host's
 * Blocks for as long as it takes; a server that sends nothing for a minute has failed. What came until then is kept for a day, and
 * the next pull goes on from there. Ending this process ends the pull. */
NB_API int nb_image_pull(nb_runtime *runtime, const char *reference, const char *platform, nb_image_info **ret_image, nb_error *err);

/* Keeps a login for a registry in the home, readable for its owner only, when the registry takes it. Logins that Docker and Podman keep are
 * used too, after these. @registry: "HOST[:PORT]". -NB_E_PERMISSION: the registry refuses it. */
NB_API int nb_registry_login(nb_runtime *runtime, const char *registry, const char *user, const char *password, nb_error *err);
/* Forgets it. -NB_E_NOT_FOUND: there is none. */
NB_API int nb_registry_logout(nb_runtime *runtime, const char *registry, nb_error *err);

typedef struct nb_import_options {
    size_t size;
    nb_strings command; /* the image's; default: none */
    nb_strings
        changes; /* a Dockerfile's instructions: "ENTRYPOINT [\"/bin/server\"]", "ENV A=1 B=2"; applied after the command. CMD, ENTRYPOINT,
                               ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR; a '$' in them is no variable */
} nb_import_options;
#define NB_IMPORT_OPTIONS_INIT \
    { .size = sizeof(nb_import_options) }

/* Makes an image from a tar stream, compressed or not.
 *
 * @fd       read to its end; borrowed
 * @name     the image's name; required
 * @options  may be NULL
 * Errors as of nb_image_prepare(). */
NB_API int nb_image_import(nb_runtime *runtime, int fd, const char *name, const nb_import_options *options, nb_image_info **ret_image,
                           nb_error *err);

/* The same for an archive written by `docker save` or an OCI archive; it names its images itself.
 *
 * @path  of the archive, or NULL to read @fd to its end; unless that is a regular file at its beginning, it is first copied into the home (both
 *        formats need seeking), where it takes at most four times what images.json allows an image */
NB_API int nb_image_load(nb_runtime *runtime, const char *path, int fd, nb_image_info **ret_image, nb_error *err);

NB_API int nb_image_list_get(nb_runtime *runtime, nb_image_list **ret_list, nb_error *err);
NB_API void nb_image_list_free(nb_image_list *list);

/* Looks an image up by name, id, or an unambiguous prefix of its id of at least four digits. -NB_E_NOT_FOUND if it is not here. */
NB_API int nb_image_inspect(nb_runtime *runtime, const char *name_or_id, nb_image_info **ret_image, nb_error *err);
NB_API void nb_image_free(nb_image_info *image);

/* Gives an image another name, which may have been another image's. @name: as in a registry. -NB_E_INVALID, -NB_E_NOT_FOUND. */
NB_API int nb_image_tag(nb_runtime *runtime, const char *name_or_id, const char *name, nb_error *err);

/* Removes images that no box is made from: those that have no name any more, or with @all whatever their names. @ret_removed: which they
 * were; nb_image_list_free(). When one cannot be removed, those before it are. */
NB_API int nb_image_prune(nb_runtime *runtime, bool all, nb_image_list **ret_removed, nb_error *err);

/* Writes an image as an OCI archive, which docker, podman and skopeo load too. One that came from a registry has the very blobs that were
 * there. Any other has one layer of all its files, which a machine of its own reads from the base disk: it takes as long as a start of a box
 * and a copy, and as much room in the home as the files.
 *
 * @fd  borrowed, written in order, may be a pipe
 * Errors: -NB_E_NOT_FOUND, -NB_E_STORAGE, -NB_E_UNSUPPORTED (a layer of more than 8 GiB), and those of nb_box_start(). */
NB_API int nb_image_save(nb_runtime *runtime, const char *name_or_id, int fd, nb_error *err);

/* Removes an image's name and, with its last name, its base disk. -NB_E_INVALID_STATE while a box is made from it. */
NB_API int nb_image_remove(nb_runtime *runtime, const char *name_or_id, nb_error *err);

/* ------------------------------------------------------------------------------------------------------------ volumes */

/* What is mounted in a box beside its disk. */
typedef enum nb_mount_kind {
    NB_MOUNT_BIND = 0,   /* a folder or a regular file of the host: both sides see each other's changes */
    NB_MOUNT_VOLUME = 1, /* a named volume: a folder in the home, made where it does not exist, that outlives boxes */
    NB_MOUNT_TMPFS = 2,  /* memory of the box, empty at each start */
} nb_mount_kind;

typedef struct nb_mount {
    nb_mount_kind kind;
    const char *source; /* BIND: an absolute path; VOLUME: a name, as of a box; TMPFS: NULL */
    const char
        *target;    /* an absolute path in the box, made where it does not exist; not "/", nor within /proc, /sys or /dev but /dev/shm */
    bool read_only; /* of a bind or a volume the host refuses every change, whatever the guest does */
    const char
        *options; /* TMPFS: NULL, or words with commas between: "size=64m", "mode=1777", "uid=", "gid=", "nr_inodes=", and "exec", "suid",
                            "dev", without which it is mounted noexec, nosuid and nodev. Otherwise NULL */
} nb_mount;

typedef struct nb_mounts {
    const nb_mount *items;
    size_t count;
} nb_mounts;

#define NB_MOUNTS_MAX 256

typedef struct nb_volume_info {
    const char *name;
    const char *path; /* of its folder on the host */
    uint64_t created_at_ms;
    size_t boxes; /* that mount it, running or not */
} nb_volume_info;

typedef struct nb_volume_list {
    const nb_volume_info *items; /* by name */
    size_t count;
} nb_volume_list;

/* Makes a named volume; one that is there is left as it is.
 *
 * @name  [A-Za-z0-9][A-Za-z0-9_.-]{0,127}
 * Errors: -NB_E_INVALID, -NB_E_STORAGE. Free the result with nb_volume_free(). */
NB_API int nb_volume_create(nb_runtime *runtime, const char *name, nb_volume_info **ret_volume, nb_error *err);

/* -NB_E_NOT_FOUND. */
NB_API int nb_volume_inspect(nb_runtime *runtime, const char *name, nb_volume_info **ret_volume, nb_error *err);
NB_API void nb_volume_free(nb_volume_info *volume);

NB_API int nb_volume_list_get(nb_runtime *runtime, nb_volume_list **ret_list, nb_error *err);
NB_API void nb_volume_list_free(nb_volume_list *list);

/* Removes a volume with all that is in it. -NB_E_INVALID_STATE while a box mounts it, running or not; -NB_E_NOT_FOUND. */
NB_API int nb_volume_remove(nb_runtime *runtime, const char *name, nb_error *err);

/* -------------------------------------------------------------------------------------------------------------- boxes */

/* "running"; "unknown" for what is none. Static. */
NB_API const char *nb_box_state_name(nb_box_state state);

/* "exit"; "unknown" for what is none. Static. */
NB_API const char *nb_end_cause_name(nb_end_cause cause);

#define NB_MEMORY_DEFAULT_BYTES (UINT64_C(256) << 20)
#define NB_MEMORY_MIN_BYTES (UINT64_C(16) << 20)
#define NB_MEMORY_MAX_BYTES (UINT64_C(64) << 30)
#define NB_DISK_DEFAULT_BYTES (UINT64_C(10) << 30)
#define NB_DISK_MIN_BYTES (UINT64_C(64) << 20)
#define NB_DISK_MAX_BYTES (UINT64_C(1) << 40)
#define NB_CPUS_DEFAULT 1
#define NB_CPUS_MAX 64
#define NB_CPU_MILLIS_MIN 10
#define NB_IO_BYTES_MIN (UINT64_C(64) << 10)
#define NB_IO_BYTES_MAX (UINT64_C(1) << 40)
#define NB_IO_OPERATIONS_MAX 10000000
#define NB_PIDS_DEFAULT 4096
#define NB_STOP_TIMEOUT_DEFAULT_MS 10000
#define NB_BOOT_TIMEOUT_DEFAULT_MS 60000

#define NB_HEALTH_INTERVAL_DEFAULT_MS 30000
#define NB_HEALTH_TIMEOUT_DEFAULT_MS 30000
#define NB_HEALTH_RETRIES_DEFAULT 3

/* "on-failure"; "unknown" for what is none. Static. */
NB_API const char *nb_restart_policy_name(nb_restart_policy policy);

/* "healthy"; "unknown" for what is none. Static. */
NB_API const char *nb_health_name(nb_health health);

typedef struct nb_box_options {
    size_t size;
    const char *image;             /* as nb_image_prepare() takes it; required */
    const char *name;              /* [A-Za-z0-9][A-Za-z0-9_.-]{0,127}; default: none, the id names it */
    nb_strings command;            /* replaces the image's command */
    nb_strings entrypoint;         /* replaces the image's entrypoint, and its command too, as Docker does */
    bool clear_entrypoint;         /* run without the image's entrypoint */
    nb_strings environment;        /* "NAME=value", over the image's */
    const char *working_directory; /* absolute; default the image's, else "/"; made if it does not exist */
    const char *user;              /* name, id, or either with ":group"; default the image's, else root */
    const char *hostname;          /* default the box's id */
    nb_strings labels;             /* "KEY=value", over the image's */
    uint64_t memory_bytes;         /* of the container; the machine has a little more */
    uint32_t cpus;
    uint64_t disk_bytes; /* at least what the image takes */
    uint32_t pids_max;
    const char *stop_signal;  /* "TERM", "SIGINT", "15"; default the image's, else TERM */
    uint32_t stop_timeout_ms; /* between the stop signal and the kill */
    bool tty;                 /* the main command gets a terminal */
    bool open_stdin;          /* the main command's stdin comes from who attaches, and is open until then; otherwise it is /dev/null */
    bool detach;              /* outlives the program that starts it */
    bool auto_remove;         /* removed when it stops */
    bool init;                /* a small init above the main command, which reaps orphans */
    bool keep;                /* no main command: the box runs until it is stopped, whatever the image says */
    uint32_t boot_timeout_ms; /* from the machine's start to the guest's first word */
    uint64_t timeout_ms;      /* of the main command and all that came from it: SIGTERM, 2 s later SIGKILL; 0: none */
    /* As in nb_exec_options, for the main command; execs begin from them. */
    nb_strings cap_add, cap_drop, ulimits;
    bool no_new_privileges;
    nb_pull_policy pull;  /* of an image that a registry has */
    const char *platform; /* as nb_image_pull() takes it; one that is not this host's is refused, for now */
    nb_mounts mounts;     /* at most NB_MOUNTS_MAX; one whose target lies within another's is mounted after that */
    /* The box's supervisor starts it again when it has ended by itself or crashed, after 0.1 s, then twice as long each time up to a minute, and
     * from 0.1 s on again when it ran for 10 s. Not with auto_remove, nor without a main command. After a start of the host, see
     * docs/lifecycle.md. */
    nb_restart_policy restart;
    uint32_t restart_retries;      /* of NB_RESTART_ON_FAILURE: at most so often in a row; 0: without end */
    const nb_health_check *health; /* what it does not say is as the image says it, else the default; NULL: as the image says */
    uint64_t
        auto_stop_ms; /* stopped when for so long no exec ran in it, nothing was copied or mounted, and nobody was attached; 0: never */
    uint64_t max_lifetime_ms; /* of each run: stopped when it ran for so long; 0: none */
    uint64_t
        auto_delete_ms; /* removed when it has been stopped, or failed, for so long: by nb_runtime_sweep(), or who opens the home; 0: never */
    /* Processor time, in thousandths of a processor, from NB_CPU_MILLIS_MIN to cpus * 1000; without cpus, the box has as many as that takes; 0: all
     * of its processors'. docs/limits.md. */
    uint32_t cpu_millis;
    /* Of the disk, reads and writes together, NB_IO_BYTES_MIN to NB_IO_BYTES_MAX and 1 to NB_IO_OPERATIONS_MAX; 0: no limit. */
    uint64_t io_bytes_per_second;
    uint32_t io_operations_per_second;
} nb_box_options;
#define NB_BOX_OPTIONS_INIT \
    { .size = sizeof(nb_box_options) }

/* Makes a box: prepares its image, a disk over the image's base disk, a record. Nothing runs. Blocks while the image is prepared.
 *
 * Errors: those of nb_image_prepare(); -NB_E_INVALID (an option, naming it and its range; no command given and none in the image; a mount's
 * source that is neither a folder nor a regular file), -NB_E_NOT_FOUND (a mount's source), -NB_E_ALREADY_EXISTS (the name), -NB_E_STORAGE. Free the handle with nb_box_free(), which leaves the box as it is. */
NB_API int nb_box_create(nb_runtime *runtime, const nb_box_options *options, nb_box **ret_box, nb_error *err);

/* Finds a box by its name, its id, or an unambiguous prefix of its id. -NB_E_NOT_FOUND, or -NB_E_INVALID when several begin so. */
NB_API int nb_box_open(nb_runtime *runtime, const char *name_or_id, nb_box **ret_box, nb_error *err);
NB_API void nb_box_free(nb_box *box);

/* The id, 12 characters; valid as long as the handle. */
NB_API const char *nb_box_id(const nb_box *box);

typedef struct nb_commit_options {
    size_t size;
    const char *name;   /* of the image, as in a registry; default: none, its id names it */
    nb_strings changes; /* as in nb_import_options */
} nb_commit_options;
#define NB_COMMIT_OPTIONS_INIT \
    { .size = sizeof(nb_commit_options) }

/* Makes an image of what is on the disk of a box that does not run. A machine reads the disk, without the main command; what is mounted
 * in a box (/proc, /dev, the box's own /etc/hosts, /etc/hostname and /etc/resolv.conf) is not part of it. The image wants to be run as the
 * box was: with its command, environment, working directory, user, labels and stop signal, and the @options' changes. It has one layer. The box
 * stays as it is.
 *
 * @options  may be NULL
 * Errors: -NB_E_INVALID_STATE (the box runs), -NB_E_INVALID (the name, a change), and those of nb_box_start() and nb_image_prepare().
 * Free the result with nb_image_free(). */
NB_API int nb_box_commit(nb_box *box, const nb_commit_options *options, nb_image_info **ret_image, nb_error *err);

typedef struct nb_start_options {
    size_t size;
    bool detach;            /* outlives this program, even where the box was not made so */
    uint16_t columns, rows; /* of the main command's terminal, where it has one; default 80 x 24 */
    bool visit;   /* without the main command, for copies and execs in a box that does not run. It leaves no trace of its own: meanwhile
                               the box counts as starting, and who starts it waits; after nb_box_stop() it is what it was before. It ends
                               with this program at the latest. -NB_E_INVALID_STATE: the box runs, and is left as it is */
    bool standby; /* take a machine that waits (nestbox/standby.h), where the box has not run yet and one is there for its image, memory,
                   * processors and size of disk; otherwise start as ever. None for a box whose disk is bounded */
    bool bare;    /* of a visit: nothing is mounted but the box's disk; what is no longer on the host then does not matter */
} nb_start_options;
#define NB_START_OPTIONS_INIT \
    { .size = sizeof(nb_start_options) }

/* Boots the machine and runs the main command. Blocks until the command runs, at most the boot timeout and a little.
 *
 * @options   may be NULL
 * @ret_main  an exec handle for the main command that is attached before it runs, so that not a byte is missed; NULL: its output goes
 *            to the box's log only. With a handle it goes to both. A box without a main command gives NULL.
 * A running box: nothing is started; @ret_main is attached to the running main command.
 * Errors: -NB_E_COMMAND_NOT_FOUND, -NB_E_COMMAND_REFUSED (the machine ran, the command could not), -NB_E_MACHINE (says which step failed,
 * how QEMU ended, and the console's last lines), -NB_E_TIMEOUT (boot), -NB_E_INVALID_STATE (STOPPING; somebody is attached already). The box is
 * FAILED after such an error and keeps the reason. */
NB_API int nb_box_start(nb_box *box, const nb_start_options *options, nb_exec **ret_main, nb_error *err);

/* Lets a running box outlive the program that started it. -NB_E_STOPPED. */
NB_API int nb_box_detach(nb_box *box, nb_error *err);

/* Stops it: the stop signal to the main command, after the grace period SIGKILL to everything, file systems synced and unmounted, machine
 * off. Returns when no process of it is left, but for its supervisor where somebody has not read yet what is his. A box that is not running is fine.
 *
 * @grace_ms  -1: the box's own stop timeout */
NB_API int nb_box_stop(nb_box *box, int64_t grace_ms, nb_error *err);

/* Mounts one thing more in a box: at once where it runs, and at each start from now on. Blocks until it is mounted, at most 120 s.
 *
 * Errors: those of nb_box_create() for mounts; -NB_E_STORAGE (it could not be mounted; nothing has changed), -NB_E_TIMEOUT. */
NB_API int nb_box_mount(nb_box *box, const nb_mount *mount, nb_error *err);

/* Takes what is mounted at @target away, as nb_box_mount() adds it. -NB_E_NOT_FOUND; -NB_E_STORAGE: a process of the box uses it, or something is mounted
 * within it. */
NB_API int nb_box_unmount(nb_box *box, const char *target, nb_error *err);

/* Gives it another name, running or not. -NB_E_INVALID, -NB_E_ALREADY_EXISTS (another box has it), -NB_E_NOT_FOUND. */
NB_API int nb_box_rename(nb_box *box, const char *name, nb_error *err);

/* Removes the box, its disk and its logs. -NB_E_INVALID_STATE while it runs, unless @force, which kills it first. */
NB_API int nb_box_remove(nb_box *box, bool force, nb_error *err);

typedef struct nb_timing {
    /* How long each step of the last start took, in microseconds; 0 while it has not been reached. They add up to total_us. */
    uint64_t prepare_us;   /* locks, records, the shim's start */
    uint64_t machine_us;   /* until QEMU answered */
    uint64_t boot_us;      /* until the guest's first word */
    uint64_t container_us; /* disk mounted, container built */
    uint64_t command_us;   /* until the main command ran (or the box was ready, without one) */
    uint64_t total_us;
} nb_timing;

/* What the host holds a box's machine to by control groups, besides what the guest enforces inside. docs/limits.md. */
typedef struct nb_host_limits {
    const char *by;         /* "systemd", "cgroup v2", "cgroup v1"; "" when by nothing, or not known yet */
    bool cpu, memory, pids; /* which of them */
    const char *missing;    /* why not all of them; "" otherwise */
} nb_host_limits;

typedef struct nb_box_info {
    const char *id, *name; /* name "" where it has none */
    const char *image;     /* as it was named at create */
    const char *image_id;
    nb_box_state state;
    nb_end_cause cause;
    bool has_exit; /* the main command has ended at least once: exit_code is meaningful */
    int exit_code; /* 0..255, 128 + signal when a signal ended it */
    int exit_signal;
    bool oom_killed, timed_out;
    const char *message;                                   /* why it FAILED or crashed; "" otherwise */
    uint64_t created_at_ms, started_at_ms, finished_at_ms; /* wall clock; 0: never */
    int64_t shim_pid, machine_pid;                         /* 0 when not running */
    nb_strings command;                                    /* entrypoint and command as they are run */
    nb_strings environment, labels;
    const char *working_directory, *user, *hostname, *stop_signal;
    uint64_t memory_bytes, disk_bytes;
    uint32_t cpus, pids_max, stop_timeout_ms;
    bool tty, open_stdin, detach, auto_remove, init, keep, no_new_privileges;
    nb_strings cap_add, cap_drop, ulimits;
    nb_mounts mounts;    /* of a named volume the source is its name */
    uint64_t timeout_ms; /* 0: none */
    nb_restart_policy restart;
    uint32_t restart_retries;
    uint32_t restart_count;                                 /* how often its supervisor has started it again since somebody did */
    uint64_t next_start_at_ms;                              /* STARTING: when it is started again, wall clock; 0: it is being started */
    uint64_t auto_stop_ms, max_lifetime_ms, auto_delete_ms; /* 0: none */
    nb_health_check health_check;                           /* as it is run: "CMD" and words; an empty test: none */
    nb_health health;                                       /* of the last run; NB_HEALTH_NONE without a health check */
    uint32_t health_failures;                               /* in a row */
    const char *accelerator;                                /* of the last start, "" before the first */
    nb_timing timing;                                       /* of the last start */
    uint32_t cpu_millis;                                    /* 0, like the next two: no limit */
    uint64_t io_bytes_per_second;
    uint32_t io_operations_per_second;
    nb_host_limits host_limits; /* of the last start */
} nb_box_info;

typedef struct nb_box_list {
    const nb_box_info *items; /* newest first */
    size_t count;
} nb_box_list;

NB_API int nb_box_inspect(nb_box *box, nb_box_info **ret_info, nb_error *err);
NB_API void nb_box_info_free(nb_box_info *info);

NB_API int nb_box_list_get(nb_runtime *runtime, nb_box_list **ret_list, nb_error *err);
NB_API void nb_box_list_free(nb_box_list *list);

typedef struct nb_health_result {
    uint64_t started_at_ms, finished_at_ms; /* wall clock */
    int exit_code;                          /* of the command, 128 + signal when a signal ended it; -1: it could not be run */
    bool timed_out;
    const char *output; /* the beginning of what it wrote, at most 4 KiB, stdout first; or why it could not be run */
} nb_health_result;

typedef struct nb_health_results {
    const nb_health_result *items; /* oldest first */
    size_t count;
} nb_health_results;

/* The last results of a box's health check, five at most, of its last run. */
NB_API int nb_box_health_get(nb_box *box, nb_health_results **ret_results, nb_error *err);
NB_API void nb_health_results_free(nb_health_results *results);

/* What a running box uses. Totals count from its start. */
typedef struct nb_box_stats {
    uint64_t at_us;                      /* when it was measured, CLOCK_MONOTONIC of the host: for differences */
    uint64_t commands_executed;          /* processes that were begun, the main command among them */
    uint64_t exec_errors;                /* those that could not be */
    uint64_t bytes_sent, bytes_received; /* of their stdin; of their stdout and stderr */
    uint64_t cpu_time_us;                /* of all the box's processes, of its control group in the guest */
    uint64_t memory_bytes;               /* the same, without cached files that could be dropped */
    uint64_t memory_limit_bytes;         /* the box's */
    uint32_t processes, processes_limit; /* 0: no limit */
    uint32_t cpus;                       /* the box's processors */
    uint64_t machine_cpu_time_us;        /* of QEMU, on the host */
    uint64_t machine_memory_bytes;       /* resident */
    uint64_t shim_memory_bytes;          /* resident, of the box's supervisor */
} nb_box_stats;

/* Measures a running box. Errors: -NB_E_STOPPED, -NB_E_BOX_GONE, -NB_E_TIMEOUT (the guest does not answer). */
NB_API int nb_box_stats_get(nb_box *box, nb_box_stats *ret_stats, nb_error *err);

typedef struct nb_process {
    int64_t pid, parent; /* in the box; the parent 0 for what has none there */
    uint32_t user;
    char state;           /* as in proc(5): 'R', 'S', 'D', 'T', 'Z' */
    uint64_t cpu_time_us; /* its own, without that of children */
    uint64_t age_ms;
    const char *command; /* its words with spaces between */
} nb_process;

typedef struct nb_process_list {
    const nb_process *items;
    size_t count;
} nb_process_list;

/* The processes of a running box, as the box sees them; told by one of its own, which needs no program of the image.
 * Errors as of nb_exec_start(). */
NB_API int nb_process_list_get(nb_box *box, nb_process_list **ret_list, nb_error *err);
NB_API void nb_process_list_free(nb_process_list *list);

typedef enum nb_log_kind {
    NB_LOG_MAIN = 0,    /* the main command's output */
    NB_LOG_CONSOLE = 1, /* the guest kernel's console, at most its last 1 MiB */
    NB_LOG_SHIM = 2,    /* what the box's supervisor decided, for finding faults */
} nb_log_kind;

/* Reads what a box has logged so far, of its last start, calling @write for each piece in order.
 *
 * @write  stream is 1 for stdout (and for the console), 2 for stderr; @at_ms its wall clock, 0 where unknown. A result other than 0 ends
 *         the reading and is returned. */
NB_API int nb_box_logs(nb_box *box, nb_log_kind kind,
                       int (*write)(void *user, int stream, uint64_t at_ms, const void *bytes, size_t length), void *user, nb_error *err);

/* Reads the main command's output of the last start as nb_box_logs() does, and goes on with what is added until the box has stopped. The calling
 * thread waits; a result of @write ends it, and so does time.
 *
 * @timeout_ms  -1: none; otherwise -NB_E_TIMEOUT when the box still runs then */
NB_API int nb_box_logs_follow(nb_box *box, int (*write)(void *user, int stream, uint64_t at_ms, const void *bytes, size_t length),
                              void *user, int64_t timeout_ms, nb_error *err);

/* -------------------------------------------------------------------------------------------------------------- execs */

typedef struct nb_exec_options {
    size_t size;
    nb_strings command;            /* program and arguments; the program is looked up in the box's PATH; required */
    nb_strings environment;        /* over the box's */
    const char *working_directory; /* default the box's */
    const char *user;              /* default the box's */
    bool tty;                      /* a terminal: stdout and stderr are one stream */
    uint16_t columns, rows;        /* of the terminal at its start; default 80 x 24 */
    bool open_stdin;               /* nb_exec_write() feeds it; otherwise stdin is /dev/null */
    uint64_t timeout_ms;           /* ends the whole tree: SIGTERM, after the grace SIGKILL; 0: none */
    uint32_t grace_ms;             /* default NB_EXEC_GRACE_DEFAULT_MS */
    bool detach;                   /* nobody's streams: they are kept for who attaches later (nb_exec_open()), the last 256 KiB of each.
                                      The handle gives the end alone, and no hang-up follows its freeing */
    nb_strings cap_add,
        cap_drop; /* capabilities over the box's (its own over Docker's default set), "NET_ADMIN", "CAP_NET_ADMIN" or "ALL"; dropped
                                      first, then added. For root only: another user has none, as in Docker */
    bool no_new_privileges;      /* setuid programs give none, PR_SET_NO_NEW_PRIVS */
    int oom_score_adj;           /* -1000..1000, proc(5); higher is killed earlier */
    nb_strings ulimits;          /* "NAME=SOFT[:HARD]", names of getrlimit(2) in lower case without RLIMIT_, "nofile=1024:4096"; -1 or
                                      "unlimited"; the kernel's defaults otherwise */
    uint32_t console_timeout_ms; /* how long opening its terminal may take; default NB_CONSOLE_TIMEOUT_DEFAULT_MS */
} nb_exec_options;
#define NB_EXEC_GRACE_DEFAULT_MS 2000
#define NB_CONSOLE_TIMEOUT_DEFAULT_MS 30000
#define NB_EXEC_OPTIONS_INIT \
    { .size = sizeof(nb_exec_options) }

typedef struct nb_exit_status {
    int code;                               /* 0..255; 128 + signal when a signal ended it */
    int signal;                             /* 0: it exited by itself */
    bool timed_out;                         /* the exec's timeout ended it */
    bool oom_killed;                        /* the guest ran out of the box's memory and chose it */
    uint64_t user_time_us, system_time_us;  /* of the process and the children that it waited for, getrusage(2) */
    uint64_t max_rss_bytes;                 /* the largest that one of them was */
    uint64_t started_at_ms, finished_at_ms; /* wall clock */
} nb_exit_status;

/* Starts a process in a running box and attaches to its streams. Every exec has a connection of its own to the box's shim, so that
 * one that is not read holds up no other.
 *
 * Errors: -NB_E_COMMAND_NOT_FOUND, -NB_E_COMMAND_REFUSED (not executable, no such user or directory), -NB_E_STOPPED, -NB_E_BOX_GONE,
 * -NB_E_INVALID, -NB_E_EXHAUSTED (execs at once), -NB_E_PROTOCOL. Free the handle with nb_exec_free(). */
NB_API int nb_exec_start(nb_box *box, const nb_exec_options *options, nb_exec **ret_exec, nb_error *err);

typedef struct nb_copy_options {
    size_t size;
    bool follow;         /* out: a symbolic link at the path itself is what it points to */
    bool bare;           /* out: without what is mounted at the path and below it: what the box's disk has there; not with follow */
    bool keep_names;     /* in: every entry goes below the folder at the path, which must be there, under its own name */
    bool keep_owners;    /* in: as the archive has them; otherwise everything is root's */
    uint64_t timeout_ms; /* as of an exec; 0: none */
} nb_copy_options;
#define NB_COPY_OPTIONS_INIT \
    { .size = sizeof(nb_copy_options) }

/* Copies a file, or a folder with all that is in it, out of a running box: the exec's stdout is a tar archive (POSIX.1-2001, pax) whose first
 * entry is the path's own, under its last component's name ("." for "/" and what ends in "/."). It runs in the container, as root, and
 * needs no program of the image. On status 1 the last line of stderr says what failed, lines before it what was left out.
 *
 * @path     in the box; absolute
 * @options  NULL: the defaults
 * Errors as of nb_exec_start(). The handle is an exec's in every respect; freeing it ends the copy. */
NB_API int nb_copy_out(nb_box *box, const char *path, const nb_copy_options *options, nb_exec **ret_exec, nb_error *err);

/* Copies into a running box: nb_exec_write() feeds the exec a tar archive, nb_exec_close_stdin() ends it. Without keep_names the first entry goes
 * where docker cp would put it: into the folder at @path under its own name, or to @path itself where no folder is there; and all entries must
 * be within the first. What is there is replaced, but no folder by a file nor a file by a folder. An archive that breaks off leaves
 * what came before, whole. Otherwise as nb_copy_out(). */
NB_API int nb_copy_in(nb_box *box, const char *path, const nb_copy_options *options, nb_exec **ret_exec, nb_error *err);

/* The exec's name in this run of its box, 12 characters; valid as long as the handle. */
NB_API const char *nb_exec_id(const nb_exec *exec);

typedef enum nb_exec_access {
    NB_EXEC_STREAMS = 0, /* as nb_exec_start() gives it; one at a time */
    NB_EXEC_WATCH = 1,   /* its end, signals and the terminal's size, but no streams; any number at a time */
} nb_exec_access;

/* Opens an exec of the box's last run by its id, in this or another program, while it runs or after its end, and after the box's: who waits
 * gets the same answer as everybody else.
 *
 * @id  NULL: the main command
 * With NB_EXEC_STREAMS the first events are what was written while nobody was attached, after an NB_EVENT_GAP for what was too much to
 * keep. That is there for one who comes; afterwards, as for an exec that had its streams read, an ended one has its status alone.
 * Errors: -NB_E_NOT_FOUND, -NB_E_INVALID_STATE (somebody has its streams), -NB_E_STOPPED (the main command of a box that never had one). An exec
 * that the box's end cut off is opened; nb_exec_wait() says -NB_E_STOPPED. */
NB_API int nb_exec_open(nb_box *box, const char *id, nb_exec_access access, nb_exec **ret_exec, nb_error *err);

typedef struct nb_exec_info {
    const char *id;
    nb_strings command; /* its first words */
    int64_t pid;        /* inside the box */
    bool running, attached, tty;
    bool has_status; /* ended with a status of its own; false, and not running: the box's end cut it off */
    uint64_t started_at_ms;
    nb_exit_status status;
} nb_exec_info;

typedef struct nb_exec_list {
    const nb_exec_info *items; /* newest first; the main command is not among them */
    size_t count;
} nb_exec_list;

/* The execs of the box's last run: all that run, and of those that ended at least the last thousand. */
NB_API int nb_exec_list_get(nb_box *box, nb_exec_list **ret_list, nb_error *err);
NB_API void nb_exec_list_free(nb_exec_list *list);

/* Frees the handle. The process goes on; its output is kept within bounds (the main command's is logged as before). An exec with a terminal
 * gets SIGHUP, as when a terminal's window is closed, and one with an open stdin end of file, unless it was detached from before. */
NB_API void nb_exec_free(nb_exec *exec);

/* Takes leave of a running exec without disturbing it: no hang-up, no end of its stdin. Free the handle next. */
NB_API int nb_exec_detach(nb_exec *exec, nb_error *err);

typedef enum nb_event_kind {
    NB_EVENT_NONE = 0,   /* nothing came within the timeout */
    NB_EVENT_STDOUT = 1, /* bytes, or end of the stream when length is 0 */
    NB_EVENT_STDERR = 2,
    NB_EVENT_STDIN_ROOM = 3, /* nb_exec_write() would take bytes again */
    NB_EVENT_EXITED = 4,     /* status is valid; nothing comes after it */
    NB_EVENT_GAP = 5,        /* length bytes of the stream were lost while nobody was attached; bytes is NULL */
} nb_event_kind;

typedef struct nb_event {
    nb_event_kind kind;
    const void *bytes; /* valid until the next call of nb_exec_next() for this exec */
    size_t length;
    int stream; /* of an NB_EVENT_GAP: 1 stdout, 2 stderr */
    nb_exit_status status;
} nb_event;

/* The next thing that happened to the exec. NB_EVENT_EXITED comes after the last byte of output, and again whenever asked.
 *
 * One thread at a time may call this for one exec; nb_exec_wait(), _write(), _signal() and _resize() may run in others meanwhile.
 * Errors: -NB_E_BOX_GONE (the machine ended first), -NB_E_STOPPED (the box was stopped), -NB_E_PROTOCOL. */
NB_API int nb_exec_next(nb_exec *exec, int64_t timeout_ms, nb_event *ret_event, nb_error *err);

/* Has nb_exec_next() pass over one of the streams, for who cannot take it just now and wants the other: a process that writes more to the held
 * one than its window blocks. While one is held NB_EVENT_EXITED does not come; an exec that has ended then gives NB_EVENT_NONE at once.
 *
 * @stream  NB_EVENT_STDOUT or NB_EVENT_STDERR
 * For the thread that calls nb_exec_next(). -NB_E_INVALID. */
NB_API int nb_exec_hold(nb_exec *exec, nb_event_kind stream, bool held, nb_error *err);

/* A descriptor for event loops, owned by the exec: when it polls readable, call nb_exec_next() with timeout 0 until it gives
 * NB_EVENT_NONE or NB_EVENT_EXITED. Edge-triggered use is fine if that rule is kept. -1: out of descriptors, or no exec. */
NB_API int nb_exec_fd(nb_exec *exec);

/* Feeds the process's stdin. Waits for room at most @timeout_ms.
 *
 * @ret_written  how many bytes were taken, fewer than @length when time ran out; taken bytes are never lost by us
 * Errors: -NB_E_INVALID (started without open_stdin, or closed), -NB_E_BOX_GONE. A process that has closed its stdin or ended takes everything
 * and drops it. */
NB_API int nb_exec_write(nb_exec *exec, const void *bytes, size_t length, int64_t timeout_ms, size_t *ret_written, nb_error *err);

/* End of file for stdin, after all that was written. Output goes on. */
NB_API int nb_exec_close_stdin(nb_exec *exec, nb_error *err);

/* Waits until the exec has ended and its output was delivered: what nobody takes with nb_exec_next() is kept up to a window of 256 KiB a
 * stream, beyond which the process blocks. Any number of threads may wait, early, late and repeatedly; all get the same answer.
 * -NB_E_TIMEOUT: it still runs. */
NB_API int nb_exec_wait(nb_exec *exec, int64_t timeout_ms, nb_exit_status *ret_status, nb_error *err);

/* Sends a signal to the process; to one that has ended: nothing, and 0. -NB_E_INVALID for a number outside 1..64. */
NB_API int nb_exec_signal(nb_exec *exec, int signal, nb_error *err);

/* Kills the process and everything that came from it. */
NB_API int nb_exec_kill(nb_exec *exec, nb_error *err);

/* Sets the size of its terminal. -NB_E_INVALID without one. */
NB_API int nb_exec_resize(nb_exec *exec, uint16_t columns, uint16_t rows, nb_error *err);

/* "TERM", "SIGTERM" and "15" all give 15; 0 for what is none. */
NB_API int nb_signal_number(const char *name);

#ifdef __cplusplus
}
#endif

#endif
