/* SPDX-License-Identifier: Apache-2.0
 *
 * spawn.c - the last steps of a process before it is the user's program
 *
 * Every step that can fail is reported with its name and errno through the report pipe, which the successful execve closes. The
 * order matters: streams and terminal while we may still open everything, users' files before the identity is given up, the
 * working directory and the program with the user's own rights.
 */
#include "guest/spawn.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/size.h"
#include "guest/copy.h"
#include "guest/mount.h"
#include "guest/passwd.h"
#include "guest/processes.h"
#include "wire/message.h"
#include "wire/rlimits.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

/* Docker's default capabilities: CapEff 00000000a80425fb. */
static const uint8_t default_capabilities[] = {
    CAP_CHOWN,   CAP_DAC_OVERRIDE,     CAP_FOWNER,  CAP_FSETID,     CAP_KILL,  CAP_SETGID,      CAP_SETUID,
    CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_NET_RAW, CAP_SYS_CHROOT, CAP_MKNOD, CAP_AUDIT_WRITE, CAP_SETFCAP,
};

/* Linux has no more than 64 capabilities. */
#define CAPABILITY_NUMBER_MAX 63
#define DEFAULT_UMASK 0022
#define TTY_GID 5 /* devpts is mounted with it; Debian, Alpine and Fedora agree */

static int report_fd = -1; /* of this process alone */

static _Noreturn void stop_at(unsigned step, int error) {
    spawn_report report = {step, error};
    (void) fd_write_all(report_fd, &report, sizeof(report));
    _exit(wire_spawn_exit_code(step, error));
}

