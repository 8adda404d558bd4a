/* SPDX-License-Identifier: Apache-2.0
 *
 * exec-client.c - the library's side of bench/exec: one program with an open runtime, as an embedder has it
 *
 *     exec-client HOME BOX
 *
 * Orders come on stdin, the answer to each is one line of microseconds:
 *
 *     loop COUNT PROGRAM                    starts the program COUNT times and waits for each; what each took
 *     parallel COUNT CONCURRENCY PROGRAM    the same with so many at once; what all took together
 *     stdout BYTES PROGRAM                  runs PROGRAM write BYTES; from the first byte to the last
 *     stdin BYTES PROGRAM                   runs PROGRAM read BYTES; from the first byte to the program's word that it has them all
 */
#include <nestbox/nestbox.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PIECE_BYTES ((size_t) 64 << 10)
#define CONCURRENCY_MAX 256u
#define PROGRAM_MAX 255
#define PROGRAM_FORMAT "%255s"

static nb_box *box;

static void fail(const char *what, const nb_error *why) {
    (void) fprintf(stderr, "exec-client: %s: %s\n", what, why->message);
    exit(1);
}

static uint64_t now_us(void) {
    struct timespec now;
    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

static nb_exec *start(const char *const *argv, size_t count, bool open_stdin) {
    nb_exec_options options = NB_EXEC_OPTIONS_INIT;
    nb_exec *exec = NULL;
    nb_error why;
    options.command = (nb_strings){argv, count};
    options.open_stdin = open_stdin;
    if (nb_exec_start(box, &options, &exec, &why) < 0)
        fail("start", &why);
    return exec;
}

static void finish(nb_exec *exec) {
    nb_exit_status status;
    nb_error why;
    if (nb_exec_wait(exec, -1, &status, &why) < 0)
        fail("wait", &why);
    if (status.code != 0) {
        (void) fprintf(stderr, "exec-client: the program ended with %d\n", status.code);
        exit(1);
    }
    nb_exec_free(exec);
}

static void run(const char *program) {
    finish(start(&program, 1, false));
}

static void loop(unsigned count, const char *program) {
    for (unsigned i = 0; i < count; i++) {
        uint64_t began = now_us();
        run(program);
        (void) printf("%s%" PRIu64, i > 0 ? " " : "", now_us() - began);
    }
}

typedef struct batch {
    pthread_mutex_t mutex;
    unsigned left;
    const char *program;
} batch;

static void *work(void *user) {
    batch *b = user;
    for (;;) {
        (void) pthread_mutex_lock(&b->mutex);
        bool more = b->left > 0;
        b->left -= more;
        (void) pthread_mutex_unlock(&b->mutex);
        if (!more)
            return NULL;
        run(b->program);
    }
}

static void parallel(unsigned count, unsigned concurrency, const char *program) {
    batch b = {.mutex = PTHREAD_MUTEX_INITIALIZER, .left = count, .program = program};
    pthread_t threads[CONCURRENCY_MAX];
    uint64_t began = now_us();
    for (unsigned i = 0; i < concurrency; i++) {
        if (pthread_create(&threads[i], NULL, work, &b) != 0)
            exit(1);
    }
    for (unsigned i = 0; i < concurrency; i++)
        (void) pthread_join(threads[i], NULL);
    (void) printf("%" PRIu64, now_us() - began);
}

/* Takes @left bytes of stdout. When the first of them came. */
static uint64_t take_output(nb_exec *exec, uint64_t left) {
    uint64_t first = 0;
    nb_event event;
    nb_error why;
    while (left > 0) {
        if (nb_exec_next(exec, -1, &event, &why) < 0)
            fail("read", &why);
        if (event.kind == NB_EVENT_EXITED || (event.kind == NB_EVENT_STDOUT && event.length > left))
            exit(1);
        if (event.kind != NB_EVENT_STDOUT)
            continue;
        if (first == 0)
            first = now_us();
        left -= event.length;
    }
    return first;
}

static void stream_out(uint64_t bytes, const char *program) {
    char number[24];
    (void) snprintf(number, sizeof(number), "%" PRIu64, bytes);
    nb_exec *exec = start((const char *[]){program, "write", number}, 3, false);
    uint64_t first = take_output(exec, bytes);
    (void) printf("%" PRIu64, now_us() - first);
    finish(exec);
}

static void stream_in(uint64_t bytes, const char *program) {
    static const char piece[PIECE_BYTES];
    char number[24];
    nb_error why;
    (void) snprintf(number, sizeof(number), "%" PRIu64, bytes);
    nb_exec *exec = start((const char *[]){program, "read", number}, 3, true);
    uint64_t began = now_us();
    size_t written;
    for (uint64_t left = bytes; left > 0; left -= written) {
        if (nb_exec_write(exec, piece, left < sizeof(piece) ? (size_t) left : sizeof(piece), -1, &written, &why) < 0)
            fail("write", &why);
    }
    (void) take_output(exec, 1);
    (void) printf("%" PRIu64, now_us() - began);
    finish(exec);
}

static bool serve(const char *line) {
    char program[PROGRAM_MAX + 1];
    unsigned count, concurrency;
    uint64_t bytes;
    if (sscanf(line, "loop %u " PROGRAM_FORMAT, &count, program) == 2)
        loop(count, program);
    else if (sscanf(line, "parallel %u %u " PROGRAM_FORMAT, &count, &concurrency, program) == 3 && concurrency <= CONCURRENCY_MAX)
        parallel(count, concurrency, program);
    else if (sscanf(line, "stdout %" SCNu64 " " PROGRAM_FORMAT, &bytes, program) == 2)
        stream_out(bytes, program);
    else if (sscanf(line, "stdin %" SCNu64 " " PROGRAM_FORMAT, &bytes, program) == 2)
        stream_in(bytes, program);
    else
        return false;
    return putchar('\n') != EOF && fflush(stdout) == 0;
}

int main(int argc, char **argv) {
    nb_runtime_options options = NB_RUNTIME_OPTIONS_INIT;
    nb_runtime *runtime = NULL;
    nb_error why;
    if (argc != 3)
        return 2;
    options.home = argv[1];
    if (nb_runtime_open(&options, &runtime, &why) < 0)
        fail("open the home", &why);
    if (nb_box_open(runtime, argv[2], &box, &why) < 0)
        fail("open the box", &why);
    char line[512];
    while (fgets(line, sizeof(line), stdin)) {
        if (!serve(line)) {
            (void) fprintf(stderr, "exec-client: no such order: %s", line);
            return 2;
        }
    }
    nb_box_free(box);
    nb_runtime_close(runtime);
    return 0;
}
