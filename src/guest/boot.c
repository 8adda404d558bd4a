/* SPDX-License-Identifier: Apache-2.0
 *
 * boot.c - from the kernel's hand-over to a machine that an agent can work in
 *
 * The initramfs cannot be pivoted away from (pivot_root(2) on it is EINVAL) and a plain chroot would forbid user namespaces, so a
 * tmpfs is moved over it and becomes the root.
 */
#include "guest/boot.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "guest/module.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PORTS_FOLDER "/sys/class/virtio-ports"
#define PORT_NAME "nestbox"

/* The port appears, and gets its listener, a moment after its driver was loaded. */
#define PORT_LOOK_NS 1000000L
#define PORT_LOOKS_MAX 20000

static int complain(const char *what) {
    (void) dprintf(STDERR_FILENO, "nestbox-guest: %s: %s\n", what, strerror(errno));
    return -1;
}

static int mount_at(const char *type, const char *folder, unsigned long flags, const char *options) {
    (void) mkdir(folder, 0755);
    return mount(type, folder, type, flags, options) < 0 ? complain(folder) : 0;
}

/* The modules come along: some are loaded on need. */
static int keep_modules(void) {
    static const char *const folders[] = {"/newroot/lib", "/newroot/lib/nestbox", "/newroot" MODULE_FOLDER};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        (void) mkdir(folders[i], 0755);
    return mount(MODULE_FOLDER, "/newroot" MODULE_FOLDER, NULL, MS_BIND, NULL) < 0 ? complain(MODULE_FOLDER) : 0;
}

static int move_root(void) {
    static const char *const moved[] = {"/dev", "/proc", "/sys"};
    char target[64];
    if (mount_at("tmpfs", "/newroot", MS_NOSUID | MS_NODEV, "mode=755") < 0)
        return -1;
    for (size_t i = 0; i < sizeof(moved) / sizeof(moved[0]); i++) {
        (void) snprintf(target, sizeof(target), "/newroot%s", moved[i]);
        (void) mkdir(target, 0755);
        if (mount(moved[i], target, NULL, MS_MOVE, NULL) < 0)
            return complain(target);
    }
    (void) mkdir("/newroot" BOOT_ROOTFS, 0755);
    if (keep_modules() < 0)
        return -1;
    if (chdir("/newroot") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        return complain("move to the new root");
    return 0;
}

static void raise_loopback(void) {
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    CLEANUP(cleanup_fd) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        (void) complain("raise the loopback interface");
}

/* The device node of the port with our name; its number depends on the order of the devices. */
static int find_port(char *ret_path, size_t size) {
    CLEANUP(cleanup_fd) int folder = open(PORTS_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -1;
    DIR *ports = fdopendir(take_fd(&folder));
    struct dirent *entry;
    bool found = false;
    while (!found && (entry = readdir(ports))) {
        char path[512], name[sizeof(PORT_NAME) + 1] = "";
        (void) snprintf(path, sizeof(path), PORTS_FOLDER "/%s/name", entry->d_name);
        CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fd_read_full(fd, name, sizeof(name) - 1) <= 0)
            continue;
        name[strcspn(name, "\n")] = '\0';
        found = strcmp(name, PORT_NAME) == 0;
        if (found)
            (void) snprintf(ret_path, size, "/dev/%s", entry->d_name);
    }
    (void) closedir(ports);
    return found ? 0 : -1;
}

static int open_port(void) {
    char path[512];
    CLEANUP(cleanup_fd) int fd = -1;
    for (unsigned i = 0; i < PORT_LOOKS_MAX; i++) {
        if (fd < 0 && find_port(path, sizeof(path)) == 0)
            fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
        struct pollfd port = {.fd = fd, .events = POLLOUT};
        /* Until the host's side is connected the port polls as hung up. */
        if (fd >= 0 && poll(&port, 1, 0) >= 0 && !(port.revents & POLLHUP))
            return take_fd(&fd);
        (void) nanosleep(&(struct timespec){.tv_nsec = PORT_LOOK_NS}, NULL);
    }
    errno = ETIMEDOUT;
    return complain("find the port of the link");
}

/* favordynmods: a process is moved to its control group without waiting until every processor has seen that one is, some 20 ms on an idle one. Linux
 * 6.0 and later. */
static int mount_cgroups(void) {
    const unsigned long flags = MS_NOSUID | MS_NOEXEC | MS_NODEV;
    (void) mkdir(BOOT_CGROUP, 0755);
    return mount("cgroup2", BOOT_CGROUP, "cgroup2", flags, "favordynmods") == 0 ? 0 : mount_at("cgroup2", BOOT_CGROUP, flags, NULL);
}

int boot_machine(void) {
    if (mount_at("devtmpfs", "/dev", MS_NOSUID, "mode=755") < 0)
        return -1;
    /* A kernel that found no /dev/console in the initramfs gives us no streams. */
    for (int fd = open("/dev/console", O_RDWR); fd >= 0 && fd < STDERR_FILENO;)
        fd = dup(fd);
    if (mount_at("proc", "/proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL) < 0 ||
        mount_at("sysfs", "/sys", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL) < 0 || module_load_all() < 0 || move_root() < 0 ||
        mount_cgroups() < 0)
        return -1;
    raise_loopback();
    return open_port();
}

_Noreturn void boot_power_off(void) {
    (void) reboot(RB_POWER_OFF);
    for (;;) /* PID 1 must not end: that would be a panic */
        (void) pause();
}
