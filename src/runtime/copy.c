/* SPDX-License-Identifier: Apache-2.0
 *
 * copy.c - files into and out of a box: execs of the guest's own copier
 */
#include "base/strv.h"
#include "runtime/box.h"
#include "runtime/exec.h"
#include "runtime/options.h"
#include "wire/copy-order.h"

/* @words  of the order, with @path among them */
static int begin(nb_box *box, const char *path, const nb_copy_options *o, const char *const words[4], uint8_t flags, nb_exec **ret_exec,
                 nb_error *err) {
    buf argv;
    buf_init(&argv, WIRE_ARGV_MAX_BYTES);
    int result = path[0] == '/' ? 0 : nb_fail(err, NB_E_INVALID, 0, "path '%s': it must be absolute", path);
    for (size_t i = 0; i < 4 && words[i] && result == 0; i++)
        result = strv_add(&argv, words[i]) ? 0 : nb_fail_oom(err);
    if (result == 0) {
        const msg_spawn spawn = {
            .spawn_flags = (uint8_t) (WIRE_SPAWN_COPY | flags),
            .argv = strv_of(&argv),
            .timeout_ms = o->timeout_ms,
            .grace_ms = NB_EXEC_GRACE_DEFAULT_MS,
        };
        result = exec_begin(box, &spawn, ret_exec, err);
    }
    buf_done(&argv);
    return nb_fail_within(err, result, "box '%s'", box->called);
}

int nb_copy_out(nb_box *box, const char *path, const nb_copy_options *options, nb_exec **ret_exec, nb_error *err) {
    nb_copy_options o;
    if (!box || !path || !ret_exec)
        return nb_fail(err, NB_E_INVALID, 0, "copy out of a box: an argument is NULL");
    int result = options_take(&o, sizeof(o), options, "nb_copy_options", err);
    if (result < 0)
        return result;
    const char *const words[4] = {WIRE_COPY_OUT, path, o.bare ? WIRE_COPY_BARE : o.follow ? WIRE_COPY_FOLLOW : WIRE_COPY_NOT};
    return begin(box, path, &o, words, 0, ret_exec, err);
}

int nb_copy_in(nb_box *box, const char *path, const nb_copy_options *options, nb_exec **ret_exec, nb_error *err) {
    nb_copy_options o;
    if (!box || !path || !ret_exec)
        return nb_fail(err, NB_E_INVALID, 0, "copy into a box: an argument is NULL");
    int result = options_take(&o, sizeof(o), options, "nb_copy_options", err);
    if (result < 0)
        return result;
    const char *const words[4] = {WIRE_COPY_IN, path, o.keep_names ? WIRE_COPY_NAMES : WIRE_COPY_NOT,
                                  o.keep_owners ? WIRE_COPY_OWNERS : WIRE_COPY_NOT};
    return begin(box, path, &o, words, WIRE_SPAWN_STDIN, ret_exec, err);
}
