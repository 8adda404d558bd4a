/* SPDX-License-Identifier: Apache-2.0
 *
 * limits.h - the protocol's numbers: version, maxima with their reasons, flags
 */
#ifndef WIRE_LIMITS_H
#define WIRE_LIMITS_H

#include <stdint.h>

#define WIRE_VERSION 1

/* Capabilities that a HELLO may name; none yet. A bit that the receiver does not know is ignored. */
#define WIRE_CAPABILITIES UINT64_C(0)

/* A data frame: what one read of a pipe gives, and little enough that a control frame never waits long behind it. */
#define WIRE_DATA_MAX_BYTES (64u << 10)
/* execve(2) takes a quarter of the stack limit (2 MiB of the usual 8) for arguments and environment together: neither can be longer. */
#define WIRE_ARGV_MAX_BYTES (2u << 20)
#define WIRE_ENV_MAX_BYTES (2u << 20)
/* As much of an exec's arguments as a list shows. */
#define WIRE_SHOWN_ARGV_MAX_BYTES 1024u
/* A resource limit (wire/rlimits.h), and as many as there are resources. */
#define WIRE_RLIMIT_BYTES 17u
#define WIRE_RLIMITS_MAX_BYTES (16u * 17u)
/* PATH_MAX, without its NUL. */
#define WIRE_PATH_MAX_BYTES 4095u
/* Names, references, ids, user specifications: generous beyond any real one. */
#define WIRE_NAME_MAX_BYTES 1024u
/* Ports, volumes, the shell, the health check of an image, each: 64 KiB hold thousands of ports, and a command as long as a small script. */
#define WIRE_IMAGE_LIST_MAX_BYTES (64u << 10)
/* The blobs of an image: 1,024 layers, a configuration and the documents, of 136 bytes at most. */
#define WIRE_BLOBS_MAX_BYTES (160u << 10)
/* Sentences for people, nb_error's message. */
#define WIRE_TEXT_MAX_BYTES 4096u
/* IMAGE_CONFIG: four large lists and four small ones, and room for its other fields. */
#define WIRE_IMAGE_CONFIG_MAX_BYTES (4u * (2u << 20) + 4u * (64u << 10) + (64u << 10))
/* What a control message can take at most: IMPORT with such a configuration, and room for its other fields. */
#define WIRE_CONTROL_MAX_BYTES (WIRE_IMAGE_CONFIG_MAX_BYTES + (128u << 10))
/* Three paths of control groups. */
#define WIRE_LIMITS_GROUPS_MAX_BYTES (3u * 4096u)
/* Enough to seed the kernel's generator (256 bits) twice. */
#define WIRE_ENTROPY_BYTES 64u

/* Bytes a sender may have on the way per channel before the receiver grants more: twice what a round trip of the slowest link
 * carries (225 MB/s in 220 us), rounded up. */
#define WIRE_WINDOW_BYTES (256u << 10)

/* Terminals beyond this are a mistake or an attack. */
#define WIRE_COLUMNS_MAX 10000u
#define WIRE_ROWS_MAX 10000u

/* signal(7): the last real-time signal. */
#define WIRE_SIGNAL_MAX 64

/* Between an exec's SIGTERM and SIGKILL, and for its terminal's hand-over, unless it was asked for otherwise. */
#define WIRE_GRACE_DEFAULT_MS 2000u
#define WIRE_CONSOLE_TIMEOUT_DEFAULT_MS 30000u

/* proc(5), oom_score_adj. */
#define WIRE_OOM_SCORE_ADJ_MAX 1000

#define WIRE_MAIN_EXEC_ID 1u
/* Volumes at once. */
#define WIRE_VOLUMES_MAX 256u
/* Two bits of a channel number name the stream, and the highest exec ids are those of volumes' channels. */
#define WIRE_EXEC_ID_MAX ((UINT32_MAX >> 2) - WIRE_VOLUMES_MAX)
#define WIRE_VOLUME_EXEC_ID(volume_id) (WIRE_EXEC_ID_MAX + 1u + (volume_id))
/* Of a process, for WIRE_SPAWN_PROCESSES: its number, its parent's, its user's, its state, its processor time in microseconds, its age in
 * milliseconds, its command. */
#define WIRE_PROCESS_WORDS 7u
/* Of all of a box: 65,536 processes with commands of 200 bytes. */
#define WIRE_PROCESSES_MAX_BYTES (16u << 20)
/* What a box's volumes are told by: a source and a target each, and a few words. */
#define WIRE_MOUNTS_MAX_BYTES (WIRE_VOLUMES_MAX * 2u * (4096u + 64u))
/* A message of a volume's file system: 112 KiB of a file and what its kernel says with them. Below half a window, so that a sender who waits
 * until it may send one whole never waits for ever. */
#define WIRE_VOLUME_DATA_MAX_BYTES (112u << 10)
#define WIRE_VOLUME_MESSAGE_MAX_BYTES (WIRE_VOLUME_DATA_MAX_BYTES + 4096u)

enum { WIRE_STREAM_STDIN = 1, WIRE_STREAM_STDOUT = 2, WIRE_STREAM_STDERR = 3 };

enum {
    WIRE_SETUP_INIT = 1 << 0,    /* the container's PID 1 is our init, not the main command */
    WIRE_SETUP_PREPARE = 1 << 1, /* for whichever box is to go on from here: another SETUP follows, with its name and limits */
};

