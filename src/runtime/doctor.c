/* SPDX-License-Identifier: Apache-2.0
 *
 * doctor.c - whether boxes can be run here, what they would lack, and what to do about it
 *
 * Each check looks at one thing, says what it found, and goes on: also where the home cannot even be opened. Nothing is started and nothing
 * changed, but for what opening a home does.
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/quantity.h"
#include "base/size.h"
#include "machine/accel.h"
#include "machine/find.h"
#include "machine/host-cgroup.h"
#include "runtime/options.h"
#include "runtime/result.h"
#include "runtime/runtime.h"
#include "runtime/template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

/* A box of the built-in image fits into the second; a common one, with its blobs, into the first. */
#define ROOM_WANTED_BYTES (UINT64_C(2) << 30)
#define ROOM_NEEDED_BYTES (UINT64_C(100) << 20)

#define CHECKS_MAX 16u
#define SENTENCE_SIZE 512u
#define SETTING_MAX_BYTES 64u
#define GROUPS_TEXT_MAX_BYTES ((size_t) 1 << 20)

typedef struct doctor {
    const nb_runtime_options *options;
    nb_runtime *rt; /* NULL: the home could not be opened */
    arena *a;
    nb_check items[CHECKS_MAX];
    size_t count;
} doctor;

static nb_check *add(doctor *d, const char *name, nb_check_state state, const char *format, ...) __attribute__((format(printf, 4, 5)));
static nb_check *add(doctor *d, const char *name, nb_check_state state, const char *format, ...) {
    char text[SENTENCE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void) vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    nb_check *check = &d->items[d->count++];
    *check = (nb_check){.name = name, .state = state, .found = arena_string(d->a, text), .meaning = "", .remedy = ""};
    return check;
}

/* What went wrong, with the way out that the error itself knows. */
static nb_check *add_error(doctor *d, const char *name, const nb_error *why, const char *meaning) {
    nb_check *check = add(d, name, NB_CHECK_ERROR, "%s", why->message);
    check->meaning = meaning;
    check->remedy = arena_string(d->a, why->hint);
    return check;
}

/* -------------------------------------------------------------------------------------------------------- the machine */

static void check_accelerator(doctor *d) {
    accel_choice choice;
    nb_error why;
    const char *wanted = d->options->accelerator ? d->options->accelerator : getenv("NESTBOX_ACCEL");
    if (accel_choose(wanted && *wanted ? wanted : NULL, &choice, &why) < 0) {
        add_error(d, "accelerator", &why, "no box starts");
        return;
    }
    bool is_kvm = strcmp(choice.name, "kvm") == 0;
    nb_check *check = add(d, "accelerator", is_kvm ? NB_CHECK_OK : NB_CHECK_WARNING, "%s", choice.reason);
    if (is_kvm)
        return;
    check->meaning =
        "machines are emulated: boxes start in seconds, run several times slower, and QEMU's emulator is no border that hostile code "
        "should meet alone";
    check->remedy =
        "use a host with KVM; in a virtual machine switch nested virtualisation on; and let your user open /dev/kvm, on Debian by "
        "adding it to the group kvm";
}

static void check_qemu(doctor *d) {
    CLEANUP(cleanup_free) char *path = NULL;
    nb_error why;
    if (machine_find_program(host_machine(), &path, &why) < 0)
        add_error(d, "qemu", &why, "no box starts");
    else
        (void) add(d, "qemu", NB_CHECK_OK, "%s", path);
}

static void check_guest(doctor *d) {
    guest_bundle bundle = {0};
    nb_error why;
    if (guest_bundle_find(&bundle, &why) < 0) {
        add_error(d, "guest kernel", &why, "no box starts");
        return;
    }
    (void) add(d, "guest kernel", NB_CHECK_OK, "%s, in '%s'", bundle.kernel_version, bundle.kernel);
    guest_bundle_done(&bundle);
}

/* ------------------------------------------------------------------------------------------------------------- the host */

/* The first number of a file of the kernel's; -1: there is none. */
static long read_setting(const char *path) {
    char text[SETTING_MAX_BYTES] = "";
    CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fd_read_full(fd, text, sizeof(text) - 1) <= 0)
        return -1;
    return strtol(text, NULL, 10);
}

static void check_user_namespaces(doctor *d) {
    if (geteuid() == 0) {
        (void) add(d, "user namespaces", NB_CHECK_OK, "not needed by root");
        return;
    }
    const char *refused_by = NULL;
    if (read_setting("/proc/sys/user/max_user_namespaces") == 0)
        refused_by = "user.max_user_namespaces is 0";
    else if (read_setting("/proc/sys/kernel/unprivileged_userns_clone") == 0)
        refused_by = "kernel.unprivileged_userns_clone is 0";
    else if (read_setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1)
        refused_by = "kernel.apparmor_restrict_unprivileged_userns is 1";
    if (!refused_by) {
        (void) add(d, "user namespaces", NB_CHECK_OK, "allowed");
        return;
    }
    nb_check *check = add(d, "user namespaces", NB_CHECK_WARNING, "refused: %s", refused_by);
    check->meaning = "the file servers of volumes run with all that your user may do, held to their folder by their own care alone";
    check->remedy = "allow them with sysctl, or run boxes that you do not trust without volumes";
}

