/* SPDX-License-Identifier: Apache-2.0
 *
 * template-folder.c - where templates are kept
 *
 * Theory of operation
 *   A template is a folder named by its key. It is made in a folder of another name, KEY.PID.new, which becomes its own with one rename(2): what is
 *   there is whole. Who makes one holds the lock KEY.lock; the others wait for it, and then find the template, or go without. Should it come to nothing, a
 *   note, KEY.failed, says so for a while, lest every start tries again. KEY.asked says that one that is only made when it is asked for twice
 *   was asked for once.
 *   The time of a template's header is when it was used last. The folder may be any of the user's: what else lies in it is not touched.
 */
#include "runtime/template-folder.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/size.h"
#include "machine/template.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* After a template could not be made, machines do without for so long before it is tried again. */
#define FAILED_FOR_S 600
#define UNUSED_FOR_S (7 * 24 * 3600)
#define HALF_MADE_FOR_S 3600
/* One used since is not removed for the sake of another: where too many are in use, some do without, lest they make and remove each other's. */
#define IN_USE_FOR_S 600
/* What the disk of one takes, grown and mounted; measured: 2.5 MB of 10 GiB. */
#define DISK_ALLOWANCE_BYTES MIB(8)
#define NOTE_MAX_BYTES ((size_t) NB_ERROR_MESSAGE_SIZE)

#define LOCK_SUFFIX ".lock"
#define FAILED_SUFFIX ".failed"
#define ASKED_SUFFIX ".asked"
#define HALF_MADE_SUFFIX ".new"

#define FILE_NAME_SIZE (TEMPLATE_KEY_SIZE + sizeof(FAILED_SUFFIX))
#define HEADER_PATH_SIZE (sizeof(((struct dirent *) NULL)->d_name) + sizeof("/" TEMPLATE_HEADER_FILE))

static void name_file(const char *key, const char *suffix, char ret_name[FILE_NAME_SIZE]) {
    (void) snprintf(ret_name, FILE_NAME_SIZE, "%s%s", key, suffix);
}

static void name_header(const char *folder, char ret_path[HEADER_PATH_SIZE]) {
    (void) snprintf(ret_path, HEADER_PATH_SIZE, "%s/" TEMPLATE_HEADER_FILE, folder);
}

static int choose_path(const nb_runtime *rt, char **ret_path, nb_error *err) {
    const char *given = getenv("NESTBOX_TEMPLATES");
    if (given && strcmp(given, "off") == 0)
        return nb_fail(err, NB_E_UNSUPPORTED, 0, "NESTBOX_TEMPLATES is off");
    if (given && *given)
        *ret_path = strdup(given);
    else if (asprintf(ret_path, "%s/" HOME_TEMPLATES, rt->home) < 0)
        *ret_path = NULL;
    return *ret_path ? 0 : nb_fail_oom(err);
}

int template_folder_open(const nb_runtime *rt, template_folder *ret_folder, nb_error *err) {
    struct stat status;
    *ret_folder = (template_folder){.log = &rt->log, .fd = -1};
    int result = choose_path(rt, &ret_folder->path, err);
    if (result < 0)
        return result;
    if (mkdir(ret_folder->path, 0700) < 0 && errno != EEXIST)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make the folder '%s'", ret_folder->path);
    CLEANUP(cleanup_fd) int fd = open(ret_folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &status) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "open the folder '%s'", ret_folder->path);
    if (status.st_uid != geteuid() || (status.st_mode & 0022))
        return nb_fail(err, NB_E_PERMISSION, 0, "'%s' belongs to somebody else, or others may write there: not used", ret_folder->path);
    ret_folder->fd = take_fd(&fd);
    return 0;
}

void template_folder_close(template_folder *folder) {
    free(folder->path);
    folder->path = NULL;
    folder->fd = fd_close(folder->fd);
}

/* ------------------------------------------------------------------------------------------------------- what has had its time */

typedef enum entry_kind { FOREIGN, TEMPLATE, HALF_MADE, NOTE } entry_kind;

/* What an entry is by its name: a key, or one with something behind it that is ours. */
static entry_kind kind_of(const char *name) {
    size_t digits = strspn(name, "0123456789abcdef");
    if (digits != TEMPLATE_KEY_SIZE - 1)
        return FOREIGN;
    const char *suffix = name + digits;
    if (!*suffix)
        return TEMPLATE;
    if (strcmp(suffix, LOCK_SUFFIX) == 0 || strcmp(suffix, FAILED_SUFFIX) == 0 || strcmp(suffix, ASKED_SUFFIX) == 0)
        return NOTE;
    size_t pid_digits = strspn(suffix + 1, "0123456789");
    return *suffix == '.' && pid_digits > 0 && strcmp(suffix + 1 + pid_digits, HALF_MADE_SUFFIX) == 0 ? HALF_MADE : FOREIGN;
}

/* A template that was used last so long ago, or somebody's half-made one, is in the way: another kernel, QEMU or start of the host makes it useless. A
 * machine that goes on from it has it open, and does not notice. */