static void map_options(int fd, msg_spawn *ret_options) {
    struct stat status;
    if (fstat(fd, &status) < 0)
        stop_at(WIRE_STEP_AGENT, errno);
    size_t length = (size_t) status.st_size;
    const uint8_t *bytes = mmap(NULL, length ? length : 1, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        stop_at(WIRE_STEP_AGENT, errno);
    if (wire_decode_spawn(bytes, length, ret_options) < 0)
        stop_at(WIRE_STEP_AGENT, EBADMSG);
    if (ret_options->argv.bytes == 0)
        stop_at(WIRE_STEP_AGENT, EINVAL);
}

/* The zygote blocks signals, but handles and ignores none: with this the user's program starts as from a shell. */
static void unblock_signals(void) {
    sigset_t none;
    (void) sigemptyset(&none);
    (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

static void enter_cgroup(int cgroup) {
    CLEANUP(cleanup_fd) int procs = openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (procs < 0 || write(procs, "0", 1) != 1)
        stop_at(WIRE_STEP_FORK, errno);
}

static void connect_streams(const int streams[3]) {
    for (int i = 0; i < 3; i++) {
        if (dup2(streams[i], i) < 0)
            stop_at(WIRE_STEP_STREAMS, errno);
    }
}

/* Makes the terminal inside the container's own devpts, so that `tty` names it, and hands its master to the agent. */
static int open_terminal(const msg_spawn *options, int console) {
    CLEANUP(cleanup_fd) int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    int unlock = 0;
    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0)
        stop_at(WIRE_STEP_TERMINAL, errno);
    int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        stop_at(WIRE_STEP_TERMINAL, errno);
    struct winsize size = {.ws_col = options->columns, .ws_row = options->rows};
    if (ioctl(master, TIOCSWINSZ, &size) < 0 || ioctl(slave, TIOCSCTTY, 0) < 0)
        stop_at(WIRE_STEP_TERMINAL, errno);
    uint8_t nothing = 0;
    if (fd_send_message(console, &nothing, sizeof(nothing), &master, 1) < 0)
        stop_at(WIRE_STEP_TERMINAL, errno);
    connect_streams((const int[3]){slave, slave, slave});
    return slave;
}

/* The text of one of the image's files; nothing when it is not there, not a file, or too large to be one. */
static char *read_image_file(const char *path, size_t *ret_length) {
    /* O_NONBLOCK: the image may have put a FIFO or a device there */
    CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;
    char *content = NULL;
    *ret_length = 0;
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return NULL;
    if (fd_read_file(fd, PASSWD_FILE_MAX_BYTES, &content, ret_length) < 0 && errno != EFBIG)
        stop_at(WIRE_STEP_USER, errno); /* as if it were not there, the process would run with fewer groups, or not at home */
    return content;
}

static void look_up_user(const msg_spawn *options, passwd_identity *ret_identity) {
    size_t users_length, groups_length;
    char *users = read_image_file("/etc/passwd", &users_length);
    char *groups = read_image_file("/etc/group", &groups_length);
    char *spec = wire_str_copy(options->user);
    if (!spec)
        stop_at(WIRE_STEP_USER, ENOMEM);
    if (passwd_look_up(users ? users : "", users_length, groups ? groups : "", groups_length, spec, ret_identity) < 0)
        stop_at(WIRE_STEP_USER, ENOENT);
    free(users);
    free(groups);
    free(spec);
}

static uint64_t default_capability_mask(void) {
    uint64_t mask = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(default_capabilities); i++)
        mask |= UINT64_C(1) << default_capabilities[i];
    return mask;
}

/* Before the identity is given up: only root may raise a hard limit. */
static void set_limits(wire_bytes limits) {
    wire_rlimit limit;
    while (wire_rlimit_next(&limits, &limit)) {
        struct rlimit wanted = {.rlim_cur = (rlim_t) limit.soft, .rlim_max = (rlim_t) limit.hard};
        if (setrlimit(limit.resource, &wanted) < 0)
            stop_at(WIRE_STEP_LIMITS, errno);
    }
}

/* Root keeps the set that was asked for; any other user keeps nothing but may get the set back through a setuid program. */
static void take_identity(const passwd_identity *identity, uint64_t mask) {
    for (int number = 0; number <= CAPABILITY_NUMBER_MAX; number++) {
        if (mask >> number & 1 || prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0)
            continue;
        if (errno == EINVAL) /* this kernel has none from here on */
            break;
        stop_at(WIRE_STEP_IDENTITY, errno);
    }
    gid_t groups[PASSWD_GROUPS_MAX];
    for (size_t i = 0; i < identity->group_count; i++)
        groups[i] = identity->groups[i];
    if (setgroups(identity->group_count, groups) < 0 || setresgid(identity->gid, identity->gid, identity->gid) < 0 ||
        setresuid(identity->uid, identity->uid, identity->uid) < 0)
        stop_at(WIRE_STEP_IDENTITY, errno);
    if (identity->uid != 0)
        return;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2] = {
        {.effective = (uint32_t) mask, .permitted = (uint32_t) mask},
        {.effective = (uint32_t) (mask >> 32), .permitted = (uint32_t) (mask >> 32)},
    };
    if (syscall(SYS_capset, &header, sets) < 0)
        stop_at(WIRE_STEP_IDENTITY, errno);
}

/* mkdir -p. Failures show when the folder is entered. */
static void make_folders(char *path) {
    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        (void) mkdir(path, 0755);
        *slash = '/';
    }
    (void) mkdir(path, 0755);
}

/* The environment as given, with HOME where it says none. */
static char **make_environment(const msg_spawn *options, const passwd_identity *identity) {
    static char home[sizeof("HOME=") + sizeof(identity->home)];
    char **given = strv_pointers(options->env);
    size_t count = strv_count(options->env);
    if (!given)
        stop_at(WIRE_STEP_AGENT, ENOMEM);
    if (strv_env_get(options->env, "HOME"))
        return given;
    char **environment = calloc(count + 2, sizeof(char *));
    if (!environment)
        stop_at(WIRE_STEP_AGENT, ENOMEM);
    memcpy(environment, given, count * sizeof(char *));
    (void) snprintf(home, sizeof(home), "HOME=%s", identity->home);
    environment[count] = home;
    return environment;
}

