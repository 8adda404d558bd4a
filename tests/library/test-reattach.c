/* SPDX-License-Identifier: Apache-2.0
 *
 * test-reattach.c - execs that are left and come back to, from elsewhere, while they run and later; and what they can be given
 *
 * "Elsewhere" is a second runtime on the same home: the library has no global state, so it knows no more than another program would.
 */
#include "shared-box.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEPT_BYTES ((size_t) 256 << 10)

static nb_runtime *other_runtime;
static nb_box *elsewhere; /* the shared box */

static int open_elsewhere(void **state) {
    nb_runtime_options options = NB_RUNTIME_OPTIONS_INIT;
    open_box(state);
    options.home = home;
    MUST(nb_runtime_open(&options, &other_runtime, &problem));
    MUST(nb_box_open(other_runtime, "shared", &elsewhere, &problem));
    return 0;
}

static int close_elsewhere(void **state) {
    nb_box_free(elsewhere);
    nb_runtime_close(other_runtime);
    return close_box(state);
}

static nb_exec *open_exec(const char *id, nb_exec_access access) {
    nb_exec *exec = NULL;
    MUST(nb_exec_open(elsewhere, id, access, &exec, &problem));
    assert_string_equal(nb_exec_id(exec), id);
    return exec;
}

static void expect_end(const char *id, int code) {
    assert_int_equal(wait_and_free(open_exec(id, NB_EXEC_WATCH)).code, code);
}

static void expect_output(const char *id, int code, const char *out, const char *err) {
    nb_exec *exec = open_exec(id, NB_EXEC_STREAMS);
    output o = {0};
    assert_true(collect(exec, WAIT_MS, &o));
    assert_int_equal(o.status.code, code);
    assert_string_equal(o.bytes[0] ? o.bytes[0] : "", out);
    assert_string_equal(o.bytes[1] ? o.bytes[1] : "", err);
    output_free(&o);
    nb_exec_free(exec);
}

/* Starts it with nobody's streams and lets it go. */
static void start_detached(const char *script, char ret_id[13]) {
    nb_exec *exec = start_with((nb_exec_options){.detach = true}, script);
    assert_int_equal(strlen(nb_exec_id(exec)), 12);
    memcpy(ret_id, nb_exec_id(exec), 13);
    nb_exec_free(exec);
}

/* ------------------------------------------------------------------------------------------------------- coming back */

static void a_detached_exec_is_found_by_its_id_and_its_output_was_kept(void **state) {
    char id[13];
    start_detached("echo kept; echo apart >&2; while ! [ -e /tmp/go1 ]; do sleep 0.05; done; echo live; exit 9", id);
    nb_exec *exec = open_exec(id, NB_EXEC_STREAMS);
    await_output(exec, "kept\n");
    expect("touch /tmp/go1", 0, "");
    output o = {0};
    assert_true(collect(exec, WAIT_MS, &o));
    assert_string_equal(o.bytes[0], "live\n");
    assert_int_equal(o.status.code, 9);
    output_free(&o);
    nb_exec_free(exec);
    expect_end(id, 9);
    expect_output(id, 9, "", ""); /* it was fetched */
}

static void what_an_exec_wrote_is_there_after_its_end_once(void **state) {
    char id[13];
    start_detached("echo out; echo err >&2; exit 3", id);
    expect_end(id, 3);
    expect_output(id, 3, "out\n", "err\n");
    expect_output(id, 3, "", "");
}

