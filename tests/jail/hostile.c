/* SPDX-License-Identifier: Apache-2.0
 *
 * hostile.c - what a guest would do that has taken QEMU over, in the jail that QEMU runs in
 *
 * Says each thing that went otherwise than it must, and exits with their number. Descriptor 3 is a file open for reading and writing, 4 a folder that
 * the file "secret" is in, both of the test's; argv[1] is that folder's path.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define RACES 3000

static int wrong;

static void must(bool good, const char *what) {
    if (!good) {
        printf("%s: errno %d\n", what, errno);
        wrong++;
    }
}

static void must_fail(long result, int expected, const char *what) {
    must(result < 0 && errno == expected, what);
}

static void opens_nothing_of_anybody_s(const char *folder) {
    char path[4096], climbing[sizeof(path) + 32];
    (void) snprintf(path, sizeof(path), "%s/secret", folder);
    (void) snprintf(climbing, sizeof(climbing), "/usr/lib/../..%s", path);
    must_fail(open(path, O_RDONLY), EACCES, "a file of the user's, for reading");
    must_fail(open(path, O_RDWR), EACCES, "a file of the user's, for writing");
    must_fail(open(climbing, O_RDONLY), EACCES, "a file of the user's, by a path of the system's");
    must_fail(openat(4, "secret", O_RDONLY), EACCES, "a file of the user's, from its folder");
    must_fail(open("/etc/passwd", O_RDONLY), EACCES, "/etc/passwd");
    must_fail(open("/proc/self/environ", O_RDONLY), EACCES, "/proc/self/environ");
    must_fail(open("/proc/self/mem", O_RDWR), EACCES, "/proc/self/mem");
    must_fail(open("/proc/self/root/etc/passwd", O_RDONLY), EACCES, "/proc/self/root");
    must_fail(open("/proc/1/status", O_RDONLY), EACCES, "another process");
    must_fail(open("/proc/self/fd/../../1/status", O_RDONLY), EACCES, "another process, by a detour");
    must_fail(open("/proc/self/fd/4/secret", O_RDONLY), EACCES, "a file of the user's, by /proc/self/fd");
    must_fail(open("/proc/self/fd/4", O_RDONLY | O_DIRECTORY), EACCES, "a folder of its own anew");
    must_fail(open("/tmp/new", O_WRONLY | O_CREAT, 0600), EACCES, "a new file");
    must_fail(open("/tmp", O_TMPFILE | O_RDWR, 0600), EACCES, "a new file without a name");
    must_fail(open("/dev/tty", O_RDWR), EACCES, "the terminal");
    must_fail(open("secret", O_RDONLY), EACCES, "a relative path");
    must_fail(open("", O_RDONLY), EACCES, "no path");
    must_fail(open((const char *) 8, O_RDONLY), EFAULT, "a path that is in no memory"); /* NOLINT */
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    must_fail(open(path, O_RDONLY), EACCES, "a path as long as a path can be");
}

static void opens_what_it_needs(void) {
    char bytes[4];
    int fd = open("/usr/lib/os-release", O_RDONLY | O_CLOEXEC);
    must(fd >= 0 && read(fd, bytes, 4) == 4, "a file of the system's");
    must(fcntl(fd, F_GETFD) == FD_CLOEXEC, "a descriptor that closes");
    must_fail(open("/usr/lib/os-release", O_RDWR), EACCES, "a file of the system's, for writing");
    must_fail(open("/usr/lib/nestbox-no-such", O_RDONLY), ENOENT, "a file of the system's that is not there");
    must(open("/sys/devices/system/cpu", O_RDONLY | O_DIRECTORY) >= 0, "a folder of the system's");
    must(open("/dev/null", O_RDWR) >= 0, "/dev/null");
    must(open("/proc/self/status", O_RDONLY) >= 0, "/proc/self/status");
    /* Its own descriptor anew: a description of its own, that cannot write. */
    fd = open("/proc/self/fd/3", O_RDONLY);
    must(fd >= 0 && read(fd, bytes, 4) == 4 && lseek(3, 0, SEEK_CUR) == 0, "its own file anew");
    must_fail(write(fd, "x", 1), EBADF, "writing to it");
    int writing = open("/proc/self/fd/3", O_RDWR);
    must_fail(writing < 0 ? 0 : write(writing, "x", 1), EBADF, "its own file anew, for writing");
    must_fail((long) (intptr_t) mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writing, 0), EACCES,
              "its own file anew, mapped for writing");
    must_fail(fallocate(writing, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), EBADF, "a hole in it");
    must_fail(open("/proc/self/fd/3", O_RDWR | O_TRUNC), EACCES, "its own file anew, truncated");
    must_fail(ftruncate(fd, 0), EINVAL, "truncating it");
}