/* execvp(3) with the PATH of @environment instead of ours: ENOENT where no folder has it, else the first folder's other error. */
static _Noreturn void execute(char **argv, char **environment, const char *path) {
    if (strchr(argv[0], '/')) {
        (void) execve(argv[0], argv, environment);
        stop_at(WIRE_STEP_EXECUTE, errno);
    }
    int error = ENOENT;
    while (argv[0][0] != '\0' && path) {
        size_t length = strcspn(path, ":");
        char candidate[PATH_MAX];
        int printed = snprintf(candidate, sizeof(candidate), "%.*s%s%s", (int) length, path, length ? "/" : "./", argv[0]);
        if (printed > 0 && (size_t) printed < sizeof(candidate)) {
            (void) execve(candidate, argv, environment);
            if (errno != ENOENT && errno != ENOTDIR && error == ENOENT)
                error = errno;
        }
        path = path[length] == ':' ? path + length + 1 : NULL;
    }
    stop_at(WIRE_STEP_EXECUTE, error);
}

/* The agent is exempt from the out-of-memory killer; what it starts is not. */
static void set_oom_score(int adjustment) {
    char text[16];
    int length = snprintf(text, sizeof(text), "%d", adjustment);
    CLEANUP(cleanup_fd) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, (size_t) length) != length)
        stop_at(WIRE_STEP_LIMITS, errno);
}

_Noreturn void spawn_become(const spawn_descriptors *fds) {
    msg_spawn options;
    passwd_identity identity;
    report_fd = fds->report;
    map_options(fds->options, &options);
    unblock_signals();
    spawn_report started = {WIRE_STEP_NONE, (int32_t) getpid()};
    if (fd_write_all(report_fd, &started, sizeof(started)) < 0)
        _exit(1);
    if (fds->cgroup >= 0)
        enter_cgroup(fds->cgroup);
    (void) setsid(); /* fails only for a group leader, which a new process is not, and a container's PID 1 may be */
    int terminal = -1;
    if (fds->console >= 0)
        terminal = open_terminal(&options, fds->console);
    else
        connect_streams(fds->streams);
    set_oom_score(options.oom_score_adj);
    if (options.spawn_flags & (WIRE_SPAWN_COPY | WIRE_SPAWN_MOUNT | WIRE_SPAWN_PROCESSES)) {
        (void) umask(0);
        (void) fd_close(report_fd); /* nothing of what follows can fail any more */
        if (options.spawn_flags & WIRE_SPAWN_MOUNT)
            mount_become(options.argv);
        if (options.spawn_flags & WIRE_SPAWN_PROCESSES)
            processes_become();
        copy_become(options.argv);
    }
    set_limits(options.limits);
    look_up_user(&options, &identity);
    /* A terminal or a pipe must be openable through /dev/stdout by who runs on it, as in Docker. */
    if (terminal >= 0)
        (void) fchown(terminal, identity.uid, TTY_GID);
    for (int i = 0; terminal < 0 && i < 3; i++) {
        struct stat status;
        if (fstat(i, &status) == 0 && S_ISFIFO(status.st_mode))
            (void) fchown(i, identity.uid, identity.gid);
    }
    char *cwd = wire_str_copy(options.cwd);
    char **argv = strv_pointers(options.argv);
    if (!cwd || !argv)
        stop_at(WIRE_STEP_AGENT, ENOMEM);
    char **environment = make_environment(&options, &identity);
    (void) umask(DEFAULT_UMASK);
    if (options.spawn_flags & WIRE_SPAWN_MAKE_CWD && cwd[0] == '/')
        make_folders(cwd);
    take_identity(&identity, (default_capability_mask() & ~options.cap_drop) | options.cap_add);
    if (options.spawn_flags & WIRE_SPAWN_NO_NEW_PRIVILEGES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        stop_at(WIRE_STEP_IDENTITY, errno);
    if (chdir(cwd[0] ? cwd : "/") < 0)
        stop_at(WIRE_STEP_DIRECTORY, errno);
    execute(argv, environment, strv_env_get(options.env, "PATH"));
}
