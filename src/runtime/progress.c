/* SPDX-License-Identifier: Apache-2.0
 *
 * progress.c - telling the runtime's user how far a long call is, and hearing whether it is to go on
 */
#include "runtime/progress.h"

#include "base/clock.h"
#include "base/lock.h"

#include <errno.h>
#include <stdio.h>

/* How often who waits is asked whether to go on. */
#define TELL_EVERY_MS 500

int progress_tell(nb_runtime *rt, const nb_progress *progress, nb_error *err) {
    if (!rt->options.progress || rt->options.progress(rt->options.progress_user, progress) == 0)
        return 0;
    return nb_fail(err, NB_E_CANCELLED, 0, "it was given up");
}

int progress_wait_for_lock(nb_runtime *rt, int fd, int64_t wait_ms, const char *whom, nb_error *err) {
    deadline until = deadline_in(wait_ms);
    char what[128];
    (void) snprintf(what, sizeof(what), "waiting for %s", whom);
    for (;;) {
        int64_t left_ms = deadline_left_ms(until);
        if (lock_wait(fd, left_ms < TELL_EVERY_MS ? left_ms : TELL_EVERY_MS) == 0)
            return 0;
        if (errno != EAGAIN || left_ms <= 0)
            return nb_fail(err, errno == EAGAIN ? NB_E_TIMEOUT : NB_E_STORAGE, errno, "wait for %s into '%s'", whom, rt->home);
        int result = progress_tell(rt, &(nb_progress){.what = what, .item = ""}, err);
        if (result < 0)
            return result;
    }
}
