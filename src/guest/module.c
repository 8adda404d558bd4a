/* SPDX-License-Identifier: Apache-2.0
 *
 * module.c - the kernel's modules that the machine's initramfs carries
 *
 * A file's name there is a number, which orders them, and the module's: "08-fuse.ko".
 */
#include "guest/module.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ORDER_MAX_BYTES 4096u
#define NUMBER_LENGTH 3u /* "08-" */

static int complain(const char *what) {
    (void) dprintf(STDERR_FILENO, "nestbox-guest: load '%s': %s\n", what, strerror(errno));
    return -1;
}

static int load(int folder, const char *file) {
    CLEANUP(cleanup_fd) int fd = openat(folder, file, O_RDONLY | O_CLOEXEC);
    return fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST) ? -1 : 0;
}

int module_load_all(void) {
    CLEANUP(cleanup_fd) int folder = open(MODULE_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(cleanup_fd) int order = folder < 0 ? -1 : openat(folder, "order", O_RDONLY | O_CLOEXEC);
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length;
    if (order < 0 || fd_read_file(order, ORDER_MAX_BYTES, &text, &length) < 0)
        return complain(MODULE_FOLDER "/order");
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        if (*line && load(folder, line) < 0)
            return complain(line);
    }
    return 0;
}

static bool is_file_of(const char *file, const char *name) {
    size_t length = strlen(name);
    return strlen(file) > NUMBER_LENGTH && strncmp(file + NUMBER_LENGTH, name, length) == 0 &&
           strcmp(file + NUMBER_LENGTH + length, ".ko") == 0;
}

int module_load(const char *name) {
    CLEANUP(cleanup_fd) int fd = open(MODULE_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    if (!folder)
        return -1;
    fd = -1; /* the stream's now */
    while ((entry = readdir(folder)) && !is_file_of(entry->d_name, name))
        ;
    int result = entry ? load(dirfd(folder), entry->d_name) : -1, error = entry ? errno : ENOENT;
    (void) closedir(folder);
    errno = error;
    return result;
}