static void finds_no_other_way(const char *folder) {
    char path[4096];
    struct open_how how = {.flags = O_RDONLY};
    struct io_uring_params parameters = {0};
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/run/docker.sock"};
    struct stat status;
    (void) snprintf(path, sizeof(path), "%s/secret", folder);
    must_fail(syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how)), ENOSYS, "openat2");
    must_fail(syscall(SYS_io_uring_setup, 1, &parameters), ENOSYS, "io_uring_setup");
    must_fail(syscall(SYS_creat, path, 0600), EPERM, "creat");
    must_fail(syscall(SYS_open_by_handle_at, 4, path, O_RDONLY), EPERM, "open_by_handle_at");
    must_fail(rename(path, "/tmp/away"), EPERM, "rename");
    must_fail(unlink(path), EPERM, "unlink");
    must_fail(unlinkat(4, "secret", 0), EPERM, "unlinkat");
    must_fail(link(path, "/tmp/linked"), EPERM, "link");
    must_fail(symlink(path, "/tmp/linked"), EPERM, "symlink");
    must_fail(mkdir("/tmp/made", 0700), EPERM, "mkdir");
    must_fail(truncate(path, 0), EPERM, "truncate");
    must_fail(chmod(path, 0777), EPERM, "chmod");
    must_fail(fchmod(3, 0777), EPERM, "fchmod");
    must_fail(chdir("/"), EPERM, "chdir");
    must_fail(fchdir(4), EPERM, "fchdir");
    must_fail(chroot("/"), EPERM, "chroot");
    must_fail(socket(AF_UNIX, SOCK_STREAM, 0), EPERM, "socket");
    must_fail(socket(AF_INET, SOCK_STREAM, 0), EPERM, "an internet socket");
    must_fail(connect(3, (struct sockaddr *) &address, sizeof(address)), EPERM, "connect");
    must_fail(kill(getppid(), 0), EPERM, "kill");
    must_fail(syscall(SYS_tgkill, getppid(), getppid(), 0), EPERM, "tgkill of another process");
    must(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), 0) == 0, "tgkill of a thread of its own");
    must_fail(syscall(SYS_pidfd_open, getppid(), 0), EPERM, "pidfd_open");
    must_fail(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL), EPERM, "ptrace");
    must_fail(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0), EPERM, "process_vm_readv");
    must_fail(syscall(SYS_bpf, 0, NULL, 0), EPERM, "bpf");
    must_fail(syscall(SYS_unshare, 0x10000000), EPERM, "unshare");
    must(stat(path, &status) == 0 && status.st_size == 6, "what was there is there as it was");
}

#if defined(__x86_64__)
static void speaks_no_other_machine_s_calls(void) {
    pid_t child = fork();
    if (child == 0) {
        long result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory"); /* getpid */
        _exit(0);
    }
    int status = 0;
    must(waitpid(child, &status, 0) == child && WIFSIGNALED(status), "a call of 32 bits ends who makes it");
    /* SIGSEGV is a kernel that has no such calls, or was told to forget them, as one in an encrypted machine is. */
    must(WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV, "a call of 32 bits");
}
#endif

/* ---------------------------------------------------------------------------------------- a path that changes meanwhile */

static char racing[64] = "/usr/lib/os-release";
static volatile bool over;

static void *change_the_path(void *user) {
    (void) user;
    while (!over) {
        memcpy(racing, "/etc/passwd", sizeof("/etc/passwd"));
        memcpy(racing, "/usr/lib/os-release", sizeof("/usr/lib/os-release"));
    }
    return NULL;
}

static void gets_nothing_by_changing_the_path(void) {
    pthread_t thread;
    struct stat wanted, got;
    unsigned opened = 0;
    must(stat("/usr/lib/os-release", &wanted) == 0, "stat");
    must(pthread_create(&thread, NULL, change_the_path, NULL) == 0, "a thread");
    for (unsigned i = 0; i < RACES; i++) {
        int fd = open(racing, O_RDONLY);
        if (fd < 0)
            continue;
        opened++;
        must(fstat(fd, &got) == 0 && got.st_ino == wanted.st_ino && got.st_dev == wanted.st_dev, "another file than was judged");
        (void) close(fd);
    }
    over = true;
    (void) pthread_join(thread, NULL);
    must(opened > 0, "a race that was never won");
}

int main(int argc, char **argv) {
    (void) setvbuf(stdout, NULL, _IONBF, 0);
    if (argc != 2)
        return 100;
    opens_what_it_needs();
    opens_nothing_of_anybody_s(argv[1]);
    finds_no_other_way(argv[1]);
#if defined(__x86_64__)
    speaks_no_other_machine_s_calls();
#endif
    gets_nothing_by_changing_the_path();
    return wrong > 99 ? 99 : wrong;
}