static void sweep_old(const template_folder *folder) {
    time_t now = time(NULL);
    DIR *list = file_list(folder->fd);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        char header[HEADER_PATH_SIZE];
        struct stat status;
        entry_kind kind = kind_of(entry->d_name);
        name_header(entry->d_name, header);
        bool whole = kind == TEMPLATE && fstatat(folder->fd, header, &status, AT_SYMLINK_NOFOLLOW) == 0;
        if (kind == FOREIGN || (!whole && fstatat(folder->fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0))
            continue;
        bool is_folder = S_ISDIR(status.st_mode) || whole;
        if ((kind == NOTE) == is_folder)
            continue;
        if (now - status.st_mtime > (whole || kind == NOTE ? UNUSED_FOR_S : HALF_MADE_FOR_S))
            (void) file_remove_tree(folder->fd, entry->d_name);
    }
    if (list)
        (void) closedir(list);
}

/* What the files of one take on the disk. */
static uint64_t occupied_bytes(const template_folder *folder, const char *name) {
    uint64_t bytes = 0;
    struct stat status;
    CLEANUP(cleanup_fd) int fd = openat(folder->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : file_list(fd);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        if (fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode))
            bytes += (uint64_t) status.st_blocks * 512;
    }
    if (list)
        (void) closedir(list);
    return bytes;
}

/* What those with a disk take, and which of them nobody has used for longest, and for a while; "" where there is none such. */
static uint64_t find_unused_with_disk(const template_folder *folder, char ret_unused[TEMPLATE_KEY_SIZE]) {
    uint64_t bytes = 0;
    time_t before = time(NULL) - IN_USE_FOR_S;
    ret_unused[0] = '\0';
    DIR *list = file_list(folder->fd);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        char header[HEADER_PATH_SIZE], disk[TEMPLATE_KEY_SIZE + sizeof("/" TEMPLATE_DISK_FILE)];
        struct stat status;
        if (kind_of(entry->d_name) != TEMPLATE)
            continue;
        name_header(entry->d_name, header);
        (void) snprintf(disk, sizeof(disk), "%.*s/" TEMPLATE_DISK_FILE, TEMPLATE_KEY_SIZE - 1, entry->d_name);
        if (faccessat(folder->fd, disk, F_OK, 0) < 0)
            continue;
        bytes += occupied_bytes(folder, entry->d_name);
        if (fstatat(folder->fd, header, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_mtime < before) {
            before = status.st_mtime;
            (void) snprintf(ret_unused, TEMPLATE_KEY_SIZE, "%.*s", TEMPLATE_KEY_SIZE - 1, entry->d_name);
        }
    }
    if (list)
        (void) closedir(list);
    return bytes;
}

bool template_folder_make_room(const template_folder *folder, const char *like, uint64_t max_bytes) {
    char unused[TEMPLATE_KEY_SIZE];
    uint64_t needed = occupied_bytes(folder, like) + DISK_ALLOWANCE_BYTES;
    while (find_unused_with_disk(folder, unused) + needed > max_bytes) {
        if (!unused[0]) {
            log_info(folder->log, "template: none of the image is made: it does not fit into what those of images may take");
            return false;
        }
        log_info(folder->log, "template: '%s' is removed: another one needs its place", unused);
        if (template_folder_remove(folder, unused) < 0)
            return false;
    }
    return true;
}

/* ----------------------------------------------------------------------------------------------------------------- finding */

static bool has_failed_lately(const template_folder *folder, const char *note) {
    struct stat status;
    return fstatat(folder->fd, note, &status, AT_SYMLINK_NOFOLLOW) == 0 && time(NULL) - status.st_mtime < FAILED_FOR_S;
}

bool template_folder_use(const template_folder *folder, const char *key) {
    char header[HEADER_PATH_SIZE];
    name_header(key, header);
    return utimensat(folder->fd, header, NULL, AT_SYMLINK_NOFOLLOW) == 0;
}