static void more_than_is_kept_is_a_gap_that_is_told(void **state) {
    char id[13];
    size_t lost = 0, came = 0;
    bool ended = false;
    /* 200,000 lines of 8 bytes that count up: what is kept must be their end. */
    start_detached("seq 1000000 1199999", id);
    expect_end(id, 0);
    nb_exec *exec = open_exec(id, NB_EXEC_STREAMS);
    char *kept = malloc(KEPT_BYTES + 1);
    while (!ended) {
        nb_event event;
        MUST(nb_exec_next(exec, WAIT_MS, &event, &problem));
        assert_int_not_equal(event.kind, NB_EVENT_NONE);
        if (event.kind == NB_EVENT_GAP) {
            assert_int_equal(event.stream, 1);
            assert_int_equal(came, 0);
            lost += event.length;
        } else if (event.kind == NB_EVENT_STDOUT && event.length > 0) {
            assert_true(came + event.length <= KEPT_BYTES);
            memcpy(kept + came, event.bytes, event.length);
            came += event.length;
        }
        ended = event.kind == NB_EVENT_EXITED;
    }
    assert_int_equal(came, KEPT_BYTES);
    assert_int_equal(lost + came, 200000 * 8);
    kept[came] = '\0';
    for (int i = 1; i <= 1000; i++) {
        char line[16];
        (void) snprintf(line, sizeof(line), "%d\n", 1200000 - i);
        assert_memory_equal(kept + came - (size_t) i * 8, line, 8);
    }
    free(kept);
    nb_exec_free(exec);
}

static void what_one_has_written_to_stdin_the_next_goes_on_with(void **state) {
    nb_exec *exec = start_with((nb_exec_options){.open_stdin = true}, "cat; exit 4");
    char id[13];
    size_t written;
    memcpy(id, nb_exec_id(exec), sizeof(id));
    MUST(nb_exec_write(exec, "abc\n", 4, WAIT_MS, &written, &problem));
    await_output(exec, "abc\n");
    MUST(nb_exec_detach(exec, &problem));
    nb_exec_free(exec);
    /* Its shim may not have noticed yet that the first one is gone. */
    int result;
    do
        result = nb_exec_open(elsewhere, id, NB_EXEC_STREAMS, &exec, &problem);
    while (result == -NB_E_INVALID_STATE && usleep(10000) == 0);
    MUST(result);
    MUST(nb_exec_write(exec, "def\n", 4, WAIT_MS, &written, &problem));
    MUST(nb_exec_close_stdin(exec, &problem));
    output o = {0};
    assert_true(collect(exec, WAIT_MS, &o));
    assert_string_equal(o.bytes[0], "def\n");
    assert_int_equal(o.status.code, 4);
    output_free(&o);
    nb_exec_free(exec);
}

static void streams_have_one_reader_at_a_time(void **state) {
    nb_exec *exec = start("echo mine; while ! [ -e /tmp/go2 ]; do sleep 0.05; done"), *second = NULL;
    nb_error err;
    assert_int_equal(nb_exec_open(elsewhere, nb_exec_id(exec), NB_EXEC_STREAMS, &second, &err), -NB_E_INVALID_STATE);
    assert_null(second);
    expect("touch /tmp/go2", 0, "");
    output o = {0};
    assert_true(collect(exec, WAIT_MS, &o));
    assert_string_equal(o.bytes[0], "mine\n");
    output_free(&o);
    nb_exec_free(exec);
}

static void who_asks_for_what_never_was_is_told(void **state) {
    nb_exec *exec = NULL;
    nb_error err;
    static const char *const ids[] = {"aaaaaaaaaaaa", "x", "../../etc/passwd", "\xff"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        assert_int_equal(nb_exec_open(elsewhere, ids[i], NB_EXEC_WATCH, &exec, &err), -NB_E_NOT_FOUND);
        assert_int_equal(nb_exec_open(elsewhere, ids[i], NB_EXEC_STREAMS, &exec, &err), -NB_E_NOT_FOUND);
    }
    assert_int_equal(nb_exec_open(elsewhere, NULL, NB_EXEC_WATCH, &exec, &err), -NB_E_NOT_FOUND); /* it has no main command */
    assert_int_equal(nb_exec_open(elsewhere, "", NB_EXEC_WATCH, &exec, &err), -NB_E_INVALID);
    assert_int_equal(nb_exec_open(elsewhere, ids[0], (nb_exec_access) 7, &exec, &err), -NB_E_INVALID);
    assert_int_equal(nb_exec_open(NULL, ids[0], NB_EXEC_WATCH, &exec, &err), -NB_E_INVALID);
    assert_null(exec);
}

