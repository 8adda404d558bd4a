/* SPDX-License-Identifier: Apache-2.0
 *
 * probe.c - does with files what programs do, and looks whether they behave as files
 *
 * usage: volume-probe FOLDER [WHAT...]
 *
 * FOLDER is one that can be written to and nobody else writes to meanwhile. Without WHAT everything is tried. Prints a line for each and a reason
 * after those that failed; status 0 when all behaved. Static, so that it runs in any box; run on a folder of the host it says what to expect.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MANY 1000

static const char *failure;

static void fail(const char *what) {
    static char said[512];
    (void) snprintf(said, sizeof(said), "%s (%s)", what, strerror(errno));
    failure = said;
}

#define EXPECT(condition)     \
    do {                      \
        if (!(condition)) {   \
            fail(#condition); \
            return;           \
        }                     \
    } while (0)

static bool holds(const char *name, const char *text) {
    char bytes[4096];
    int fd = open(name, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
    (void) close(fd);
    return n == (ssize_t) strlen(text) && memcmp(bytes, text, (size_t) n) == 0;
}

static void write_and_read(void) {
    struct stat status;
    int fd = open("a", O_RDWR | O_CREAT | O_EXCL, 0640);
    EXPECT(fd >= 0 && write(fd, "hello", 5) == 5 && fstat(fd, &status) == 0 && status.st_size == 5);
    EXPECT((status.st_mode & 07777) == 0640 && status.st_nlink == 1);
    EXPECT(open("a", O_RDWR | O_CREAT | O_EXCL, 0640) < 0 && errno == EEXIST);
    EXPECT(pwrite(fd, "J", 1, 0) == 1 && fsync(fd) == 0 && fdatasync(fd) == 0 && holds("a", "Jello"));
    EXPECT(ftruncate(fd, 2) == 0 && holds("a", "Je") && close(fd) == 0);
    fd = open("a", O_WRONLY | O_APPEND);
    EXPECT(fd >= 0 && write(fd, "ll", 2) == 2 && close(fd) == 0 && holds("a", "Jell"));
    fd = open("a", O_WRONLY | O_TRUNC);
    EXPECT(fd >= 0 && close(fd) == 0 && holds("a", "") && unlink("a") == 0);
}

static void large(void) {
    size_t length = 3000017;
    char *bytes = malloc(length), *back = malloc(length);
    for (size_t i = 0; bytes && i < length; i++)
        bytes[i] = (char) (i * 2654435761u >> 24);
    int fd = open("large", O_RDWR | O_CREAT | O_TRUNC, 0600);
    EXPECT(bytes && back && fd >= 0 && write(fd, bytes, length) == (ssize_t) length);
    EXPECT(pread(fd, back, length, 0) == (ssize_t) length && memcmp(bytes, back, length) == 0);
    EXPECT(close(fd) == 0 && unlink("large") == 0);
    free(bytes);
    free(back);
}

static void mapped(void) {
    int fd = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
    EXPECT(fd >= 0 && ftruncate(fd, 100000) == 0);
    char *memory = mmap(NULL, 100000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    EXPECT(memory != MAP_FAILED);
    memset(memory, 'x', 100000);
    EXPECT(msync(memory, 100000, MS_SYNC) == 0);
    char byte = 0;
    EXPECT(pread(fd, &byte, 1, 99999) == 1 && byte == 'x');
    EXPECT(pwrite(fd, "y", 1, 50000) == 1 && memory[50000] == 'y');
    EXPECT(munmap(memory, 100000) == 0 && close(fd) == 0 && unlink("mapped") == 0);
}

static void unlinked_while_open(void) {
    struct stat status;
    char byte = 0;
    int fd = open("gone", O_RDWR | O_CREAT | O_TRUNC, 0600);
    EXPECT(fd >= 0 && write(fd, "z", 1) == 1 && unlink("gone") == 0);
    EXPECT(access("gone", F_OK) < 0 && errno == ENOENT);
    EXPECT(fstat(fd, &status) == 0 && status.st_nlink == 0 && status.st_size == 1);
    EXPECT(pwrite(fd, "Z", 1, 0) == 1 && pread(fd, &byte, 1, 0) == 1 && byte == 'Z' && ftruncate(fd, 0) == 0 && close(fd) == 0);
}

static void put(const char *name, const char *text) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    EXPECT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text) && close(fd) == 0);
}

static void renamed(void) {
    put("one", "1");
    put("two", "2");
    int fd = open("one", O_RDWR);
    EXPECT(fd >= 0 && rename("one", "two") == 0 && access("one", F_OK) < 0 && holds("two", "1"));
    EXPECT(pwrite(fd, "3", 1, 0) == 1 && holds("two", "3") && close(fd) == 0);
    put("one", "1");
    EXPECT(renameat2(AT_FDCWD, "one", AT_FDCWD, "two", RENAME_NOREPLACE) < 0 && errno == EEXIST);
    EXPECT(renameat2(AT_FDCWD, "one", AT_FDCWD, "two", RENAME_EXCHANGE) == 0 && holds("one", "3") && holds("two", "1"));
    EXPECT(mkdir("from", 0755) == 0 && mkdir("to", 0755) == 0 && rename("two", "from/two") == 0 && rename("from", "to/from") == 0);
    EXPECT(holds("to/from/two", "1") && rename("to", "to/from/to") < 0 && errno == EINVAL);
    EXPECT(rmdir("to") < 0 && errno == ENOTEMPTY);
    EXPECT(unlink("to/from/two") == 0 && rmdir("to/from") == 0 && rmdir("to") == 0 && unlink("one") == 0);
}

static void linked(void) {
    struct stat first, second;
    char text[32] = "";
    put("name", "n");
    EXPECT(link("name", "other") == 0 && stat("name", &first) == 0 && stat("other", &second) == 0);
    EXPECT(first.st_ino == second.st_ino && first.st_nlink == 2 && second.st_nlink == 2);
    EXPECT(unlink("name") == 0 && holds("other", "n") && stat("other", &second) == 0 && second.st_nlink == 1);
    EXPECT(symlink("other", "link") == 0 && readlink("link", text, sizeof(text) - 1) == 5 && strcmp(text, "other") == 0 &&
           holds("link", "n"));
    EXPECT(open("link", O_RDONLY | O_NOFOLLOW) < 0 && errno == ELOOP);
    EXPECT(unlink("link") == 0 && unlink("other") == 0);
}

static bool locks_conflict(int (*lock)(int fd)) {
    put("lock", "");
    int fd = open("lock", O_RDWR);
    if (fd < 0 || lock(fd) < 0)
        return false;
    pid_t child = fork();
    if (child == 0) {
        int own = open("lock", O_RDWR);
        _exit(own >= 0 && lock(own) < 0 && (errno == EAGAIN || errno == EACCES) ? 0 : 1);
    }
    int status = 1;
    bool good = child > 0 && waitpid(child, &status, 0) == child && status == 0;
    return close(fd) == 0 && unlink("lock") == 0 && good;
}

static int lock_whole(int fd) {
    return flock(fd, LOCK_EX | LOCK_NB);
}

static int lock_range(int fd) {
    return fcntl(fd, F_SETLK, &(struct flock){.l_type = F_WRLCK, .l_len = 1});
}

static void locked(void) {
    EXPECT(locks_conflict(lock_whole));
    EXPECT(locks_conflict(lock_range));
}

static void many_entries(void) {
    char name[32];
    static bool seen[MANY];
    size_t count = 0;
    EXPECT(mkdir("many", 0755) == 0);
    for (int i = 0; i < MANY; i++) {
        (void) snprintf(name, sizeof(name), "many/%d", i);
        EXPECT(mknod(name, S_IFREG | 0600, 0) == 0);
    }
    DIR *folder = opendir("many");
    EXPECT(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        int number = (int) strtol(entry->d_name, NULL, 10);
        if (entry->d_name[0] == '.')
            continue;
        EXPECT(number >= 0 && number < MANY && !seen[number] && entry->d_type == DT_REG);
        seen[number] = true;
        count++;
        if (number % 2 == 0) { /* a folder that changes while it is read */
            (void) snprintf(name, sizeof(name), "many/%d", number);
            EXPECT(unlink(name) == 0);
        }
    }
    EXPECT(count == MANY && closedir(folder) == 0);
    for (int i = 1; i < MANY; i += 2) {
        (void) snprintf(name, sizeof(name), "many/%d", i);
        EXPECT(unlink(name) == 0);
    }
    EXPECT(rmdir("many") == 0);
}

