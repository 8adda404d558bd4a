/* SPDX-License-Identifier: Apache-2.0
 *
 * container.c - the container: namespaces, mounts, and its first process
 *
 * Theory of operation
 *   The zygote clones this process into new pid, mount, uts and ipc namespaces and into the box's cgroup. It pivots into the image's
 *   file system first and mounts everything after that, so that whatever symbolic links the image holds, no path leads out of it.
 *   Then it reports, and waits: with an init it reaps orphans for ever; without one it becomes the main command, which so is the
 *   container's PID 1, as in Docker.
 *
 * Not here: who runs as what (spawn.c), the zygote's side (zygote.c).
 */
#include "guest/container.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/size.h"
#include "guest/spawn.h"
#include "guest/warm.h"
#include "wire/message.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOUNT_HARDENED (MS_NOSUID | MS_NOEXEC | MS_NODEV)

/* 64 MiB, Docker's default for /dev/shm. */
#define SHM_OPTIONS "mode=1777,size=67108864"

static int report_fd = -1; /* of this process alone */

static _Noreturn void stop_at(const char *step, const char *what) {
    container_report report = {.error = errno ? errno : EIO};
    (void) snprintf(report.step, sizeof(report.step), "%s '%s'", step, what);
    (void) fd_write_all(report_fd, &report, sizeof(report));
    _exit(1);
}

/* Docker's mounts, in order; a missing mount point is made. */
static const struct {
    const char *type, *target;
    unsigned long flags;
    const char *options;
    bool optional; /* a kernel without it still makes a usable box */
} mounts[] = {
    {"proc", "/proc", MOUNT_HARDENED, NULL, false},
    {"tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k", false},
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5", false},
    {"tmpfs", "/dev/shm", MOUNT_HARDENED, SHM_OPTIONS, false},
    {"mqueue", "/dev/mqueue", MOUNT_HARDENED, NULL, true},
    {"sysfs", "/sys", MOUNT_HARDENED | MS_RDONLY, NULL, false},
    {"cgroup2", "/sys/fs/cgroup", MOUNT_HARDENED | MS_RDONLY, NULL, true},
};

static const struct {
    const char *path;
    unsigned major, minor;
} devices[] = {
    {"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7}, {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
};

static const struct {
    const char *path, *target;
} links[] = {
    {"/dev/ptmx", "pts/ptmx"},          {"/dev/fd", "/proc/self/fd"},       {"/dev/stdin", "/proc/self/fd/0"},
    {"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"}, {"/dev/core", "/proc/kcore"},
};

/* Docker's masked and read-only paths. */
static const char *const masked_files[] = {"/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug"};
static const char *const masked_folders[] = {"/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"};
static const char *const read_only_paths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

static void enter_root(const char *rootfs) {
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        stop_at("make mounts private", "/");
    /* pivot_root(2) wants a mount point, and one that is ours to move */
    if (mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL) < 0 || chdir(rootfs) < 0)
        stop_at("enter the root file system", rootfs);
    /* "." on ".": the old root ends up on top of the new one and is taken off again, no folder for it is needed */
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        stop_at("make the new root", rootfs);
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        stop_at("leave the old root", rootfs);
}

static void mount_all(void) {
    for (size_t i = 0; i < ARRAY_LENGTH(mounts); i++) {
        (void) mkdir(mounts[i].target, 0755); /* shows in mount() if it matters */
        if (mount(mounts[i].type, mounts[i].target, mounts[i].type, mounts[i].flags, mounts[i].options) < 0 && !mounts[i].optional)
            stop_at("mount", mounts[i].target);
    }
}

static void make_devices(void) {
    mode_t before = umask(0);
    for (size_t i = 0; i < ARRAY_LENGTH(devices); i++) {
        if (mknod(devices[i].path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)) < 0)
            stop_at("make the device", devices[i].path);
    }
    (void) umask(before);
    for (size_t i = 0; i < ARRAY_LENGTH(links); i++) {
        if (symlink(links[i].target, links[i].path) < 0)
            stop_at("make the link", links[i].path);
    }
}

static void protect_paths(void) {
    for (size_t i = 0; i < ARRAY_LENGTH(masked_files); i++) {
        if (mount("/dev/null", masked_files[i], NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
            stop_at("mask", masked_files[i]);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(masked_folders); i++) {
        if (mount("tmpfs", masked_folders[i], "tmpfs", MOUNT_HARDENED | MS_RDONLY, "size=0,nr_inodes=1") < 0 && errno != ENOENT)
            stop_at("mask", masked_folders[i]);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(read_only_paths); i++) {
        const char *path = read_only_paths[i];
        if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0) {
            if (errno == ENOENT)
                continue;
            stop_at("protect", path);
        }
        if (mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MOUNT_HARDENED, NULL) < 0)
            stop_at("protect", path);
    }
}

/* Puts a file of ours over one of the image's, as Docker does, so that the disk keeps its own. The content lives in the tmpfs of /dev under
 * a name that is gone once it is mounted. */
