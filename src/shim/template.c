/* SPDX-License-Identifier: Apache-2.0
 *
 * template.c - a saved machine that boxes go on from: its folder
 */
#include "shim/template.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "wire/template.h"

#include <errno.h>
#include <fcntl.h>
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

static int read_header(int folder, uint64_t *ret_memory_bytes, uint64_t *ret_state_bytes, nb_error *err) {
    uint8_t header[TEMPLATE_HEADER_BYTES];
    CLEANUP(cleanup_fd) int fd = open_file(folder, WIRE_TEMPLATE_HEADER_FILE, err);
    if (fd < 0)
        return fd;
    int result = check_file(fd, WIRE_TEMPLATE_HEADER_FILE, sizeof(header), err);
    if (result < 0)
        return result;
    if (fd_read_full(fd, header, sizeof(header)) != (ssize_t) sizeof(header) || memcmp(header, TEMPLATE_MAGIC, 8) != 0)
        return nb_fail(err, NB_E_STORAGE, 0, "its header is none, or of another version");
    *ret_memory_bytes = load_le64(header + 8);
    *ret_state_bytes = load_le64(header + 16);
    return 0;
}

int template_open(const char *path, uint64_t memory_bytes, template_files *ret_files, nb_error *err) {
    struct stat status;
    uint64_t length = 0, state_bytes = 0;
    CLEANUP(cleanup_fd) int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (folder < 0 || fstat(folder, &status) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "open its folder");
    if (status.st_uid != geteuid() || (status.st_mode & 0022))
        return nb_fail(err, NB_E_PERMISSION, 0, "its folder belongs to somebody else, or others may write there");
    int result = read_header(folder, &length, &state_bytes, err);
    if (result == 0 && length != memory_bytes)
        result = nb_fail(err, NB_E_STORAGE, 0, "it is for a machine of another size");
    if (result < 0)
        return result;
    CLEANUP(cleanup_fd) int memory = open_file(folder, TEMPLATE_MEMORY_FILE, err);
    CLEANUP(cleanup_fd) int state = memory < 0 ? -1 : open_file(folder, TEMPLATE_STATE_FILE, err);
    if (memory < 0 || state < 0)
        return memory < 0 ? memory : state;
    result = check_file(memory, TEMPLATE_MEMORY_FILE, memory_bytes, err);
    if (result == 0)
        result = check_file(state, TEMPLATE_STATE_FILE, state_bytes, err);
    if (result < 0)
        return result;
    *ret_files = (template_files){take_fd(&memory), take_fd(&state)};
    return 0;
}

void template_files_close(template_files *files) {
    files->memory_fd = fd_close(files->memory_fd);
    files->state_fd = fd_close(files->state_fd);
}
