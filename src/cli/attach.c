/* SPDX-License-Identifier: Apache-2.0
 *
 * attach.c - what run and start -a do with a box whose main command they are attached to
 */
#include "cli/attach.h"

#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/terminal.h"

#include <unistd.h>

int attach_main(nb_box *box, const nb_start_options *how, const session_options *options, nb_timing *ret_timing, session_result *ret_result,
                nb_error *err) {
    CLEANUP(cleanup_exec) nb_exec *main = NULL;
    CLEANUP(cleanup_box_info) nb_box_info *info = NULL;
    nb_start_options start = *how;
    if (options->tty)
        (void) terminal_size(STDIN_FILENO, &start.columns, &start.rows); /* without one: the library's default */
    int r = nb_box_start(box, &start, &main, err);
    if (r < 0)
        return r;
    /* Now, since a box that removes itself may be gone once its command has ended. */
    if (ret_timing && nb_box_inspect(box, &info, NULL) == 0)
        *ret_timing = info->timing;
    session_result result = {SESSION_LEFT, STATUS_NESTBOX};
    r = session_run(main, options, &result, err);
    if (r == 0 && result.end == SESSION_DETACHED)
        r = nb_box_detach(box, err); /* or it would end with this program */
    else if (r == 0)
        (void) nb_box_stop(box, result.end == SESSION_EXITED ? -1 : 0, NULL); /* it is on its way down; what it may say is not the result */
    if (r == 0)
        *ret_result = result;
    return r;
}
