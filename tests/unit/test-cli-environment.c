/* SPDX-License-Identifier: Apache-2.0
 *
 * test-cli-environment.c - -e and --env-file
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/strv.h"
#include "cli/environment.h"

/* A file with these bytes, named by its descriptor; closed by the caller. */
static int make_file(const char *bytes, size_t length, char path[64]) {
    int fd = fd_sealed_memory("env", bytes, length);
    assert_true(fd >= 0);
    (void) snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

static void assert_list(const buf *packed, const char *const *expected) {
    const char *item = NULL;
    for (; *expected; expected++) {
        item = strv_next(strv_of(packed), item);
        assert_non_null(item);
        assert_string_equal(item, *expected);
    }
    assert_null(strv_next(strv_of(packed), item));
}

static void files_come_first_then_variables(void **state) {
    static const char text[] = "# comment\n\nA=1\n  B= two words # not a comment \r\nPRESENT\nABSENT\nC=\nLAST=x=y";
    static const char *const variables[] = {"A=over", "PRESENT", "ABSENT", "EMPTY="};
    static const char *const expected[] = {
        "A=1", "B= two words # not a comment ", "PRESENT=here", "C=", "LAST=x=y", "A=over", "PRESENT=here", "EMPTY=", NULL};
    char path[64];
    int fd = make_file(text, strlen(text), path);
    const char *const files[] = {path};
    buf packed;
    nb_error err;
    setenv("PRESENT", "here", 1);
    unsetenv("ABSENT");
    buf_init(&packed, ENVIRONMENT_MAX_BYTES);
    assert_int_equal(environment_collect(files, 1, variables, 4, &packed, &err), 0);
    assert_list(&packed, expected);
    buf_done(&packed);
    fd_close(fd);
}

static void a_bad_line_is_named(void **state) {
    static const char text[] = "A=1\nB C=2\n";
    char path[64];
    int fd = make_file(text, strlen(text), path);
    const char *const files[] = {path};
    buf packed;
    nb_error err;
    buf_init(&packed, ENVIRONMENT_MAX_BYTES);
    assert_int_equal(environment_collect(files, 1, NULL, 0, &packed, &err), -NB_E_INVALID);
    assert_non_null(strstr(err.message, "line 2: 'B C=2': want NAME=VALUE"));
    buf_done(&packed);
    fd_close(fd);
}

static void refusals(void **state) {
    static const char *const no_name[] = {"=x"}, *const missing[] = {"/nonexistent/env"};
    char path[64];
    int fd = make_file("A=1\0B", 5, path);
    const char *const with_nul[] = {path};
    buf packed;
    nb_error err;
    buf_init(&packed, ENVIRONMENT_MAX_BYTES);
    assert_int_equal(environment_collect(NULL, 0, no_name, 1, &packed, &err), -NB_E_INVALID);
    assert_string_equal(err.message, "--env '=x': want NAME=VALUE, or NAME to pass on its value");
    assert_int_equal(environment_collect(missing, 1, NULL, 0, &packed, &err), -NB_E_NOT_FOUND);
    assert_string_equal(err.message, "--env-file '/nonexistent/env': No such file or directory");
    assert_int_equal(environment_collect(with_nul, 1, NULL, 0, &packed, &err), -NB_E_INVALID);
    buf_done(&packed);
    fd_close(fd);
}

static void the_maximum_is_kept(void **state) {
    static const char *const exact[] = {"A=34567"}, *const over[] = {"A=345678"};
    buf packed;
    nb_error err;
    buf_init(&packed, 8);
    assert_int_equal(environment_collect(NULL, 0, over, 1, &packed, &err), -NB_E_EXHAUSTED);
    assert_string_equal(err.message, "more than 8 bytes of environment");
    assert_int_equal(environment_collect(NULL, 0, exact, 1, &packed, &err), 0);
    buf_done(&packed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_come_first_then_variables),
        cmocka_unit_test(a_bad_line_is_named),
        cmocka_unit_test(refusals),
        cmocka_unit_test(the_maximum_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
