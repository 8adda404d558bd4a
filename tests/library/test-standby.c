/* SPDX-License-Identifier: Apache-2.0
 *
 * test-standby.c - machines that wait, as a program keeps them and takes them
 */
#include "shared-box.h"

#include <nestbox/standby.h>

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

/* A machine that waits takes a second or so to get there. */
#define READY_MS (4 * WAIT_MS)

static const nb_template_options of_busybox = {.size = sizeof(of_busybox), .image = "busybox"};

static nb_standby *open_pool(uint32_t count) {
    nb_standby *pool = NULL;
    const nb_standby_options options = {.size = sizeof(options), .count = count, .machine = &of_busybox};
    MUST(nb_standby_open(runtime, &options, &pool, &problem));
    return pool;
}

static uint32_t count_waiting(nb_standby *pool) {
    uint32_t count = NB_STANDBY_MAX + 1;
    MUST(nb_standby_count(pool, &count, &problem));
    return count;
}

static nb_box *create(const char *name) {
    const char *words[] = {"sleep", "100000"};
    nb_box *made = NULL;
    const nb_box_options options = {.size = sizeof(options), .image = "busybox", .name = name, .command = {words, 2}};
    MUST(nb_box_create(runtime, &options, &made, &problem));
    return made;
}

static void start_from_pool(nb_box *made) {
    const nb_start_options how = {.size = sizeof(how), .standby = true};
    MUST(nb_box_start(made, &how, NULL, &problem));
}

static uint32_t shim_of(nb_box *made) {
    nb_box_info *info = NULL;
    MUST(nb_box_inspect(made, &info, &problem));
    uint32_t pid = (uint32_t) info->shim_pid;
    nb_box_info_free(info);
    return pid;
}

static size_t count_folders(void) {
    char path[512];
    size_t count = 0;
    (void) snprintf(path, sizeof(path), "%s/standby", home);
    DIR *list = opendir(path);
    for (struct dirent *entry; list && (entry = readdir(list));)
        count += entry->d_name[0] != '.';
    if (list)
        (void) closedir(list);
    return count;
}

/* Whether a box's shim was one of those that waited: none of its program's other children are called so. */
static bool has_waited(nb_box *made) {
    char path[64], name[64] = "";
    (void) snprintf(path, sizeof(path), "/proc/%u/cmdline", shim_of(made));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(name, sizeof(name), file));
    (void) fclose(file);
    return strcmp(name, "nestbox-standby") == 0;
}

static void a_pool_fills_is_taken_from_and_fills_again(void **state) {
    nb_standby *pool = open_pool(2);
    MUST(nb_standby_wait(pool, READY_MS, &problem));
    assert_int_equal(count_waiting(pool), 2);
    struct pollfd news = {.fd = nb_standby_fd(pool), .events = POLLIN};
    assert_int_equal(poll(&news, 1, 0), 0);

    nb_box *made = create("taken");
    start_from_pool(made);
    assert_true(has_waited(made));
    assert_int_equal(poll(&news, 1, WAIT_MS), 1); /* that it was taken */
    assert_in_range(count_waiting(pool), 1, 2);
    MUST(nb_standby_wait(pool, READY_MS, &problem));
    assert_int_equal(count_waiting(pool), 2);

    nb_standby_close(pool);
    assert_int_equal(count_folders(), 1); /* the box's, which goes on */
    remove_another_box(made);
}

static void closing_leaves_nothing_whatever_was_under_way(void **state) {
    nb_standby_close(NULL);
    for (int i = 0; i < 3; i++) {
        nb_standby *pool = open_pool(3);
        uint32_t count = count_waiting(pool);
        assert_in_range(count, 0, 3);
        if (i == 1)
            MUST(nb_standby_wait(pool, READY_MS, &problem));
        nb_standby_close(pool);
        assert_int_equal(count_folders(), 0);
    }
}

static void a_box_takes_none_that_it_did_not_ask_for(void **state) {
    nb_standby *pool = open_pool(1);
    MUST(nb_standby_wait(pool, READY_MS, &problem));
    nb_box *made = create("own");
    MUST(nb_box_start(made, NULL, NULL, &problem));
    assert_false(has_waited(made));
    assert_int_equal(count_waiting(pool), 1);
    remove_another_box(made);
    nb_standby_close(pool);
}

static void a_wait_has_an_end(void **state) {
    nb_error err = {0};
    nb_standby *pool = open_pool(NB_STANDBY_MAX);
    assert_int_equal(nb_standby_wait(pool, 1, &err), -NB_E_TIMEOUT);
    assert_int_equal(nb_standby_wait(pool, 0, &err), -NB_E_TIMEOUT);
    nb_standby_close(pool);
    assert_int_equal(count_folders(), 0);
}

static void bad_calls_are_errors_not_crashes(void **state) {
    nb_error err = {0};
    nb_standby *pool = NULL;
    uint32_t count;
    nb_template_options other = of_busybox;
    nb_standby_options options = {.size = sizeof(options), .machine = &other};
    assert_int_equal(nb_standby_open(NULL, &options, &pool, &err), -NB_E_INVALID);
    assert_int_equal(nb_standby_open(runtime, &options, NULL, &err), -NB_E_INVALID);
    assert_int_equal(nb_standby_open(runtime, NULL, &pool, &err), -NB_E_INVALID);
    options.count = NB_STANDBY_MAX + 1;
    assert_int_equal(nb_standby_open(runtime, &options, &pool, &err), -NB_E_INVALID);
    assert_non_null(strstr(err.message, "64"));
    options.count = 1;
    options.machine = NULL;
    assert_int_equal(nb_standby_open(runtime, &options, &pool, &err), -NB_E_INVALID);
    options.machine = &other;
    other.image = NULL;
    assert_int_equal(nb_standby_open(runtime, &options, &pool, &err), -NB_E_INVALID);
    other.image = "nowhere";
    assert_int_equal(nb_standby_open(runtime, &options, &pool, &err), -NB_E_NOT_FOUND);
    other = of_busybox;
    other.memory_bytes = 1;
    assert_int_equal(nb_standby_open(runtime, &options, &pool, &err), -NB_E_INVALID);
    assert_null(pool);
    assert_int_equal(nb_standby_wait(NULL, 0, &err), -NB_E_INVALID);
    assert_int_equal(nb_standby_count(NULL, &count, &err), -NB_E_INVALID);
    assert_int_equal(nb_standby_fd(NULL), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_fills_is_taken_from_and_fills_again), cmocka_unit_test(closing_leaves_nothing_whatever_was_under_way),
        cmocka_unit_test(a_box_takes_none_that_it_did_not_ask_for),   cmocka_unit_test(a_wait_has_an_end),
        cmocka_unit_test(bad_calls_are_errors_not_crashes),
    };
    return cmocka_run_group_tests(tests, open_box, close_box);
}