/* Whether QEMU's files can be opened for it: notifications since Linux 5.0, answered with descriptors since 5.14. */
static void check_jail(doctor *d) {
    static const char actions_file[] = "/proc/sys/kernel/seccomp/actions_avail";
    CLEANUP(cleanup_free) char *actions = NULL;
    struct utsname host;
    unsigned major = 0, minor = 0;
    size_t length;
    bool notifies = file_read(AT_FDCWD, actions_file, SETTING_MAX_BYTES * 4, &actions, &length) == 0 && strstr(actions, "user_notif");
    bool answers = uname(&host) == 0 && sscanf(host.release, "%u.%u", &major, &minor) == 2 && (major > 5 || (major == 5 && minor >= 14));
    if (notifies && answers) {
        (void) add(d, "jail", NB_CHECK_OK, "QEMU opens no file by itself, and reaches no socket and no process");
        return;
    }
    nb_check *check = add(d, "jail", NB_CHECK_WARNING, "%s",
                          notifies ? "the host's kernel is older than 5.14" : "the host's kernel has no seccomp notifications");
    check->meaning = "whoever takes QEMU over may do what your user may, short of starting programs";
    check->remedy = "a kernel of version 5.14 or later, built with CONFIG_SECCOMP_FILTER";
}

static const char bounded_meaning[] = "each machine is held to its limits by the host too, whatever its guest does";
static const char unbounded_meaning[] = "a box's limits are its machine's and hold inside it; nothing on the host bounds what a guest that "
                                        "has taken its kernel over, or QEMU, takes";

/* Whom systemd gives the control groups to: to root all, to a user what the unit of his manager says. */
static void check_systemd_groups(doctor *d) {
    char bus[64], controllers[160];
    CLEANUP(cleanup_free) char *text = NULL;
    unsigned uid = (unsigned) geteuid();
    size_t length;
    nb_check *check;
    (void) snprintf(bus, sizeof(bus), uid == 0 ? "/run/dbus/system_bus_socket" : "/run/user/%u/bus", uid);
    (void) snprintf(controllers, sizeof(controllers), "/sys/fs/cgroup/user.slice/user-%u.slice/user@%u.service/cgroup.controllers", uid,
                    uid);
    if (access(bus, W_OK) < 0) {
        check = add(d, "control groups", NB_CHECK_WARNING, "systemd's, which is not to be reached: '%s': %s", bus, strerror(errno));
        check->meaning = unbounded_meaning;
        check->remedy = uid == 0 ? "install dbus" : "install dbus-user-session, and log in anew, or: loginctl enable-linger";
        return;
    }
    if (uid == 0 || file_read(AT_FDCWD, controllers, GROUPS_TEXT_MAX_BYTES, &text, &length) < 0) {
        check = add(d, "control groups", NB_CHECK_OK, "systemd's, which is asked at each start");
        check->meaning = bounded_meaning;
        return;
    }
    text[strcspn(text, "\n")] = '\0';
    bool all = strstr(text, "cpu") && strstr(text, "memory") && strstr(text, "pids");
    check = add(d, "control groups", all ? NB_CHECK_OK : NB_CHECK_WARNING, "systemd's, which gives this user: %s", text);
    check->meaning = all ? bounded_meaning : unbounded_meaning;
    check->remedy = all ? "" : "systemctl edit user@.service, and there, below [Service]: Delegate=cpu memory pids";
}

static void check_control_groups(doctor *d) {
    char path[PATH_MAX];
    bool is_v1;
    nb_check *check;
    if (access(HOST_SYSTEMD_RUNS, F_OK) == 0) {
        check_systemd_groups(d);
        return;
    }
    if (!host_cgroup_find_own("cpu", path, &is_v1)) {
        check = add(d, "control groups", NB_CHECK_WARNING, "none to be seen here");
        check->remedy = "mount them: mount -t cgroup2 none /sys/fs/cgroup";
    } else {
        bool ours = access(path, W_OK) == 0;
        check = add(d, "control groups", ours ? NB_CHECK_OK : NB_CHECK_WARNING, "version %d, '%s', which this user may%s change",
                    is_v1 ? 1 : 2, path, ours ? "" : " not");
        check->meaning = ours ? bounded_meaning : "";
        check->remedy = ours ? "" : "have a part of the tree delegated to your user, or run as one who may";
    }
    if (!*check->meaning)
        check->meaning = unbounded_meaning;
}

/* ------------------------------------------------------------------------------------------------------------- the home */

