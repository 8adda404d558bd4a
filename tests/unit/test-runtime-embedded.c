/* SPDX-License-Identifier: Apache-2.0
 *
 * test-runtime-embedded.c - a helper program's copy in the cache is whole, or is not used
 */
#include "base/cleanup.h"
#include "runtime/embedded.h"
#include "test-folder.h"

#include <errno.h>
#include <pthread.h>
#include <sha256.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PROGRAM_BYTES 300000u
#define PROCESSES 8
#define ROUNDS 20

static uint8_t program_bytes[PROGRAM_BYTES];
static char program_digest[SHA256_DIGEST_STRING_LENGTH];
static const embedded_program program = {"helper", program_bytes, sizeof(program_bytes), program_digest};

static int make_program(void **state) {
    for (size_t i = 0; i < sizeof(program_bytes); i++)
        program_bytes[i] = (uint8_t) (i * 7 + i / 256);
    assert_non_null(SHA256Data(program_bytes, sizeof(program_bytes), program_digest));
    return 0;
}

static bool is_the_program(int fd) {
    static uint8_t bytes[PROGRAM_BYTES + 1];
    return pread(fd, bytes, sizeof(bytes), 0) == PROGRAM_BYTES && memcmp(bytes, program_bytes, PROGRAM_BYTES) == 0;
}

/* The kernel refuses to execute what anybody has open for writing (ETXTBSY), before it looks at the bytes, which are no program here. */
static bool can_be_executed(int fd) {
    char name[] = "helper", *const argv[] = {name, NULL}, *const environment[] = {NULL};
    return execveat(fd, "", argv, environment, AT_EMPTY_PATH) < 0 && errno == ENOEXEC;
}

/* 0: the copy is there, right, alone, and as safe as it should be. */
static int check_copy(const test_folder *cache) {
    nb_error err;
    char *path = NULL;
    int fd = embedded_open(&program, cache->fd, cache->path, NULL, &path, &err);
    struct stat status;
    if (fd < 0)
        return 1;
    bool good = is_the_program(fd) && fcntl(fd, F_GETFD) == FD_CLOEXEC && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY;
    good = good && stat(path, &status) == 0 && (status.st_mode & 07777) == 0500;
    free(path);
    if (good && !can_be_executed(fd))
        return 3;
    (void) fd_close(fd);
    return good ? 0 : 2;
}

static void the_first_use_writes_it_and_the_next_finds_it(void **state) {
    CLEANUP(test_folder_remove) test_folder cache = test_folder_make();
    struct stat first, second;
    char name[128];
    (void) snprintf(name, sizeof(name), "%s/helper", program_digest);
    assert_int_equal(check_copy(&cache), 0);
    assert_int_equal(fstatat(cache.fd, name, &first, 0), 0);
    assert_int_equal(check_copy(&cache), 0);
    assert_int_equal(fstatat(cache.fd, name, &second, 0), 0);
    assert_int_equal(first.st_ino, second.st_ino);
    assert_int_equal(test_folder_count(&cache, program_digest), 1);
}

static void eight_processes_at_once_each_get_a_whole_one(void **state) {
    for (unsigned round = 0; round < ROUNDS; round++) {
        CLEANUP(test_folder_remove) test_folder cache = test_folder_make();
        int gate[2], status;
        pid_t pids[PROCESSES];
        assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
        for (size_t i = 0; i < PROCESSES; i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                char byte;
                (void) close(gate[1]);
                (void) !read(gate[0], &byte, 1); /* all go when the gate closes */
                _exit(check_copy(&cache));
            }
        }
        (void) fd_close(gate[0]);
        (void) fd_close(gate[1]);
        for (size_t i = 0; i < PROCESSES; i++) {
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            assert_int_equal(status, 0);
        }
        assert_int_equal(test_folder_count(&cache, program_digest), 1);
    }
}

/* A program's other thread, whose children live for a moment with a copy of every descriptor that there was. */
static void *fork_until_told(void *user) {
    const atomic_bool *enough = user;
    while (!*enough) {
        pid_t pid = fork();
        if (pid == 0) {
            (void) nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
            _exit(0);
        }
        if (pid > 0)
            (void) waitpid(pid, NULL, 0);
    }
    return NULL;
}

static void children_of_another_thread_do_not_keep_it_from_being_executed(void **state) {
    atomic_bool enough = false;
    pthread_t forking;
    int worst = 0;
    assert_int_equal(pthread_create(&forking, NULL, fork_until_told, &enough), 0);
    for (unsigned round = 0; round < 5 * ROUNDS; round++) {
        CLEANUP(test_folder_remove) test_folder cache = test_folder_make();
        int result = check_copy(&cache);
        worst = result > worst ? result : worst;
    }
    enough = true;
    assert_int_equal(pthread_join(forking, NULL), 0);
    assert_int_equal(worst, 0);
}