/* ----------------------------------------------------------------------------------------------------------- watching */

static void *wait_for_it(void *id) {
    nb_exec *exec = NULL;
    nb_exit_status status = {.code = -1};
    if (nb_exec_open(elsewhere, id, NB_EXEC_WATCH, &exec, NULL) == 0)
        (void) nb_exec_wait(exec, WAIT_MS, &status, NULL);
    nb_exec_free(exec);
    return (void *) (intptr_t) status.code;
}

static void s08_any_number_of_watchers_get_the_same_status(void **state) {
    nb_exec *exec = start("while ! [ -e /tmp/go3 ]; do sleep 0.05; done; exit 9");
    char id[13];
    pthread_t threads[8];
    memcpy(id, nb_exec_id(exec), sizeof(id));
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_it, id), 0);
    expect("touch /tmp/go3", 0, "");
    for (size_t i = 0; i < 8; i++) {
        void *code;
        assert_int_equal(pthread_join(threads[i], &code), 0);
        assert_int_equal((intptr_t) code, 9);
    }
    assert_int_equal(wait_and_free(exec).code, 9);
    expect_end(id, 9);
}

static void who_watches_signals_and_does_not_hold_up(void **state) {
    nb_exec *exec = start("trap 'exit 7' INT; head -c 2000000 /dev/zero; echo ready >&2; while :; do sleep 0.05; done");
    nb_exec *watch = open_exec(nb_exec_id(exec), NB_EXEC_WATCH);
    nb_error err;
    size_t written;
    assert_int_equal(nb_exec_write(watch, "x", 1, 0, &written, &err), -NB_E_INVALID);
    nb_event event;
    do
        MUST(nb_exec_next(exec, WAIT_MS, &event, &problem));
    while (event.kind != NB_EVENT_STDERR);
    MUST(nb_exec_next(watch, 0, &event, &problem));
    assert_int_equal(event.kind, NB_EVENT_NONE);
    MUST(nb_exec_signal(watch, SIGINT, &problem));
    MUST(nb_exec_next(watch, WAIT_MS, &event, &problem));
    assert_int_equal(event.kind, NB_EVENT_EXITED);
    assert_int_equal(event.status.code, 7);
    nb_exec_free(watch);
    assert_int_equal(wait_and_free(exec).code, 7);
}

static void a_list_has_those_that_run_and_those_that_ended(void **state) {
    char ended[13];
    nb_exec_list *list = NULL;
    nb_exec *running = start_with((nb_exec_options){.tty = true}, "sleep 86411");
    start_detached("exit 6", ended);
    expect_end(ended, 6);
    MUST(nb_exec_list_get(elsewhere, &list, &problem));
    unsigned seen = 0;
    for (size_t i = 0; i < list->count; i++) {
        const nb_exec_info *info = &list->items[i];
        assert_true(i == 0 || info->started_at_ms <= list->items[i - 1].started_at_ms);
        assert_int_equal(info->command.count, 3);
        assert_string_equal(info->command.items[0], "sh");
        if (strcmp(info->id, ended) == 0) {
            seen |= 1;
            assert_true(!info->running && info->has_status && !info->tty && info->status.code == 6);
            assert_string_equal(info->command.items[2], "exit 6");
            assert_true(info->status.finished_at_ms >= info->started_at_ms && info->started_at_ms > 0);
            assert_true(info->status.max_rss_bytes > 0);
        } else if (strcmp(info->id, nb_exec_id(running)) == 0) {
            seen |= 2;
            assert_true(info->running && info->attached && info->tty && !info->has_status && info->pid > 1);
        }
    }
    assert_int_equal(seen, 3);
    nb_exec_list_free(list);
    MUST(nb_exec_kill(running, &problem));
    assert_int_equal(wait_and_free(running).code, 128 + SIGKILL);
}

