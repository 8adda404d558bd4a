/* SPDX-License-Identifier: Apache-2.0
 *
 * template.c - saved machines that boxes go on from, instead of booting: finding and making them
 *
 * Theory of operation
 *   A template is a folder below the home's "templates", or $NESTBOX_TEMPLATES, named by a digest of everything that shapes the machine: change any of it,
 *   and another template is looked for. It is made in a folder of another name, which becomes its own with one rename(2): what is
 *   there is whole. Who makes one holds a lock of that name; the others wait for it, and then find the template. Should it come to nothing, a
 *   note says so for a while, lest every start tries again.
 */
#include "runtime/template.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "machine/memory.h"
#include "runtime/channel.h"
#include "runtime/embedded.h"
#include "runtime/launch.h"
#include "wire/message.h"
#include "wire/template.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sha2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* Counts up with what a template holds, or is asked to do. */
#define TEMPLATE_FORM 1
#define KEY_SIZE SHA256_DIGEST_STRING_LENGTH
#define SHAPE_MAX_BYTES ((size_t) 64 << 10)
#define BOOT_ID_SIZE 64
/* Beyond the boot itself: the save, and a loaded host. */
#define MAKE_ALLOWANCE_MS 90000
#define SEND_TIMEOUT_MS 10000
/* After a template could not be made, machines boot for so long before it is tried again. */
#define FAILED_FOR_S 600
#define UNUSED_FOR_S (7 * 24 * 3600)
#define HALF_MADE_FOR_S 3600
#define NOTE_MAX_BYTES ((size_t) NB_ERROR_MESSAGE_SIZE)

static bool add_line(buf *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool add_line(buf *text, const char *format, ...) {
    CLEANUP(cleanup_free) char *line = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&line, format, arguments);
    va_end(arguments);
    return length >= 0 && buf_append(text, line, (size_t) length);
}