static void check_room(doctor *d) {
    struct statvfs status;
    char room[QUANTITY_SIZE_TEXT_SIZE];
    if (!d->rt)
        return;
    if (fstatvfs(d->rt->folder, &status) < 0) {
        (void) add(d, "disk space", NB_CHECK_WARNING, "not known: %s", strerror(errno));
        return;
    }
    uint64_t bytes = (uint64_t) status.f_bavail * status.f_frsize;
    quantity_size_text(bytes, room);
    nb_check *check = add(d, "disk space",
                          bytes < ROOM_NEEDED_BYTES   ? NB_CHECK_ERROR
                          : bytes < ROOM_WANTED_BYTES ? NB_CHECK_WARNING
                                                      : NB_CHECK_OK,
                          "%s free on the file system of the home", room);
    if (check->state == NB_CHECK_OK)
        return;
    check->meaning = "images may not fit, and a box whose disk cannot grow sees write errors";
    check->remedy = "nestbox system df tells what takes room, nestbox system prune frees what nobody uses";
}

static void check_database(doctor *d) {
    nb_error why;
    if (!d->rt)
        return;
    if (store_check(d->rt->store, &why) < 0)
        add_error(d, "database", &why, "boxes and images may be lost or confused")->remedy =
            "stop all boxes, move the home's nestbox.db away and import the images anew; the boxes' disks stay in the home's folder boxes";
    else
        (void) add(d, "database", NB_CHECK_OK, "whole");
}

static void check_programs(doctor *d) {
    static const embedded_program *const programs[] = {&embedded_shim, &embedded_image, &embedded_fetch, &embedded_files, &embedded_guest};
    nb_error why;
    if (!d->rt)
        return;
    for (size_t i = 0; i < ARRAY_LENGTH(programs); i++) {
        CLEANUP(cleanup_fd) int fd = home_program(d->rt, programs[i], NULL, &why);
        if (fd < 0) {
            add_error(d, "helper programs", &why, "what needs this program fails");
            return;
        }
    }
    (void) add(d, "helper programs", NB_CHECK_OK, "%zu, in the home's cache, as they were built", ARRAY_LENGTH(programs));
}

static void check_templates(doctor *d) {
    char failure[SENTENCE_SIZE];
    size_t count;
    if (!d->rt)
        return;
    template_look(d->rt, &count, failure, sizeof(failure));
    if (!failure[0]) {
        (void) add(d, "templates", NB_CHECK_OK, "%zu", count);
        return;
    }
    nb_check *check = add(d, "templates", NB_CHECK_WARNING, "one could not be made: %s", failure);
    check->meaning = "machines of that shape boot at each start, which takes longer";
    check->remedy = "it is tried again ten minutes after; NESTBOX_TEMPLATES=off gives it up";
}

static void check_home(doctor *d) {
    nb_error why;
    if (nb_runtime_open(d->options, &d->rt, &why) < 0) {
        d->rt = NULL;
        add_error(d, "home", &why, "no command works");
        return;
    }
    (void) add(d, "home", NB_CHECK_OK, "%s", d->rt->home);
}

int nb_doctor(const nb_runtime_options *options, nb_checks **ret_checks, nb_error *err) {
    nb_runtime_options given;
    if (!ret_checks)
        return nb_fail(err, NB_E_INVALID, 0, "look at the host: an argument is NULL");
    int result = options_take(&given, sizeof(given), options, "nb_runtime_options", err);
    if (result < 0)
        return result;
    arena *a;
    nb_checks *checks = result_new(sizeof(*checks), &a);
    if (!checks)
        return nb_fail_oom(err);
    given.size = sizeof(given);
    doctor d = {.options = &given, .a = a};
    static void (*const all[])(doctor *) = {check_accelerator, check_qemu,           check_guest, check_user_namespaces,
                                            check_jail,        check_control_groups, check_home,  check_database,
                                            check_programs,    check_templates,      check_room};
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
        all[i](&d);
    nb_runtime_close(d.rt);
    nb_check *items = arena_alloc(a, d.count * sizeof(*items));
    if (a->failed) {
        result_free(checks);
        return nb_fail_oom(err);
    }
    memcpy(items, d.items, d.count * sizeof(*items));
    checks->items = items;
    checks->count = d.count;
    for (size_t i = 0; i < d.count; i++)
        checks->errors += items[i].state == NB_CHECK_ERROR;
    *ret_checks = checks;
    return 0;
}

void nb_checks_free(nb_checks *checks) {
    result_free(checks);
}

/* "warning"; "unknown" for what is none. */
const char *nb_check_state_name(nb_check_state state) {
    static const char *const names[] = {[NB_CHECK_OK] = "ok", [NB_CHECK_WARNING] = "warning", [NB_CHECK_ERROR] = "error"};
    return (size_t) state < ARRAY_LENGTH(names) ? names[state] : "unknown";
}
