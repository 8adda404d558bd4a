/* SPDX-License-Identifier: Apache-2.0
 *
 * modules.c - which kernel modules must be loaded, in which order
 *
 * Theory of operation
 *   A line of modules.dep is "path: path path ...": a module and what it needs, by paths below the module tree. depmod lists needs of needs
 *   too, but in no order that one may rely on; so each need is looked up again and its own needs are taken first, which is a walk in depth.
 *   The walk's depth is bounded, and only a circle can reach the bound. The text is searched anew for each module: a dozen are wanted, once per build.
 */
#include "machine/modules.h"

#include "base/error.h"
#include "base/strv.h"

#include <string.h>

/* The deepest chain in Debian's kernels is below ten. */
#define MODULES_DEPTH_MAX 32
#define MODULES_PATH_MAX_BYTES 512

typedef struct text {
    const char *at;
    size_t length;
} text;

/* Cuts the next piece off @rest, up to @separator or the end; false when nothing is left. */
static bool next_piece(text *rest, char separator, text *ret_piece) {
    if (rest->length == 0)
        return false;
    const char *end = memchr(rest->at, separator, rest->length);
    size_t length = end ? (size_t) (end - rest->at) : rest->length;
    *ret_piece = (text){rest->at, length};
    size_t taken = end ? length + 1 : length;
    rest->at += taken;
    rest->length -= taken;
    return true;
}

/* "kernel/fs/fuse/fuse.ko.xz" -> "fuse", and ".ko.xz" in @ret_suffix. */
static text module_name(text path, text *ret_suffix) {
    for (size_t i = path.length; i > 0; i--) {
        if (path.at[i - 1] == '/') {
            path = (text){path.at + i, path.length - i};
            break;
        }
    }
    const char *suffix = memmem(path.at, path.length, ".ko", 3);
    size_t length = suffix ? (size_t) (suffix - path.at) : path.length;
    *ret_suffix = (text){path.at + length, path.length - length};
    return (text){path.at, length};
}

static char same_dash(char c) {
    return c == '-' ? '_' : c;
}

static bool is_named(text path, text name) {
    text suffix, own = module_name(path, &suffix);
    if (own.length != name.length)
        return false;
    for (size_t i = 0; i < own.length; i++) {
        if (same_dash(own.at[i]) != same_dash(name.at[i]))
            return false;
    }
    return true;
}

static bool is_listed(const buf *packed, text path) {
    strv list = strv_of(packed);
    for (const char *each = strv_next(list, NULL); each; each = strv_next(list, each)) {
        if (strlen(each) == path.length && memcmp(each, path.at, path.length) == 0)
            return true;
    }
    return false;
}

/* Finds the line of the module @name: its path, and what stands after the colon. */
static int find_line(text dep, text name, text *ret_path, text *ret_needs, nb_error *err) {
    text line;
    for (size_t lines = 0; next_piece(&dep, '\n', &line); lines++) {
        text path, needs = line;
        if (line.length == 0)
            continue;
        if (lines > MODULES_MAX || !next_piece(&needs, ':', &path) || path.length == line.length || path.length == 0)
            return nb_fail(err, NB_E_INVALID, 0, "read modules.dep: line %zu is not \"path: path ...\"", lines + 1);
        if (is_named(path, name)) {
            *ret_path = path;
            *ret_needs = needs;
            return 0;
        }
    }
    return nb_fail(err, NB_E_NOT_FOUND, 0, "look for the kernel module '%.*s': modules.dep does not name it", (int) name.length, name.at);
}

static int add_with_needs(buf *packed, text dep, text name, unsigned depth, nb_error *err) {
    if (depth > MODULES_DEPTH_MAX)
        return nb_fail(err, NB_E_INVALID, 0, "order the kernel module '%.*s': modules need each other in a circle", (int) name.length,
                       name.at);
    text path = {0}, needs = {0}, need, suffix;
    int r = find_line(dep, name, &path, &needs, err);
    if (r < 0)
        return r;
    if (is_listed(packed, path))
        return 0;
    (void) module_name(path, &suffix);
    if (suffix.length != 3)
        return nb_fail(err, NB_E_UNSUPPORTED, 0, "take the kernel module '%.*s': it is compressed (%.*s), only .ko can be loaded",
                       (int) path.length, path.at, (int) suffix.length, suffix.at);
    while (next_piece(&needs, ' ', &need)) {
        if (need.length == 0)
            continue;
        text ignored;
        r = add_with_needs(packed, dep, module_name(need, &ignored), depth + 1, err);
        if (r < 0)
            return r;
    }
    char copy[MODULES_PATH_MAX_BYTES];
    if (path.length >= sizeof(copy) || memchr(path.at, '\0', path.length))
        return nb_fail(err, NB_E_INVALID, 0, "read modules.dep: a path is malformed or longer than %d bytes", MODULES_PATH_MAX_BYTES - 1);
    memcpy(copy, path.at, path.length);
    copy[path.length] = '\0';
    return strv_add(packed, copy) ? 0 : nb_fail_oom(err);
}

int modules_add(buf *packed, const char *dep, size_t dep_length, const char *name, nb_error *err) {
    return add_with_needs(packed, (text){dep, dep_length}, (text){name, strlen(name)}, 0, err);
}

bool modules_is_builtin(const char *builtin, size_t builtin_length, const char *name) {
    text rest = {builtin, builtin_length}, line;
    while (next_piece(&rest, '\n', &line)) {
        if (is_named(line, (text){name, strlen(name)}))
            return true;
    }
    return false;
}
