/* SPDX-License-Identifier: Apache-2.0
 *
 * health.c - what was found when a box's health was looked at
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "runtime/box.h"
#include "runtime/logs.h"
#include "runtime/result.h"
#include "wire/message.h"

#include <string.h>

/* As docker shows. */
#define RESULTS_SHOWN 5u

typedef struct reading {
    arena *a;
    nb_health_result items[RESULTS_SHOWN]; /* the last ones, in a ring */
    size_t count;                          /* of all */
} reading;

static int take_result(void *user, int kind, uint64_t at_ms, const void *bytes, size_t length) {
    reading *r = user;
    msg_health_result result;
    if (wire_decode_health_result(bytes, length, &result) < 0)
        return 0;
    r->items[r->count++ % RESULTS_SHOWN] = (nb_health_result){
        .started_at_ms = result.started_at_ms,
        .finished_at_ms = result.finished_at_ms,
        .exit_code = result.code,
        .timed_out = result.exit_flags & WIRE_EXIT_TIMED_OUT,
        .output = arena_text(r->a, result.output.at, result.output.length),
    };
    return 0;
}

int nb_box_health_get(nb_box *box, nb_health_results **ret_results, nb_error *err) {
    arena *a;
    if (!box || !ret_results)
        return nb_fail(err, NB_E_INVALID, 0, "look at a box's health: an argument is NULL");
    CLEANUP(cleanup_fd) int folder = box_open_folder(box->runtime, box->id, err);
    if (folder < 0)
        return folder;
    nb_health_results *results = result_new(sizeof(*results), &a);
    if (!results)
        return nb_fail_oom(err);
    reading r = {.a = a};
    int result = log_read_pieces(folder, "health.log", take_result, &r, err);
    size_t shown = r.count < RESULTS_SHOWN ? r.count : RESULTS_SHOWN;
    nb_health_result *items = result == 0 && shown > 0 ? arena_alloc(a, shown * sizeof(*items)) : NULL;
    for (size_t i = 0; items && i < shown; i++)
        items[i] = r.items[(r.count - shown + i) % RESULTS_SHOWN];
    if (result == 0 && a->failed)
        result = nb_fail_oom(err);
    if (result < 0) {
        result_free(results);
        return nb_fail_within(err, result, "box '%s'", box->called);
    }
    *results = (nb_health_results){items, items ? shown : 0};
    *ret_results = results;
    return 0;
}

void nb_health_results_free(nb_health_results *results) {
    result_free(results);
}
