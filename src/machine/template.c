/* SPDX-License-Identifier: Apache-2.0
 *
 * template.c - a saved machine that boxes go on from: its folder
 */
#include "machine/template.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"
#include "machine/qcow2.h"
#include "machine/template-digest.h"

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

typedef struct header_fields {
    uint64_t memory_bytes, state_bytes, disk_bytes;
    uint8_t digest[TEMPLATE_DIGEST_BYTES];
} header_fields;

static int read_header(int folder, header_fields *ret, nb_error *err) {
    uint8_t header[TEMPLATE_HEADER_BYTES];
    CLEANUP(cleanup_fd) int fd = open_file(folder, TEMPLATE_HEADER_FILE, err);
    if (fd < 0)
        return fd;
    int result = check_file(fd, TEMPLATE_HEADER_FILE, sizeof(header), err);
    if (result < 0)
        return result;
    if (fd_read_full(fd, header, sizeof(header)) != (ssize_t) sizeof(header) || memcmp(header, TEMPLATE_MAGIC, 8) != 0)
        return nb_fail(err, NB_E_STORAGE, 0, "its header is none, or of another version");
    *ret = (header_fields){load_le64(header + 8), load_le64(header + 16), load_le64(header + 24), {0}};
    memcpy(ret->digest, header + 32, sizeof(ret->digest));
    return 0;
}

static int open_checked(int folder, const char *name, uint64_t length, nb_error *err) {
    CLEANUP(cleanup_fd) int fd = open_file(folder, name, err);
    int result = fd < 0 ? fd : check_file(fd, name, length, err);
    return result < 0 ? result : take_fd(&fd);
}

static int open_with_header(const char *path, template_files *ret_files, header_fields *ret_header, nb_error *err) {
    struct stat status;
    CLEANUP(cleanup_fd) int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (folder < 0 || fstat(folder, &status) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "open its folder");
    if (status.st_uid != geteuid() || (status.st_mode & 0022))
        return nb_fail(err, NB_E_PERMISSION, 0, "its folder belongs to somebody else, or others may write there");
    template_files files = {-1, -1, -1};
    int result = read_header(folder, ret_header, err);
    if (result == 0)
        result = files.memory_fd = open_checked(folder, TEMPLATE_MEMORY_FILE, ret_header->memory_bytes, err);
    if (result >= 0)
        result = files.state_fd = open_checked(folder, TEMPLATE_STATE_FILE, ret_header->state_bytes, err);
    if (result >= 0 && ret_header->disk_bytes)
        result = files.disk_fd = open_checked(folder, TEMPLATE_DISK_FILE, ret_header->disk_bytes, err);
    if (result < 0) {
        template_files_close(&files);
        return result;
    }
    *ret_files = files;
    return 0;
}

int template_open(const char *path, uint64_t memory_bytes, template_files *ret_files, nb_error *err) {
    header_fields header = {0};
    int result = open_with_header(path, ret_files, &header, err);
    if (result == 0 && memory_bytes && header.memory_bytes != memory_bytes) {
        template_files_close(ret_files);
        result = nb_fail(err, NB_E_STORAGE, 0, "it is for a machine of another size");
    }
    return result;
}

void template_files_close(template_files *files) {
    files->memory_fd = fd_close(files->memory_fd);
    files->state_fd = fd_close(files->state_fd);
    files->disk_fd = fd_close(files->disk_fd);
}

static int digest_of(const template_files *files, uint8_t ret_digest[TEMPLATE_DIGEST_BYTES], nb_error *err) {
    const int fds[] = {files->memory_fd, files->state_fd, files->disk_fd};
    return template_digest(fds, 3, ret_digest) < 0 ? nb_fail(err, nb_code_of_errno(errno), errno, "read its files") : 0;
}

int template_verify(const char *path, nb_error *err) {
    template_files files;
    header_fields header = {0};
    uint8_t digest[TEMPLATE_DIGEST_BYTES];
    int result = open_with_header(path, &files, &header, err);
    if (result < 0)
        return result;
    result = digest_of(&files, digest, err);
    template_files_close(&files);
    if (result == 0 && memcmp(digest, header.digest, sizeof(digest)) != 0)
        result = nb_fail(err, NB_E_STORAGE, 0, "its files do not hold what they held when it was made");
    return result;
}

static int seal_file(int fd, uint64_t *ret_length) {
    struct stat status;
    *ret_length = 0;
    if (fd < 0)
        return 0;
    if (fchmod(fd, 0400) < 0 || fstat(fd, &status) < 0)
        return -1;
    *ret_length = (uint64_t) status.st_size;
    return 0;
}

int template_seal(int folder, const template_files *files, nb_error *err) {
    uint8_t header[TEMPLATE_HEADER_BYTES] = TEMPLATE_MAGIC;
    header_fields fields;
    if (seal_file(files->memory_fd, &fields.memory_bytes) < 0 || seal_file(files->state_fd, &fields.state_bytes) < 0 ||
        seal_file(files->disk_fd, &fields.disk_bytes) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "protect its files");
    int result = digest_of(files, header + 32, err);
    if (result < 0)
        return result;
    store_le64(header + 8, fields.memory_bytes);
    store_le64(header + 16, fields.state_bytes);
    store_le64(header + 24, fields.disk_bytes);
    CLEANUP(cleanup_fd) int fd = openat(folder, TEMPLATE_HEADER_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (fd < 0 || fd_write_all(fd, header, sizeof(header)) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "write '%s'", TEMPLATE_HEADER_FILE);
    return 0;
}

static int check_disk(const template_files *files, int own, nb_error *err) {
    uint64_t own_bytes, bytes;
    int result = qcow2_read_size(own, &own_bytes, err);
    if (result == 0)
        result = qcow2_read_size(files->disk_fd, &bytes, err);
    if (result == 0 && (own_bytes != bytes || !qcow2_is_untouched(own)))
        result = nb_fail(err, NB_E_INVALID_STATE, 0, "the box's disk has been written to, or is of another size");
    return result;
}

int template_give_disk(const template_files *files, int folder, const char *name, nb_error *err) {
    char fresh[NAME_MAX + 1];
    (void) snprintf(fresh, sizeof(fresh), "%s.new", name);
    CLEANUP(cleanup_fd) int own = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (own < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "open '%s' in the box's folder", name);
    int result = check_disk(files, own, err);
    if (result < 0)
        return result;
    (void) unlinkat(folder, fresh, 0);
    CLEANUP(cleanup_fd) int fd = openat(folder, fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make '%s' in the box's folder", fresh);
    if (file_copy_sparse(files->disk_fd, fd) < 0)
        result = nb_fail(err, nb_code_of_errno(errno), errno, "copy its '%s'", TEMPLATE_DISK_FILE);
    else
        result = qcow2_copy_backing(own, fd, err);
    if (result == 0 && renameat(folder, fresh, folder, name) < 0)
        result = nb_fail(err, nb_code_of_errno(errno), errno, "give it the place of the box's disk");
    if (result < 0)
        (void) unlinkat(folder, fresh, 0);
    return result;
}