enum {
    WIRE_SPAWN_TTY = 1 << 0,
    WIRE_SPAWN_STDIN = 1 << 1,    /* stdin comes over the link; otherwise it is /dev/null */
    WIRE_SPAWN_MAKE_CWD = 1 << 2, /* the working directory is made where it is missing (main commands) */
    WIRE_SPAWN_NO_NEW_PRIVILEGES = 1 << 3,
    WIRE_SPAWN_DETACHED = 1 << 4,  /* its client does not want its streams, only its end */
    WIRE_SPAWN_COPY = 1 << 5,      /* no program: argv is an order to copy an archive in from stdin, or out to stdout */
    WIRE_SPAWN_PROCESSES = 1 << 7, /* no program: what runs in the box is told on stdout, WIRE_PROCESS_WORDS words for each */
    WIRE_SPAWN_MOUNT = 1 << 6,     /* no program: argv is an order to mount, wire/mount-order.h; the shim's alone */
};

enum {
    WIRE_VOLUME_FILE = 1 << 0, /* its root is a file */
    WIRE_VOLUME_READ_ONLY = 1 << 1,
};

enum {
    WIRE_ATTACH_WATCH = 1 << 0, /* no streams */
};

enum {
    WIRE_INFO_RUNNING = 1 << 0,
    WIRE_INFO_ATTACHED = 1 << 1, /* somebody has its streams */
    WIRE_INFO_TTY = 1 << 2,
};

enum {
    WIRE_CREATE_TTY = 1 << 0,    /* one console socket instead of three streams */
    WIRE_CREATE_CGROUP = 1 << 1, /* a cgroup comes along */
};

enum {
    WIRE_EXIT_OOM = 1 << 0,
    WIRE_EXIT_TIMED_OUT = 1 << 1,
    WIRE_EXIT_STOPPED = 1 << 2, /* no status of its own: the box ended under it */
};

/* How the host holds a machine to its limits, and to which. */
enum {
    WIRE_LIMITS_BY_NOTHING = 0,
    WIRE_LIMITS_BY_CGROUP_V1 = 1,
    WIRE_LIMITS_BY_CGROUP_V2 = 2,
    WIRE_LIMITS_BY_SYSTEMD = 3, /* a scope around it */
};
enum {
    WIRE_LIMIT_CPU = 1 << 0,
    WIRE_LIMIT_MEMORY = 1 << 1,
    WIRE_LIMIT_PIDS = 1 << 2,
};

enum {
    WIRE_LAUNCH_TTY = 1 << 0,
    WIRE_LAUNCH_STDIN = 1 << 1,
    WIRE_LAUNCH_DETACH = 1 << 2,
    WIRE_LAUNCH_INIT = 1 << 3,
    WIRE_LAUNCH_KEEP = 1 << 4,   /* no main command */
    WIRE_LAUNCH_ATTACH = 1 << 5, /* this connection gets the main command's streams */
    WIRE_LAUNCH_REMOVE = 1 << 6, /* the box's folder goes when it stops */
    WIRE_LAUNCH_NO_NEW_PRIVILEGES = 1 << 7,
    WIRE_LAUNCH_VISIT = 1 << 8, /* with KEEP: no trace, record and logs of the box stay as they were */
};

/* Where a spawn failed, in the order of the steps. */
#define WIRE_STEPS(X)                                        \
    X(WIRE_STEP_NONE, 0, "none")                             \
    X(WIRE_STEP_AGENT, 1, "prepare in the agent")            \
    X(WIRE_STEP_FORK, 2, "create the process")               \
    X(WIRE_STEP_STREAMS, 3, "connect the streams")           \
    X(WIRE_STEP_TERMINAL, 4, "open a terminal")              \
    X(WIRE_STEP_USER, 5, "look up the user")                 \
    X(WIRE_STEP_IDENTITY, 6, "take on the user's identity")  \
    X(WIRE_STEP_DIRECTORY, 7, "enter the working directory") \
    X(WIRE_STEP_EXECUTE, 8, "execute the program")           \
    X(WIRE_STEP_CONTAINER, 9, "reach the container")         \
    X(WIRE_STEP_LIMITS, 10, "set the resource limits")

enum wire_step {
#define WIRE_STEP_ENUM(name, number, text) name = number,
    WIRE_STEPS(WIRE_STEP_ENUM)
#undef WIRE_STEP_ENUM
        WIRE_STEP_COUNT
};

enum {
    WIRE_IMAGE_ROOTFS = 1,         /* a tar stream, compressed or not */
    WIRE_IMAGE_OCI_LAYOUT = 2,     /* the source is a folder */
    WIRE_IMAGE_OCI_ARCHIVE = 3,    /* a seekable tar of such a folder */
    WIRE_IMAGE_DOCKER_ARCHIVE = 4, /* a seekable tar as written by docker save */
    WIRE_IMAGE_DIRECTORY = 5,      /* a folder as root file system */
    WIRE_IMAGE_ARCHIVE = 6,        /* one of the two archives, whichever it is */
    WIRE_IMAGE_STORED = 7,         /* a folder of blobs; the reference is the digest of a manifest in it */
};

enum {
    WIRE_FETCH_UNQUALIFIED = 1 << 0, /* nobody named the registry: others may be asked, as the host's configuration says */
};

/* Descriptors that a worker is born with; 0 to 2 are /dev/null. */
enum { WIRE_WORKER_SOCKET_FD = 3, WIRE_WORKER_SOURCE_FD = 4, WIRE_WORKER_DISK_FD = 5 };
/* Descriptors that a shim is born with: its first client, the box's folder, a pidfd of its owner. */
enum { WIRE_SHIM_SOCKET_FD = 3, WIRE_SHIM_FOLDER_FD = 4, WIRE_SHIM_OWNER_FD = 5 };

#endif
