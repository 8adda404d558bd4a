/* SPDX-License-Identifier: Apache-2.0
 *
 * exec-guest.c - what bench/exec runs inside a box: the guest's own way to do things, and the far end of streams
 *
 *     exec-guest loop COUNT PROGRAM...   forks, executes and awaits it COUNT times; prints the microseconds of each
 *     exec-guest time PROGRAM...         the same once, printing what it took alone
 *     exec-guest write BYTES             writes as many bytes to stdout
 *     exec-guest read BYTES              reads as many from stdin, then writes one
 *
 * Static, so that starting it costs what starting a process costs.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t) 64 << 10)

static char piece[PIECE_BYTES];

static uint64_t now_us(void) {
    struct timespec now;
    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

static int loop(unsigned long count, char **argv) {
    for (; count > 0; count--) {
        uint64_t began = now_us();
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            (void) execv(argv[0], argv);
            _exit(127);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
            return 1;
        (void) printf("%llu\n", (unsigned long long) (now_us() - began));
    }
    return 0;
}

static int transfer(ssize_t (*move)(int fd, void *bytes, size_t length), int fd, unsigned long long left) {
    while (left > 0) {
        ssize_t n = move(fd, piece, left < sizeof(piece) ? (size_t) left : sizeof(piece));
        if (n <= 0)
            return 1;
        left -= (unsigned long long) n;
    }
    return 0;
}

static ssize_t write_out(int fd, void *bytes, size_t length) {
    return write(fd, bytes, length);
}

int main(int argc, char **argv) {
    const char *what = argc > 2 ? argv[1] : "";
    if (strcmp(what, "loop") == 0 && argc > 3)
        return loop(strtoul(argv[2], NULL, 10), argv + 3);
    if (strcmp(what, "time") == 0)
        return loop(1, argv + 2);
    if (strcmp(what, "write") == 0)
        return transfer(write_out, STDOUT_FILENO, strtoull(argv[2], NULL, 10));
    if (strcmp(what, "read") == 0)
        return transfer(read, STDIN_FILENO, strtoull(argv[2], NULL, 10)) == 0 && write(STDOUT_FILENO, "", 1) == 1 ? 0 : 1;
    return 2;
}
