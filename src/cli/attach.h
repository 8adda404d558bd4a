/* SPDX-License-Identifier: Apache-2.0
 *
 * attach.h - what run and start -a do with a box whose main command they are attached to
 */
#ifndef CLI_ATTACH_H
#define CLI_ATTACH_H

#include "cli/session.h"

/* Starts the box, pumps its main command until it ends and waits until nothing of the box runs any more, so that it can be started or
 * removed at once; after a detachment it is left alone.
 *
 * @how         but for the size of the terminal
 * @ret_timing  of this start, where total_us is not 0; NULL: not wanted
 * Errors: those of nb_box_start() and session_run(). */
int attach_main(nb_box *box, const nb_start_options *how, const session_options *options, nb_timing *ret_timing, session_result *ret_result,
                nb_error *err);

#endif