static void note_line(void *user, int level, const char *line) {
    assert_true(level == LOG_LEVEL_WARNING && strstr(line, "damaged"));
    ++*(unsigned *) user;
}

/* Puts something else in the copy's place, and expects it to be replaced. */
static void expect_replaced(const test_folder *cache, const void *bytes, size_t length) {
    char name[128];
    unsigned lines = 0;
    log_sink log = {.write = note_line, .user = &lines, .max_level = LOG_LEVEL_DEBUG};
    (void) snprintf(name, sizeof(name), "%s/helper", program_digest);
    (void) unlinkat(cache->fd, name, 0);
    test_folder_write(cache, name, bytes, length);
    nb_error err;
    int fd = embedded_open(&program, cache->fd, cache->path, &log, NULL, &err);
    assert_true(fd >= 0);
    assert_true(is_the_program(fd));
    (void) fd_close(fd);
    assert_int_equal(lines, 1);
    assert_int_equal(check_copy(cache), 0);
    assert_int_equal(test_folder_count(cache, program_digest), 1);
}

static void a_damaged_copy_is_replaced(void **state) {
    CLEANUP(test_folder_remove) test_folder cache = test_folder_make();
    static uint8_t wrong[PROGRAM_BYTES + 1];
    assert_int_equal(check_copy(&cache), 0);
    memcpy(wrong, program_bytes, PROGRAM_BYTES);
    expect_replaced(&cache, wrong, 0);
    expect_replaced(&cache, wrong, PROGRAM_BYTES - 1);
    expect_replaced(&cache, wrong, PROGRAM_BYTES + 1);
    wrong[PROGRAM_BYTES / 2] ^= 1;
    expect_replaced(&cache, wrong, PROGRAM_BYTES);
}

static void a_link_in_its_place_is_not_followed(void **state) {
    CLEANUP(test_folder_remove) test_folder cache = test_folder_make();
    char name[128];
    (void) snprintf(name, sizeof(name), "%s/helper", program_digest);
    test_folder_write(&cache, "elsewhere", program_bytes, PROGRAM_BYTES);
    assert_int_equal(mkdirat(cache.fd, program_digest, 0700), 0);
    assert_int_equal(symlinkat("../elsewhere", cache.fd, name), 0);
    assert_int_equal(check_copy(&cache), 0);
    struct stat status;
    assert_int_equal(fstatat(cache.fd, name, &status, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISREG(status.st_mode));
}

static void a_program_that_is_not_what_the_build_saw_is_never_given_out(void **state) {
    CLEANUP(test_folder_remove) test_folder cache = test_folder_make();
    static const embedded_program lying = {"helper", program_bytes, sizeof(program_bytes),
                                           "0000000000000000000000000000000000000000000000000000000000000000"};
    nb_error err;
    assert_true(embedded_open(&lying, cache.fd, cache.path, NULL, NULL, &err) < 0);
    assert_int_equal(test_folder_count(&cache, lying.sha256), 0);
}

/* A file may have half the program's size. 0: a clear error, and nothing left behind. */
static int open_beyond_the_limit(const test_folder *cache) {
    nb_error err;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void) sigaction(SIGXFSZ, &ignore, NULL);
    (void) setrlimit(RLIMIT_FSIZE, &(struct rlimit){PROGRAM_BYTES / 2, PROGRAM_BYTES / 2});
    if (embedded_open(&program, cache->fd, cache->path, NULL, NULL, &err) != -NB_E_STORAGE || err.system_errno != EFBIG)
        return 1;
    if (!strstr(err.message, "helper") || !strstr(err.message, cache->path))
        return 2;
    return test_folder_count(cache, program_digest) == 0 ? 0 : 3;
}

static void a_file_system_that_takes_half_is_an_error_that_leaves_nothing(void **state) {
    CLEANUP(test_folder_remove) test_folder cache = test_folder_make();
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(open_beyond_the_limit(&cache));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(check_copy(&cache), 0);
}

static void a_cache_that_is_gone_is_an_error(void **state) {
    CLEANUP(test_folder_remove) test_folder cache = test_folder_make();
    nb_error err;
    assert_int_equal(file_remove_tree(AT_FDCWD, cache.path), 0);
    assert_int_equal(embedded_open(&program, cache.fd, cache.path, NULL, NULL, &err), -NB_E_STORAGE);
    assert_int_equal(err.system_errno, ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_use_writes_it_and_the_next_finds_it),
        cmocka_unit_test(eight_processes_at_once_each_get_a_whole_one),
        cmocka_unit_test(children_of_another_thread_do_not_keep_it_from_being_executed),
        cmocka_unit_test(a_damaged_copy_is_replaced),
        cmocka_unit_test(a_link_in_its_place_is_not_followed),
        cmocka_unit_test(a_program_that_is_not_what_the_build_saw_is_never_given_out),
        cmocka_unit_test(a_file_system_that_takes_half_is_an_error_that_leaves_nothing),
        cmocka_unit_test(a_cache_that_is_gone_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_program, NULL);
}