/* ----------------------------------------------------------------------------------------------------------- settings */

static void expect_with(nb_exec_options options, const char *script, const char *out) {
    nb_exec *exec = start_with(options, script);
    output o = {0};
    assert_true(collect(exec, WAIT_MS, &o));
    assert_string_equal(o.bytes[0] ? o.bytes[0] : "", out);
    output_free(&o);
    nb_exec_free(exec);
}

#define STRINGS(...) \
    { (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *) }

static void an_exec_has_the_capabilities_and_limits_it_was_given(void **state) {
    const char *caps = "awk '/CapEff/ {print $2}' /proc/self/status";
    expect_with((nb_exec_options){0}, caps, "00000000a80425fb\n");
    expect_with((nb_exec_options){.cap_drop = STRINGS("ALL"), .cap_add = STRINGS("net_admin", "CAP_CHOWN")}, caps, "0000000000001001\n");
    expect_with((nb_exec_options){.cap_drop = STRINGS("KILL")}, caps, "00000000a80425db\n");
    expect_with((nb_exec_options){.cap_add = STRINGS("ALL"), .user = "nobody"}, caps, "0000000000000000\n");
    expect_with((nb_exec_options){.no_new_privileges = true}, "awk '/NoNewPrivs/ {print $2}' /proc/self/status", "1\n");
    expect_with((nb_exec_options){.oom_score_adj = 500}, "cat /proc/self/oom_score_adj", "500\n");
    expect_with((nb_exec_options){.ulimits = STRINGS("nofile=77:88", "core=0", "cpu=unlimited"), .user = "nobody"},
                "ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -t", "77\n88\n0\nunlimited\n");
}

static void expect_invalid(nb_exec_options options, const char *named) {
    nb_exec *exec = NULL;
    nb_error err;
    options.size = sizeof(options);
    options.command = (nb_strings) STRINGS("true");
    assert_int_equal(nb_exec_start(box, &options, &exec, &err), -NB_E_INVALID);
    assert_non_null(strstr(err.message, named));
    assert_null(exec);
}

static void settings_that_are_none_are_named(void **state) {
    expect_invalid((nb_exec_options){.cap_add = STRINGS("FLY")}, "'FLY'");
    expect_invalid((nb_exec_options){.cap_drop = STRINGS("CHOWN", "")}, "''");
    expect_invalid((nb_exec_options){.oom_score_adj = 1001}, "1001");
    static const char *const limits[] = {
        "nofile", "nofile=", "nofile=x", "nofile=1:", "nofile=1:2:3", "files=1", "nofile=-2", "nofile=9:8", "nofile=99999999999999999999",
        "=1",     ""};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        expect_invalid((nb_exec_options){.ulimits = {&limits[i], 1}}, limits[i]);
}

static void the_grace_after_a_timeout_is_the_execs_own(void **state) {
    nb_exec *exec = start_with((nb_exec_options){.timeout_ms = 300, .grace_ms = 600000},
                               "trap 'echo asked; sleep 3; exit 5' TERM; while :; do sleep 0.1; done");
    output o = {0};
    assert_true(collect(exec, WAIT_MS, &o)); /* it had time to clean up, more than the default's 2 s */
    assert_string_equal(o.bytes[0], "asked\n");
    assert_int_equal(o.status.code, 5);
    assert_true(o.status.timed_out);
    output_free(&o);
    nb_exec_free(exec);
}

/* ------------------------------------------------------------------------------------------------------- after the box */

