/* SPDX-License-Identifier: Apache-2.0
 *
 * template.c - a saved machine that boxes go on from: its folder
 */
#include "shim/template.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"
#include "machine/qcow2.h"
#include "wire/template.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Nobody else's, and nobody's to write: a box that could would have a hand in all that come after it. */
static int check_file(int fd, const char *name, uint64_t length, nb_error *err) {
    struct stat status;
    if (fstat(fd, &status) < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "look at its '%s'", name);
    if (status.st_uid != geteuid() || (status.st_mode & 0222) || !S_ISREG(status.st_mode))
        return nb_fail(err, NB_E_PERMISSION, 0, "its '%s' belongs to somebody else, or can be written to", name);
    if ((uint64_t) status.st_size != length)
        return nb_fail(err, NB_E_STORAGE, 0, "its '%s' has another length than was written", name);
    return 0;
}

static int open_file(int folder, const char *name, nb_error *err) {
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? nb_fail(err, nb_code_of_errno(errno), errno, "open its '%s'", name) : fd;
}

typedef struct lengths {
    uint64_t memory, state, disk;
} lengths;

static int read_header(int folder, lengths *ret, nb_error *err) {
    uint8_t header[TEMPLATE_HEADER_BYTES];
    CLEANUP(cleanup_fd) int fd = open_file(folder, WIRE_TEMPLATE_HEADER_FILE, err);
    if (fd < 0)
        return fd;
    int result = check_file(fd, WIRE_TEMPLATE_HEADER_FILE, sizeof(header), err);
    if (result < 0)
        return result;
    if (fd_read_full(fd, header, sizeof(header)) != (ssize_t) sizeof(header) || memcmp(header, TEMPLATE_MAGIC, 8) != 0)
        return nb_fail(err, NB_E_STORAGE, 0, "its header is none, or of another version");
    *ret = (lengths){load_le64(header + 8), load_le64(header + 16), load_le64(header + 24)};
    return 0;
}

static int open_checked(int folder, const char *name, uint64_t length, nb_error *err) {
    CLEANUP(cleanup_fd) int fd = open_file(folder, name, err);
    int result = fd < 0 ? fd : check_file(fd, name, length, err);
    return result < 0 ? result : take_fd(&fd);
}

int template_open(const char *path, uint64_t memory_bytes, template_files *ret_files, nb_error *err) {
    struct stat status;
    lengths length = {0};
    int result;
    CLEANUP(cleanup_fd) int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (folder < 0 || fstat(folder, &status) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "open its folder");
    if (status.st_uid != geteuid() || (status.st_mode & 0022))
        return nb_fail(err, NB_E_PERMISSION, 0, "its folder belongs to somebody else, or others may write there");
    result = read_header(folder, &length, err);
    if (result == 0 && length.memory != memory_bytes)
        result = nb_fail(err, NB_E_STORAGE, 0, "it is for a machine of another size");
    if (result < 0)
        return result;
    template_files files = {-1, -1, -1};
    result = files.memory_fd = open_checked(folder, TEMPLATE_MEMORY_FILE, length.memory, err);
    if (result >= 0)
        result = files.state_fd = open_checked(folder, TEMPLATE_STATE_FILE, length.state, err);
    if (result >= 0 && length.disk)
        result = files.disk_fd = open_checked(folder, WIRE_TEMPLATE_DISK_FILE, length.disk, err);
    if (result < 0) {
        template_files_close(&files);
        return result;
    }
    *ret_files = files;
    return 0;
}

void template_files_close(template_files *files) {
    files->memory_fd = fd_close(files->memory_fd);
    files->state_fd = fd_close(files->state_fd);
    files->disk_fd = fd_close(files->disk_fd);
}

static int check_disk(const template_files *files, int folder, const char *name, nb_error *err) {
    uint64_t own_bytes, bytes;
    CLEANUP(cleanup_fd) int own = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (own < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "open '%s' in the box's folder", name);
    int result = qcow2_read_size(own, &own_bytes, err);
    if (result == 0)
        result = qcow2_read_size(files->disk_fd, &bytes, err);
    if (result == 0 && (own_bytes != bytes || !qcow2_is_untouched(own)))
        result = nb_fail(err, NB_E_INVALID_STATE, 0, "the box's disk has been written to, or is of another size");
    return result;
}

int template_give_disk(const template_files *files, int folder, const char *name, const char *base_disk, nb_error *err) {
    char fresh[NAME_MAX + 1];
    (void) snprintf(fresh, sizeof(fresh), "%s.new", name);
    int result = check_disk(files, folder, name, err);
    if (result < 0)
        return result;
    (void) unlinkat(folder, fresh, 0);
    CLEANUP(cleanup_fd) int fd = openat(folder, fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make '%s' in the box's folder", fresh);
    if (file_copy_sparse(files->disk_fd, fd) < 0)
        result = nb_fail(err, nb_code_of_errno(errno), errno, "copy its '%s'", WIRE_TEMPLATE_DISK_FILE);
    else
        result = qcow2_rename_backing(fd, base_disk, err);
    if (result == 0 && renameat(folder, fresh, folder, name) < 0)
        result = nb_fail(err, nb_code_of_errno(errno), errno, "give it the place of the box's disk");
    if (result < 0)
        (void) unlinkat(folder, fresh, 0);
    return result;
}