static void holes_and_room(void) {
    struct stat status;
    int fd = open("holes", O_RDWR | O_CREAT | O_TRUNC, 0600);
    EXPECT(fd >= 0 && pwrite(fd, "end", 3, 10 << 20) == 3 && fstat(fd, &status) == 0);
    EXPECT(status.st_size == (10 << 20) + 3 && status.st_blocks < 1000);
    EXPECT(lseek(fd, 0, SEEK_DATA) == 10 << 20 && lseek(fd, 0, SEEK_HOLE) == 0);
    EXPECT(fallocate(fd, 0, 0, 1 << 20) == 0 && fstat(fd, &status) == 0 && status.st_blocks >= 2048);
    EXPECT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 20) == 0 && fstat(fd, &status) == 0 &&
           status.st_blocks < 1000);
    int to = open("copy", O_RDWR | O_CREAT | O_TRUNC, 0600);
    EXPECT(to >= 0 && copy_file_range(fd, &(off_t){10 << 20}, to, NULL, 3, 0) == 3 && holds("copy", "end"));
    EXPECT(close(fd) == 0 && close(to) == 0 && unlink("holes") == 0 && unlink("copy") == 0);
}

static void attributes(void) {
    char value[16];
    struct stat status;
    struct timespec times[2] = {{.tv_sec = 1, .tv_nsec = 2}, {.tv_sec = 1234567890, .tv_nsec = 123456789}};
    put("attributes", "");
    EXPECT(chmod("attributes", 0751) == 0 && utimensat(AT_FDCWD, "attributes", times, 0) == 0 && stat("attributes", &status) == 0);
    EXPECT((status.st_mode & 07777) == 0751 && status.st_mtim.tv_sec == 1234567890 && status.st_mtim.tv_nsec == 123456789);
    EXPECT(setxattr("attributes", "user.colour", "red", 3, 0) == 0 && getxattr("attributes", "user.colour", value, sizeof(value)) == 3);
    EXPECT(memcmp(value, "red", 3) == 0 && removexattr("attributes", "user.colour") == 0);
    EXPECT(getxattr("attributes", "user.colour", value, sizeof(value)) < 0 && errno == ENODATA);
    EXPECT(unlink("attributes") == 0);
}