static void after_the_box_s_stop_every_end_is_still_told(void **state) {
    char ended[13], cut_off[13];
    nb_exec *exec = NULL;
    nb_exit_status status;
    start_detached("exit 9", ended);
    expect_end(ended, 9);
    start_detached("trap '' TERM; touch /tmp/deaf; while :; do sleep 1; done", cut_off);
    expect("while ! [ -e /tmp/deaf ]; do sleep 0.05; done", 0, "");
    MUST(nb_box_stop(box, 500, &problem));
    expect_end(ended, 9);
    expect_output(ended, 9, "", "");
    MUST(nb_exec_open(elsewhere, cut_off, NB_EXEC_WATCH, &exec, &problem));
    int result = nb_exec_wait(exec, 0, &status, &problem);
    assert_true(result == -NB_E_STOPPED || (result == 0 && status.code == 128 + SIGKILL));
    nb_exec_free(exec);
    MUST(nb_box_start(box, NULL, NULL, &problem));
    assert_int_equal(nb_exec_open(elsewhere, ended, NB_EXEC_WATCH, &exec, &problem), -NB_E_NOT_FOUND); /* of another run */
}

static void a_stop_asks_execs_to_end_and_waits_for_them(void **state) {
    char polite[13];
    start_detached("trap 'sleep 1; exit 8' TERM; touch /tmp/polite; while :; do sleep 0.1; done", polite);
    expect("while ! [ -e /tmp/polite ]; do sleep 0.05; done", 0, "");
    MUST(nb_box_stop(box, WAIT_MS, &problem));
    expect_end(polite, 8);
}

static void the_main_command_is_watched_like_any_other(void **state) {
    nb_box *other = NULL;
    nb_exec *watch = NULL;
    nb_exit_status status;
    nb_box_options options = NB_BOX_OPTIONS_INIT;
    options.image = "busybox";
    options.command = (nb_strings) STRINGS("sh", "-c", "sleep 2; exit 9");
    MUST(nb_box_create(other_runtime, &options, &other, &problem));
    assert_int_equal(nb_exec_open(other, NULL, NB_EXEC_WATCH, &watch, &problem), -NB_E_STOPPED); /* it never ran */
    MUST(nb_box_start(other, NULL, NULL, &problem));
    MUST(nb_exec_open(other, NULL, NB_EXEC_WATCH, &watch, &problem));
    MUST(nb_exec_wait(watch, WAIT_MS, &status, &problem));
    assert_int_equal(status.code, 9);
    nb_exec_free(watch);
    MUST(nb_exec_open(other, NULL, NB_EXEC_WATCH, &watch, &problem)); /* the box has stopped */
    assert_int_equal(wait_and_free(watch).code, 9);
    MUST(nb_box_remove(other, true, &problem));
    nb_box_free(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_detached_exec_is_found_by_its_id_and_its_output_was_kept),
        cmocka_unit_test(what_an_exec_wrote_is_there_after_its_end_once),
        cmocka_unit_test(more_than_is_kept_is_a_gap_that_is_told),
        cmocka_unit_test(what_one_has_written_to_stdin_the_next_goes_on_with),
        cmocka_unit_test(streams_have_one_reader_at_a_time),
        cmocka_unit_test(who_asks_for_what_never_was_is_told),
        cmocka_unit_test(s08_any_number_of_watchers_get_the_same_status),
        cmocka_unit_test(who_watches_signals_and_does_not_hold_up),
        cmocka_unit_test(a_list_has_those_that_run_and_those_that_ended),
        cmocka_unit_test(an_exec_has_the_capabilities_and_limits_it_was_given),
        cmocka_unit_test(settings_that_are_none_are_named),
        cmocka_unit_test(the_grace_after_a_timeout_is_the_execs_own),
        cmocka_unit_test(after_the_box_s_stop_every_end_is_still_told),
        cmocka_unit_test(a_stop_asks_execs_to_end_and_waits_for_them),
        cmocka_unit_test(the_main_command_is_watched_like_any_other),
    };
    const char *obstacle = find_obstacle();
    if (obstacle) {
        (void) fprintf(stderr, "skipped: %s\n", obstacle);
        return 77;
    }
    return cmocka_run_group_tests(tests, open_elsewhere, close_elsewhere);
}
