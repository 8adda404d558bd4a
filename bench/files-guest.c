/* SPDX-License-Identifier: Apache-2.0
 *
 * files-guest.c - what programs do with files, timed inside a machine
 *
 *     files-guest FOLDER TREE    in a box: works in FOLDER, walks TREE, which it makes where it is missing
 *     files-guest                as PID 1: mounts the virtiofs tag "bench", works there, and powers off
 *
 * A line for each: a name, and microseconds. The sizes are those of fio's jobs of the same names: 1 MiB blocks in order, 4 KiB blocks at random.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define FILE_BYTES ((size_t) 128 << 20)
#define BLOCK_BYTES ((size_t) 1 << 20)
#define SMALL_BYTES ((size_t) 4096)
#define RANDOM_BLOCKS 2000u
#define TREE_FOLDERS 100u
#define TREE_FILES 100u
#define NEW_FOLDERS 50u
#define NEW_FILES 100u
#define MODULES "/modules"

static char block[BLOCK_BYTES];

static void die(const char *what) {
    (void) printf("failed %s: %s\n", what, strerror(errno));
    (void) fflush(stdout);
    if (getpid() == 1)
        (void) reboot(RB_POWER_OFF);
    exit(1);
}

static uint64_t now_us(void) {
    struct timespec t;
    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000u + (uint64_t) t.tv_nsec / 1000u;
}

static void tell(const char *name, uint64_t began_us) {
    (void) printf("%s %llu\n", name, (unsigned long long) (now_us() - began_us));
    (void) fflush(stdout);
}

static uint64_t next_random(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static void forget_pages(int fd) {
    (void) fsync(fd);
    (void) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static void one_file(void) {
    int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    uint64_t began = now_us();
    for (size_t at = 0; at < FILE_BYTES; at += sizeof(block)) {
        if (write(fd, block, sizeof(block)) != (ssize_t) sizeof(block))
            die("write");
    }
    if (fsync(fd) < 0)
        die("fsync");
    tell("sequential-write", began);
    forget_pages(fd);
    (void) lseek(fd, 0, SEEK_SET);
    began = now_us();
    for (size_t at = 0; at < FILE_BYTES; at += sizeof(block)) {
        if (read(fd, block, sizeof(block)) != (ssize_t) sizeof(block))
            die("read");
    }
    tell("sequential-read", began);
    forget_pages(fd);
    (void) posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    began = now_us();
    for (unsigned i = 0; i < RANDOM_BLOCKS; i++) {
        if (pread(fd, block, SMALL_BYTES, (off_t) (next_random() % (FILE_BYTES / SMALL_BYTES) * SMALL_BYTES)) != (ssize_t) SMALL_BYTES)
            die("pread");
    }
    tell("random-read", began);
    began = now_us();
    for (unsigned i = 0; i < RANDOM_BLOCKS; i++) {
        if (pwrite(fd, block, SMALL_BYTES, (off_t) (next_random() % (FILE_BYTES / SMALL_BYTES) * SMALL_BYTES)) != (ssize_t) SMALL_BYTES)
            die("pwrite");
    }
    if (fsync(fd) < 0)
        die("fsync");
    tell("random-write", began);
    if (close(fd) < 0 || unlink("file") < 0)
        die("unlink");
}

static void make_files(const char *root, unsigned folders, unsigned files, size_t bytes) {
    char name[512];
    if (mkdir(root, 0755) < 0)
        die(root);
    for (unsigned i = 0; i < folders; i++) {
        (void) snprintf(name, sizeof(name), "%s/%u", root, i);
        if (mkdir(name, 0755) < 0)
            die(name);
        for (unsigned j = 0; j < files; j++) {
            (void) snprintf(name, sizeof(name), "%s/%u/%u", root, i, j);
            int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
            if (fd < 0 || write(fd, block, bytes) != (ssize_t) bytes || close(fd) < 0)
                die(name);
        }
    }
}

static size_t walk(int fd) {
    size_t count = 0;
    if (fd < 0)
        die("open a folder");
    DIR *folder = fdopendir(fd);
    struct dirent *entry;
    struct stat status;
    if (!folder)
        die("opendir");
    while ((entry = readdir(folder))) {
        if (entry->d_name[0] == '.')
            continue;
        if (fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            die(entry->d_name);
        count += S_ISDIR(status.st_mode) ? walk(openat(dirfd(folder), entry->d_name, O_RDONLY | O_DIRECTORY)) : 1;
    }
    (void) closedir(folder);
    return count;
}

static void many_files(const char *tree) {
    if (access(tree, F_OK) < 0)
        make_files(tree, TREE_FOLDERS, TREE_FILES, 10);
    uint64_t began = now_us();
    if (walk(open(tree, O_RDONLY | O_DIRECTORY)) != (size_t) TREE_FOLDERS * TREE_FILES)
        die("walk");
    tell("walk-10000", began);
    began = now_us();
    make_files("new", NEW_FOLDERS, NEW_FILES, 2000);
    tell("create-5000", began);
}

static void work(const char *folder, const char *tree) {
    if (chdir(folder) < 0)
        die(folder);
    one_file();
    many_files(tree);
}

/* ------------------------------------------------------------------------------------------------- as the only program of a machine */

static void load_modules(void) {
    char name[512];
    struct dirent **entries;
    int count = scandir(MODULES, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        (void) snprintf(name, sizeof(name), MODULES "/%s", entries[i]->d_name);
        int fd = open(name, O_RDONLY | O_CLOEXEC);
        if (entries[i]->d_name[0] != '.' && syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
            die(name);
        (void) close(fd);
    }
}

static void run_machine(void) {
    (void) mkdir("/dev", 0755);
    (void) mkdir("/v", 0755);
    if (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) < 0)
        die("/dev");
    int console = open("/dev/ttyS0", O_RDWR);
    (void) dup2(console, STDIN_FILENO);
    (void) dup2(console, STDOUT_FILENO);
    load_modules();
    for (int i = 0; i < 1000 && mount("bench", "/v", "virtiofs", 0, NULL) < 0; i++)
        (void) nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    work("/v/work", "/v/tree");
    (void) printf("done 0\n");
    (void) fflush(stdout);
    (void) tcdrain(console);
    (void) reboot(RB_POWER_OFF);
}

int main(int argc, char **argv) {
    memset(block, 'x', sizeof(block));
    if (getpid() == 1 && argc < 3)
        run_machine();
    if (argc != 3) {
        (void) fprintf(stderr, "usage: files-guest FOLDER TREE\n");
        return 2;
    }
    work(argv[1], argv[2]);
    return 0;
}