bool template_folder_ask(const template_folder *folder, const char *key) {
    char note[FILE_NAME_SIZE];
    name_file(key, ASKED_SUFFIX, note);
    CLEANUP(cleanup_fd) int fd = openat(folder->fd, note, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd < 0 && errno == EEXIST;
}

/* Makes it under another name, and gives it its own. */
static int make(const template_folder *folder, const char *key, const template_maker *maker, nb_error *err) {
    char name[TEMPLATE_KEY_SIZE + 32];
    (void) snprintf(name, sizeof(name), "%s.%d" HALF_MADE_SUFFIX, key, (int) getpid());
    (void) file_remove_tree(folder->fd, name);
    if (mkdirat(folder->fd, name, 0700) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make a folder");
    CLEANUP(cleanup_fd) int fd = openat(folder->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd < 0 ? nb_fail(err, nb_code_of_errno(errno), errno, "open its folder") : maker->make(maker->user, fd, err);
    if (result == 0) {
        (void) file_remove_tree(folder->fd, key); /* one without a header, which was refused */
        if (renameat(folder->fd, name, folder->fd, key) < 0)
            result = nb_fail(err, nb_code_of_errno(errno), errno, "give it its name");
    }
    if (result < 0)
        (void) file_remove_tree(folder->fd, name);
    return result;
}

/* Takes the lock of what is to be made, or finds it made. */
static int lock_key(const template_folder *folder, const char *key, int64_t wait_ms, int *ret_lock, nb_error *err) {
    char name[FILE_NAME_SIZE];
    name_file(key, LOCK_SUFFIX, name);
    CLEANUP(cleanup_fd) int lock = openat(folder->fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "open '%s/%s'", folder->path, name);
    if ((wait_ms > 0 ? lock_wait(lock, wait_ms) : lock_take(lock)) < 0)
        return errno == EAGAIN ? nb_fail(err, NB_E_INVALID_STATE, 0, "another program makes it")
                               : nb_fail(err, nb_code_of_errno(errno), errno, "lock '%s/%s'", folder->path, name);
    (void) futimens(lock, NULL); /* in use: it is not swept */
    *ret_lock = take_fd(&lock);
    return 0;
}

static int check_note(const template_folder *folder, const char *note, bool retry, nb_error *err) {
    return !retry && has_failed_lately(folder, note)
               ? nb_fail(err, NB_E_INVALID_STATE, 0, "it could not be made lately, as '%s/%s' says", folder->path, note)
               : 0;
}

int template_folder_provide(const template_folder *folder, const char *key, const template_maker *maker, nb_error *err) {
    char note[FILE_NAME_SIZE];
    CLEANUP(cleanup_fd) int lock = -1;
    nb_error why;
    name_file(key, FAILED_SUFFIX, note);
    if (template_folder_use(folder, key))
        return 0;
    int result = check_note(folder, note, maker->retry, err);
    if (result == 0)
        result = lock_key(folder, key, maker->wait_ms, &lock, err);
    if (result < 0 || template_folder_use(folder, key))
        return result;
    result = check_note(folder, note, maker->retry, err);
    if (result < 0)
        return result;
    sweep_old(folder);
    log_info(folder->log, "template: making '%s'", key);
    result = make(folder, key, maker, &why);
    if (result == 0) {
        (void) unlinkat(folder->fd, note, 0);
        return 0;
    }
    /* No warning: where the boot fails too, that is what the user is to read. */
    log_info(folder->log, "template: make '%s': %s: machines do without", key, why.message);
    (void) file_write_atomic(folder->fd, note, why.message, strlen(why.message), false);
    if (err)
        *err = why;
    return result;
}

int template_folder_remove(const template_folder *folder, const char *key) {
    char header[HEADER_PATH_SIZE], note[FILE_NAME_SIZE];
    name_header(key, header);
    name_file(key, ASKED_SUFFIX, note);
    (void) unlinkat(folder->fd, note, 0);
    (void) unlinkat(folder->fd, header, 0); /* what is half removed is none */
    return file_remove_tree(folder->fd, key);
}

int template_folder_each(const template_folder *folder, int (*each)(void *user, const char *key), void *user, nb_error *err) {
    DIR *list = file_list(folder->fd);
    int result = list ? 0 : nb_fail(err, nb_code_of_errno(errno), errno, "list '%s'", folder->path);
    for (struct dirent *entry; result == 0 && (entry = readdir(list));) {
        char header[HEADER_PATH_SIZE];
        name_header(entry->d_name, header);
        if (kind_of(entry->d_name) == TEMPLATE && faccessat(folder->fd, header, F_OK, 0) == 0)
            result = each(user, entry->d_name);
    }
    if (list)
        (void) closedir(list);
    return result;
}

bool template_folder_measure(const template_folder *folder, const char *key, uint64_t *ret_bytes, uint64_t *ret_used_at_ms) {
    char header[HEADER_PATH_SIZE];
    struct stat status;
    name_header(key, header);
    if (fstatat(folder->fd, header, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    *ret_bytes = occupied_bytes(folder, key);
    *ret_used_at_ms = (uint64_t) status.st_mtim.tv_sec * 1000 + (uint64_t) status.st_mtim.tv_nsec / 1000000;
    return true;
}

void template_folder_look(const template_folder *folder, size_t *ret_count, char *ret_failure, size_t size) {
    *ret_count = 0;
    ret_failure[0] = '\0';
    DIR *list = file_list(folder->fd);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        char header[HEADER_PATH_SIZE];
        const char *suffix = strrchr(entry->d_name, '.');
        CLEANUP(cleanup_free) char *text = NULL;
        size_t length;
        name_header(entry->d_name, header);
        *ret_count += kind_of(entry->d_name) == TEMPLATE && faccessat(folder->fd, header, R_OK, 0) == 0;
        if (suffix && strcmp(suffix, FAILED_SUFFIX) == 0 && has_failed_lately(folder, entry->d_name) &&
            file_read(folder->fd, entry->d_name, NOTE_MAX_BYTES, &text, &length) == 0)
            (void) snprintf(ret_failure, size, "%.*s", (int) length, text);
    }
    if (list)
        (void) closedir(list);
}
