/* SPDX-License-Identifier: Apache-2.0
 *
 * failure.c - a spawn that failed, in a user's words
 */
#include "wire/failure.h"

/* Names longer than this are cut in messages. */
#define SHOWN_MAX 200

static int shown(wire_bytes text) {
    return text.length < SHOWN_MAX ? (int) text.length : SHOWN_MAX;
}

int wire_spawn_failure(const msg_spawn *asked, unsigned step, int error, nb_error *err) {
    int exit_code = wire_spawn_exit_code(step, error);
    int code = exit_code == 127 ? NB_E_COMMAND_NOT_FOUND : exit_code == 126 ? NB_E_COMMAND_REFUSED : NB_E_MACHINE;
    switch (step) {
    case WIRE_STEP_USER:
        return nb_fail(err, code, 0, "run as user '%.*s': no such user or group in the image", shown(asked->user), asked->user.at);
    case WIRE_STEP_DIRECTORY:
        return nb_fail(err, code, error, "enter the working directory '%.*s'", shown(asked->cwd), asked->cwd.at);
    case WIRE_STEP_EXECUTE:
        return nb_fail(err, code, error, "execute '%.*s'", SHOWN_MAX, asked->argv.bytes ? asked->argv.at : "");
    default:
        return nb_fail(err, code, error, "run '%.*s': %s", SHOWN_MAX, asked->argv.bytes ? asked->argv.at : "", wire_step_text(step));
    }
}