static void odd_names(void) {
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    put(name, "long");
    put("white \t space", "w");
    put("\xff\xfe", "bytes");
    EXPECT(holds(name, "long") && holds("white \t space", "w") && holds("\xff\xfe", "bytes"));
    EXPECT(open("nnn/../nnn", O_RDONLY) < 0 && errno == ENOENT);
    EXPECT(unlink(name) == 0 && unlink("white \t space") == 0 && unlink("\xff\xfe") == 0);
    char longer[258];
    memset(longer, 'n', 257);
    longer[257] = '\0';
    EXPECT(open(longer, O_WRONLY | O_CREAT, 0600) < 0 && errno == ENAMETOOLONG);
}

static const struct {
    const char *name;
    void (*run)(void);
} probes[] = {
    {"write-and-read", write_and_read},
    {"large", large},
    {"mapped", mapped},
    {"unlinked-while-open", unlinked_while_open},
    {"renamed", renamed},
    {"linked", linked},
    {"locked", locked},
    {"many-entries", many_entries},
    {"holes-and-room", holes_and_room},
    {"attributes", attributes},
    {"odd-names", odd_names},
};

static bool is_wanted(const char *name, int argc, char **argv) {
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            return true;
    }
    return argc <= 2;
}

int main(int argc, char **argv) {
    int status = 0;
    if (argc < 2 || chdir(argv[1]) < 0) {
        perror(argc < 2 ? "usage: volume-probe FOLDER [WHAT...]" : argv[1]);
        return 2;
    }
    for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
        if (!is_wanted(probes[i].name, argc, argv))
            continue;
        failure = NULL;
        probes[i].run();
        (void) printf("%s: %s\n", probes[i].name, failure ? failure : "good");
        status |= failure != NULL;
    }
    return status;
}