/* A file by what changes with its contents. */
static bool add_file(buf *text, const char *name, const char *path) {
    struct stat status;
    return stat(path, &status) == 0 &&
           add_line(text, "%s %ju %ju %jd %jd.%09ld\n", name, (uintmax_t) status.st_dev, (uintmax_t) status.st_ino,
                    (intmax_t) status.st_size, (intmax_t) status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

/* The host's clocks and processors are the same until it boots again. */
static void read_boot_id(char *ret_id) {
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length;
    int result = file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", BOOT_ID_SIZE, &text, &length);
    (void) snprintf(ret_id, BOOT_ID_SIZE, "%.*s", result < 0 ? 0 : (int) strcspn(text, "\n"), result < 0 ? "" : text);
}

static bool make_key(const template_shape *shape, char *ret_key) {
    CLEANUP(buf_done) buf text;
    char boot_id[BOOT_ID_SIZE];
    buf_init(&text, SHAPE_MAX_BYTES);
    read_boot_id(boot_id);
    if (!add_line(&text, "form %d\nhost %s\naccelerator %s\nmemory %" PRIu64 "\ncpus %" PRIu32 "\nagent %s\nshim %s\n", TEMPLATE_FORM,
                  boot_id, shape->accelerator, machine_memory_class(shape->memory_bytes), shape->cpus, embedded_guest.sha256,
                  embedded_shim.sha256) ||
        !add_file(&text, "qemu", shape->qemu) || !add_file(&text, "kernel", shape->kernel) || !add_file(&text, "modules", shape->modules))
        return false;
    (void) SHA256Data(buf_bytes(&text), buf_length(&text), ret_key);
    return true;
}

/* ------------------------------------------------------------------------------------------------------------------ making */

static int make_in(int shim, int folder, const template_shape *shape, nb_error *err) {
    CLEANUP(buf_done) buf bytes;
    const uint8_t *answer;
    size_t length;
    msg_template_made made;
    const msg_template order = {
        .qemu = wire_str(shape->qemu),
        .accelerator = wire_str(shape->accelerator),
        .kernel = wire_str(shape->kernel),
        .modules = wire_str(shape->modules),
        .agent = wire_str(shape->agent),
        .memory_bytes = shape->memory_bytes,
        .cpus = shape->cpus,
        .boot_timeout_ms = shape->boot_timeout_ms,
    };
    buf_init(&bytes, WIRE_READ_BUFFER_BYTES);
    CLEANUP(cleanup_fd) int socket = launch_shim(shim, WIRE_TEMPLATE_PROGRAM, folder, err);
    if (socket < 0)
        return socket;
    if (!wire_control(&bytes, wire_encode_template, &order))
        return nb_fail_full(err, &bytes, "a path of the machine is too long");
    int result = channel_send(socket, &bytes, deadline_in(SEND_TIMEOUT_MS), err);
    if (result == 0)
        result = channel_receive(socket, TO_CLIENT, deadline_in((int64_t) shape->boot_timeout_ms + MAKE_ALLOWANCE_MS), &bytes, &answer,
                                 &length, err);
    if (result < 0)
        return result;
    return wire_decode_template_made(answer, length, &made) < 0 ? channel_failed(answer, length, err) : 0;
}

/* Makes it under another name, and gives it its own. */
static int make(int templates, int shim, const char *key, const template_shape *shape, nb_error *err) {
    char name[KEY_SIZE + 32];
    (void) snprintf(name, sizeof(name), "%s.%d.new", key, (int) getpid());
    (void) file_remove_tree(templates, name);
    if (mkdirat(templates, name, 0700) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make a folder");
    CLEANUP(cleanup_fd) int folder = openat(templates, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = folder < 0 ? nb_fail(err, nb_code_of_errno(errno), errno, "open its folder") : make_in(shim, folder, shape, err);
    if (result == 0) {
        (void) file_remove_tree(templates, key); /* one without a header, which was refused */
        if (renameat(templates, name, templates, key) < 0)
            result = nb_fail(err, nb_code_of_errno(errno), errno, "give it its name");
    }
    if (result < 0)
        (void) file_remove_tree(templates, name);
    return result;
}

/* ----------------------------------------------------------------------------------------------------------------- finding */

static bool has_failed_lately(int templates, const char *note) {
    struct stat status;
    return fstatat(templates, note, &status, AT_SYMLINK_NOFOLLOW) == 0 && time(NULL) - status.st_mtime < FAILED_FOR_S;
}

/* NULL: none are wanted. */
static char *templates_path(const nb_runtime *rt) {
    const char *given = getenv("NESTBOX_TEMPLATES");
    char *path = NULL;
    if (given && *given)
        return strcmp(given, "off") == 0 ? NULL : strdup(given);
    return asprintf(&path, "%s/" HOME_TEMPLATES, rt->home) < 0 ? NULL : path;
}

/* Whether a name is one that templates are given, whole or half made: a key, and ".PID.new" behind it. The folder may be any of the user's, and hold
 * what else he likes. */
static bool is_of_a_template(const char *name) {
    static const char made[] = ".new";
    size_t digits = strspn(name, "0123456789abcdef"), length = strlen(name);
    if (digits != KEY_SIZE - 1 || length == digits)
        return length == KEY_SIZE - 1 && digits == length;
    const char *pid = name + digits + 1;
    size_t pid_digits = name[digits] == '.' ? strspn(pid, "0123456789") : 0;
    return pid_digits > 0 && strcmp(pid + pid_digits, made) == 0;
}

/* A template that was used last so long ago, or somebody's half-made one, is in the way: another kernel, QEMU or start of the host makes it useless. A
 * machine that goes on from it has it open, and does not notice. */
static void sweep_old(int templates) {
    CLEANUP(cleanup_fd) int fd = openat(templates, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list)
        return;
    fd = -1; /* the stream's now */
    time_t now = time(NULL);
    for (struct dirent *entry; (entry = readdir(list));) {
        char header[sizeof(entry->d_name) + sizeof("/" WIRE_TEMPLATE_HEADER_FILE)];
        struct stat status;
        (void) snprintf(header, sizeof(header), "%s/" WIRE_TEMPLATE_HEADER_FILE, entry->d_name);
        bool whole = fstatat(templates, header, &status, AT_SYMLINK_NOFOLLOW) == 0;
        if (!is_of_a_template(entry->d_name) || (!whole && fstatat(templates, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0))
            continue;
        if (now - status.st_mtime > (whole ? UNUSED_FOR_S : HALF_MADE_FOR_S))
            (void) file_remove_tree(templates, entry->d_name);
    }
    (void) closedir(list);
}

/* Whether it is there. It is used now: sweep_old() looks at that. */
static bool use(int templates, const char *key) {
    char path[KEY_SIZE + sizeof("/" WIRE_TEMPLATE_HEADER_FILE)];
    (void) snprintf(path, sizeof(path), "%s/" WIRE_TEMPLATE_HEADER_FILE, key);
    return utimensat(templates, path, NULL, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool prepare(nb_runtime *rt, int templates, int shim, const char *key, const template_shape *shape) {
    char lock_name[KEY_SIZE + 8], note[KEY_SIZE + 8];
    nb_error why;
    (void) snprintf(lock_name, sizeof(lock_name), "%s.lock", key);
    (void) snprintf(note, sizeof(note), "%s.failed", key);
    if (use(templates, key))
        return true;
    if (has_failed_lately(templates, note))
        return false;
    CLEANUP(cleanup_fd) int lock = openat(templates, lock_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0 || lock_wait(lock, (int64_t) shape->boot_timeout_ms + MAKE_ALLOWANCE_MS) < 0) {
        log_warning(&rt->log, "template: lock '%s': %s", lock_name, strerror(errno));
        return false;
    }
    if (use(templates, key))
        return true;
    if (has_failed_lately(templates, note))
        return false;
    sweep_old(templates);
    log_info(&rt->log, "template: making '%s'", key);
    if (make(templates, shim, key, shape, &why) == 0)
        return true;
    /* No warning: where the boot fails too, that is what the user is to read. */
    log_info(&rt->log, "template: make '%s': %s: machines boot instead", key, why.message);
    (void) file_write_atomic(templates, note, why.message, strlen(why.message), false);
    return false;
}

void template_look(const nb_runtime *rt, size_t *ret_count, char *ret_failure, size_t size) {
    CLEANUP(cleanup_free) char *path = templates_path(rt);
    DIR *list = path ? opendir(path) : NULL;
    *ret_count = 0;
    ret_failure[0] = '\0';
    for (struct dirent *entry; list && (entry = readdir(list));) {
        char header[sizeof(entry->d_name) + sizeof("/" WIRE_TEMPLATE_HEADER_FILE)];
        const char *suffix = strrchr(entry->d_name, '.');
        CLEANUP(cleanup_free) char *text = NULL;
        size_t length;
        (void) snprintf(header, sizeof(header), "%s/" WIRE_TEMPLATE_HEADER_FILE, entry->d_name);
        *ret_count += faccessat(dirfd(list), header, R_OK, 0) == 0;
        if (suffix && strcmp(suffix, ".failed") == 0 && has_failed_lately(dirfd(list), entry->d_name) &&
            file_read(dirfd(list), entry->d_name, NOTE_MAX_BYTES, &text, &length) == 0)
            (void) snprintf(ret_failure, size, "%.*s", (int) length, text);
    }
    if (list)
        (void) closedir(list);
}

char *template_prepare(nb_runtime *rt, int shim, const template_shape *shape) {
    char key[KEY_SIZE];
    CLEANUP(cleanup_free) char *folder = templates_path(rt);
    char *path = NULL;
    if (!folder || !make_key(shape, key))
        return NULL;
    if (mkdir(folder, 0700) < 0 && errno != EEXIST) {
        log_warning(&rt->log, "template: make the folder '%s': %s", folder, strerror(errno));
        return NULL;
    }
    CLEANUP(cleanup_fd) int templates = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    struct stat status;
    if (templates >= 0 && (fstat(templates, &status) < 0 || status.st_uid != geteuid() || (status.st_mode & 0022))) {
        log_warning(&rt->log, "template: '%s' belongs to somebody else, or others may write there: not used", folder);
        return NULL;
    }
    if (templates < 0 || !prepare(rt, templates, shim, key, shape) || asprintf(&path, "%s/%s", folder, key) < 0)
        return NULL;
    return path;
}
