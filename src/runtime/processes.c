/* SPDX-License-Identifier: Apache-2.0
 *
 * processes.c - what runs in a box, as the box sees it
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "runtime/box.h"
#include "runtime/exec.h"
#include "runtime/result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As long as starting a process in a loaded box may take. */
#define PROCESSES_TIMEOUT_MS 60000

static void cleanup_exec(nb_exec **exec) {
    nb_exec_free(*exec);
}

/* Reads the teller's words to their end. */
static int read_words(nb_exec *exec, buf *words, nb_error *err) {
    deadline until = deadline_in(PROCESSES_TIMEOUT_MS);
    char said[NB_ERROR_MESSAGE_SIZE] = "";
    for (;;) {
        nb_event event;
        int result = nb_exec_next(exec, deadline_left_ms(until), &event, err);
        if (result < 0)
            return result;
        if (event.kind == NB_EVENT_NONE)
            return nb_fail(err, NB_E_TIMEOUT, 0, "list its processes: the guest did not answer in time");
        if (event.kind == NB_EVENT_STDOUT && !buf_append(words, event.bytes, event.length))
            return words->no_memory ? nb_fail_oom(err)
                                    : nb_fail(err, NB_E_PROTOCOL, 0, "list its processes: the guest tells of more than there can be");
        if (event.kind == NB_EVENT_STDERR && event.length > 0)
            (void) snprintf(said, sizeof(said), "%.*s", (int) strcspn(event.bytes, "\n"), (const char *) event.bytes);
        if (event.kind == NB_EVENT_EXITED)
            return event.status.code == 0 ? 0 : nb_fail(err, NB_E_INTERNAL, 0, "%s", *said ? said : "list its processes");
    }
}

static uint64_t number_of(const char *word) {
    return strtoull(word, NULL, 10);
}

static int take_words(strv words, arena *a, nb_process_list *list, nb_error *err) {
    size_t count = strv_is_valid(words) ? strv_count(words) : 1;
    if (count % WIRE_PROCESS_WORDS != 0)
        return nb_fail(err, NB_E_PROTOCOL, 0, "list its processes: the guest's answer is none");
    count /= WIRE_PROCESS_WORDS;
    nb_process *items = arena_alloc(a, count * sizeof(*items) + 1);
    const char *word = NULL, *each[WIRE_PROCESS_WORDS];
    for (size_t i = 0; items && i < count; i++) {
        for (size_t j = 0; j < WIRE_PROCESS_WORDS; j++)
            each[j] = word = strv_next(words, word);
        items[i] = (nb_process){
            .pid = (int64_t) number_of(each[0]),
            .parent = (int64_t) number_of(each[1]),
            .user = (uint32_t) number_of(each[2]),
            .state = each[3][0],
            .cpu_time_us = number_of(each[4]),
            .age_ms = number_of(each[5]),
            .command = arena_string(a, each[6]),
        };
    }
    if (a->failed)
        return nb_fail_oom(err);
    list->items = items;
    list->count = count;
    return 0;
}

static int list_processes(nb_box *box, nb_process_list *list, arena *a, nb_error *err) {
    CLEANUP(buf_done) buf argv, words;
    CLEANUP(cleanup_exec) nb_exec *exec = NULL;
    buf_init(&argv, WIRE_NAME_MAX_BYTES);
    buf_init(&words, WIRE_PROCESSES_MAX_BYTES);
    if (!strv_add(&argv, "top"))
        return nb_fail_oom(err);
    const msg_spawn spawn = {
        .spawn_flags = WIRE_SPAWN_PROCESSES,
        .argv = strv_of(&argv),
        .timeout_ms = PROCESSES_TIMEOUT_MS,
        .grace_ms = NB_EXEC_GRACE_DEFAULT_MS,
    };
    int result = exec_begin(box, &spawn, &exec, err);
    if (result == 0)
        result = read_words(exec, &words, err);
    return result < 0 ? result : take_words(strv_of(&words), a, list, err);
}

int nb_process_list_get(nb_box *box, nb_process_list **ret_list, nb_error *err) {
    if (!box || !ret_list)
        return nb_fail(err, NB_E_INVALID, 0, "list a box's processes: an argument is NULL");
    arena *a;
    nb_process_list *list = result_new(sizeof(*list), &a);
    if (!list)
        return nb_fail_oom(err);
    int result = list_processes(box, list, a, err);
    if (result < 0)
        result_free(list);
    else
        *ret_list = list;
    return nb_fail_within(err, result, "box '%s'", box->called);
}

void nb_process_list_free(nb_process_list *list) {
    result_free(list);
}
