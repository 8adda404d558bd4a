/* SPDX-License-Identifier: Apache-2.0
 *
 * test-folder.h - a temporary folder for one test, gone with its scope
 */
#ifndef TEST_FOLDER_H
#define TEST_FOLDER_H

#include "base/fd.h"
#include "base/file.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct test_folder {
    char path[64];
    int fd;
} test_folder;

static inline test_folder test_folder_make(void) {
    test_folder folder = {.path = "/tmp/nestbox-unit-XXXXXX"};
    char *made = mkdtemp(folder.path);
    assert(made);
    folder.fd = open(made, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert(folder.fd >= 0);
    return folder;
}

static inline void test_folder_remove(test_folder *folder) {
    (void) fd_close(folder->fd);
    (void) file_remove_tree(AT_FDCWD, folder->path);
}

static inline void test_folder_write(const test_folder *folder, const char *name, const void *bytes, size_t length) {
    int fd = openat(folder->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert(fd >= 0);
    int written = fd_write_all(fd, bytes, length);
    assert(written == 0);
    (void) fd_close(fd);
}

/* How many entries a folder has, below @folder or itself for ".". */
static inline unsigned test_folder_count(const test_folder *folder, const char *name) {
    DIR *entries = fdopendir(openat(folder->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    assert(entries);
    unsigned count = 0;
    struct dirent *entry;
    while ((entry = readdir(entries)))
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    (void) closedir(entries);
    return count;
}

#endif