static void overlay_file(const char *path, const char *content) {
    static const char temporary[] = "/dev/.nestbox";
    CLEANUP(cleanup_fd) int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || fd_write_all(fd, content, strlen(content)) < 0)
        stop_at("write", path);
    /* An image without the file gets an empty one to mount on; one without /etc goes without. */
    (void) mkdir("/etc", 0755);
    CLEANUP(cleanup_fd) int target = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
    if (target >= 0 && mount(temporary, path, NULL, MS_BIND, NULL) < 0)
        stop_at("mount", path);
    (void) unlink(temporary);
}

/* The files that say what the container is called: before its name, and after it. */
static const struct {
    const char *path, *before, *after;
} identity_files[] = {
    {"/etc/hostname", "", "\n"},
    {"/etc/hosts", "127.0.0.1\tlocalhost ",
     "\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"},
};

#define IDENTITY_TEXT_SIZE 512

static void write_identity_text(size_t file, const char *hostname, char *ret_text) {
    (void) snprintf(ret_text, IDENTITY_TEXT_SIZE, "%s%.256s%s", identity_files[file].before, hostname, identity_files[file].after);
}

static void write_identity(const char *hostname) {
    char text[IDENTITY_TEXT_SIZE];
    if (sethostname(hostname, strlen(hostname)) < 0)
        stop_at("set the host name", hostname);
    for (size_t i = 0; i < ARRAY_LENGTH(identity_files); i++) {
        write_identity_text(i, hostname, text);
        overlay_file(identity_files[i].path, text);
    }
    overlay_file("/etc/resolv.conf", "# this box has no network\n");
}

/* Where the image had no place for such a file there is none of ours, and the image's is left alone. */
static int rewrite_file(const char *path, const char *content) {
    struct statfs status;
    CLEANUP(cleanup_fd) int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstatfs(fd, &status) < 0 || status.f_type != TMPFS_MAGIC)
        return 0;
    return ftruncate(fd, 0) < 0 || fd_write_all(fd, content, strlen(content)) < 0 ? -1 : 0;
}

int container_rename(const char *hostname, char *step, size_t size) {
    char text[IDENTITY_TEXT_SIZE];
    (void) snprintf(step, size, "set the host name '%s'", hostname);
    if (sethostname(hostname, strlen(hostname)) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LENGTH(identity_files); i++) {
        (void) snprintf(step, size, "write '%s'", identity_files[i].path);
        write_identity_text(i, hostname, text);
        if (rewrite_file(identity_files[i].path, text) < 0)
            return -1;
    }
    return 0;
}

/* PID 1 of a box without a main command, or above one: reaps what others leave behind. The kernel ends it with its pid namespace. */
static _Noreturn void stay_as_init(int orders) {
    (void) prctl(PR_SET_NAME, "init");
    sigset_t wanted;
    (void) sigemptyset(&wanted);
    (void) sigaddset(&wanted, SIGCHLD);
    (void) fd_close(orders);
    for (;;) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        (void) sigwaitinfo(&wanted, NULL);
    }
}

/* Waits for the one order that makes this process the main command. */
static _Noreturn void become_main(int orders) {
    uint8_t datagram[64]; /* the order says nothing but the flags */
    int fds[FD_PASS_MAX];
    size_t count = 0;
    ssize_t length = fd_receive_message(orders, datagram, sizeof(datagram), fds, &count);
    msg_create create;
    if (length <= 0)
        _exit(0);
    bool good = wire_decode_create(datagram, (size_t) length, &create) == 0;
    size_t streams = good && create.create_flags & WIRE_CREATE_TTY ? 1 : 3;
    size_t cgroups = good && create.create_flags & WIRE_CREATE_CGROUP ? 1 : 0;
    if (!good || count != 2 + cgroups + streams)
        _exit(1);
    /* The order of the agent's CREATE, with the zygote's report pipe added at the end. */
    int *at = fds;
    spawn_descriptors descriptors = {.options = *at++, .cgroup = -1, .console = -1};
    if (cgroups)
        descriptors.cgroup = *at++;
    if (streams == 1)
        descriptors.console = *at++;
    for (size_t i = 0; streams == 3 && i < 3; i++)
        descriptors.streams[i] = *at++;
    descriptors.report = *at;
    spawn_become(&descriptors);
}

_Noreturn void container_become(const container_spec *spec) {
    report_fd = spec->report;
    fd_close_others(spec->report, spec->orders); /* the rest is the zygote's */
    errno = 0;
    if (unshare(CLONE_NEWCGROUP) < 0)
        stop_at("make the namespace", "cgroup");
    enter_root(spec->rootfs);
    if (spec->warm)
        warm_files();
    mount_all();
    make_devices();
    write_identity(spec->hostname);
    protect_paths();
    container_report ready = {0};
    if (fd_write_all(report_fd, &ready, sizeof(ready)) < 0)
        _exit(1);
    report_fd = fd_close(report_fd);
    if (spec->init)
        stay_as_init(spec->orders);
    become_main(spec->orders);
}
