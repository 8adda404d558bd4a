/* SPDX-License-Identifier: Apache-2.0
 *
 * environment.c - what -e and --env-file say, as one list of NAME=VALUE
 */
#include "cli/environment.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int full(const buf *packed, size_t wanted, nb_error *err) {
    if (wanted <= buf_room(packed))
        return nb_fail_oom(err);
    return nb_fail(err, NB_E_EXHAUSTED, 0, "more than %zu bytes of environment", packed->max_bytes);
}

/* @where  begins the message: "--env " or "--env-file 'x', line 3: " */
static int add_variable(const char *variable, const char *where, buf *packed, nb_error *err) {
    size_t name_length = strcspn(variable, "=");
    if (name_length == 0 || strcspn(variable, " \t") < name_length)
        return nb_fail(err, NB_E_INVALID, 0, "%s'%s': want NAME=VALUE, or NAME to pass on its value", where, variable);
    if (variable[name_length] == '=')
        return strv_add(packed, variable) ? 0 : full(packed, strlen(variable) + 1, err);
    const char *value = getenv(variable);
    if (!value)
        return 0;
    CLEANUP(cleanup_free) char *pair = NULL;
    if (asprintf(&pair, "%s=%s", variable, value) < 0) {
        pair = NULL;
        return nb_fail_oom(err);
    }
    return strv_add(packed, pair) ? 0 : full(packed, strlen(pair) + 1, err);
}

static int add_lines(char *text, const char *path, buf *packed, nb_error *err) {
    unsigned number = 0;
    for (char *line, *rest = text; (line = strsep(&rest, "\n"));) {
        char where[512]; /* of a message, which is cut to 1024 anyway */
        size_t length = strlen(line);
        number++;
        if (length > 0 && line[length - 1] == '\r') /* written on another system */
            line[length - 1] = '\0';
        line += strspn(line, " \t");
        if (*line == '\0' || *line == '#')
            continue;
        (void) snprintf(where, sizeof(where), "--env-file '%s', line %u: ", path, number);
        int r = add_variable(line, where, packed, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_file(const char *path, buf *packed, nb_error *err) {
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length;
    CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return nb_fail(err, errno == ENOENT ? NB_E_NOT_FOUND : NB_E_STORAGE, errno, "--env-file '%s'", path);
    if (fd_read_file(fd, ENVIRONMENT_MAX_BYTES, &text, &length) < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "--env-file '%s'", path);
    if (strlen(text) != length)
        return nb_fail(err, NB_E_INVALID, 0, "--env-file '%s': it holds a NUL byte", path);
    return add_lines(text, path, packed, err);
}

int environment_collect(const char *const *files, size_t file_count, const char *const *variables, size_t variable_count, buf *packed,
                        nb_error *err) {
    int r = 0;
    for (size_t i = 0; i < file_count && r == 0; i++)
        r = add_file(files[i], packed, err);
    for (size_t i = 0; i < variable_count && r == 0; i++)
        r = add_variable(variables[i], "--env ", packed, err);
    return r;
}
