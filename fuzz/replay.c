/* SPDX-License-Identifier: Apache-2.0
 *
 * replay.c - runs a fuzz target over every file of a folder, as a test
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

#define INPUT_MAX_BYTES ((size_t) 16 << 20)

/* A block of exactly the file's size, so that the sanitizer sees one byte beyond it. */
static int run_file(int folder, const char *name) {
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0 || (size_t) status.st_size > INPUT_MAX_BYTES)
        return -1;
    uint8_t *bytes = malloc((size_t) status.st_size + (status.st_size == 0));
    if (!bytes || read(fd, bytes, (size_t) status.st_size) != status.st_size)
        return -1;
    (void) close(fd);
    (void) LLVMFuzzerTestOneInput(bytes, (size_t) status.st_size);
    free(bytes);
    return 0;
}

int main(int argc, char **argv) {
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (!folder) {
        fprintf(stderr, "usage: replay CORPUS\n");
        return 2;
    }
    unsigned count = 0;
    struct dirent *entry;
    while ((entry = readdir(folder))) {
        if (entry->d_name[0] == '.')
            continue;
        if (run_file(dirfd(folder), entry->d_name) < 0) {
            fprintf(stderr, "replay: cannot read '%s'\n", entry->d_name);
            return 1;
        }
        count++;
    }
    (void) closedir(folder);
    printf("%u inputs\n", count);
    return count > 0 ? 0 : 1;
}
