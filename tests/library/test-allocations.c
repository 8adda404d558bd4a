/* SPDX-License-Identifier: Apache-2.0
 *
 * test-allocations.c - every public call, with each of its allocations failing once
 *
 * A call whose n-th allocation fails either says that there was no memory, or did without; it neither crashes, nor leaks (this program and the
 * library in it are built with the address sanitizer), nor leaves anything behind that the next call would stumble over.
 */
#include "../unit/fail.h"
#include "shared-box.h"

#include <nestbox/events.h>
#include <nestbox/standby.h>
#include <nestbox/template.h>

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A call of the library, with all that its results need freed; what fails because of the test is what it returns. */
typedef int call(nb_error *err);

/* Makes the call with its allocation @number failing. How many it has made. */
static unsigned make(const char *name, unsigned number, call *made, void (*undo)(void)) {
    nb_error err = {0};
    fail_alloc_at(number);
    int result = made(&err);
    bool fired = fail_alloc_fired();
    if (result != 0 && !(fired && result == -NB_E_NO_MEMORY && err.message[0]))
        fail_msg("%s, allocation %u%s: %d: %s", name, number, fired ? "" : ", which it did not come to", result, err.message);
    if (result == 0 && undo)
        undo();
    return fail_alloc_seen();
}

/* @samples  how many of the allocations are tried, about evenly; 0: each of them. For what takes a while each time, a machine's start */
static void sweep(const char *name, unsigned samples, call *made, void (*undo)(void)) {
    if (samples == 0) {
        for (unsigned n = 0; make(name, n, made, undo) > n; n++)
            ;
        return;
    }
    unsigned count = make(name, UINT_MAX, made, undo);
    for (unsigned i = 0; i < samples && i < count; i++)
        (void) make(name, i * count / samples, made, undo);
}

#define SWEEP(made, undo) sweep(#made, 0, made, undo)
#define SWEEP_SOME(made, undo) sweep(#made, rounds(5, 200), made, undo)

/* ------------------------------------------------------------------------------------------------------------- the runtime */

static int open_runtime(nb_error *err) {
    nb_runtime_options options = {.size = sizeof(options), .home = home};
    nb_runtime *second = NULL;
    int result = nb_runtime_open(&options, &second, err);
    nb_runtime_close(second);
    return result;
}

static int ask_runtime(nb_error *err) {
    nb_info *info = NULL;
    int result = nb_runtime_info(runtime, &info, err);
    nb_info_free(info);
    return result;
}

static int see_the_doctor(nb_error *err) {
    nb_runtime_options options = {.size = sizeof(options), .home = home};
    nb_checks *checks = NULL;
    int result = nb_doctor(&options, &checks, err);
    nb_checks_free(checks);
    return result;
}

static int sweep_home(nb_error *err) {
    return nb_runtime_sweep(runtime, err);
}

static int measure_home(nb_error *err) {
    nb_disk_usage usage;
    return nb_runtime_disk_usage(runtime, &usage, err);
}

static int read_events(nb_error *err) {
    nb_events_options options = {.size = sizeof(options), .replay = true};
    nb_events *events = NULL;
    const nb_runtime_event *event = NULL;
    int result = nb_events_open(runtime, &options, &events, err);
    do {
        result = result == 0 ? nb_events_next(events, 0, &event, err) : result;
    } while (result == 0 && event);
    nb_events_free(events);
    return result;
}

static void what_is_asked_of_a_home(void **state) {
    SWEEP(open_runtime, NULL);
    SWEEP(ask_runtime, NULL);
    SWEEP(see_the_doctor, NULL);
    SWEEP(sweep_home, NULL);
    SWEEP(measure_home, NULL);
    SWEEP(read_events, NULL);
}

/* ------------------------------------------------------------------------------------------------------ images and volumes */

static int prepare_image(nb_error *err) {
    nb_image_info *image = NULL;
    int result = nb_image_prepare(runtime, "busybox", NULL, &image, err);
    nb_image_free(image);
    return result;
}

static int list_images(nb_error *err) {
    nb_image_list *list = NULL;
    int result = nb_image_list_get(runtime, &list, err);
    nb_image_list_free(list);
    return result;
}

static int inspect_image(nb_error *err) {
    nb_image_info *image = NULL;
    int result = nb_image_inspect(runtime, "busybox", &image, err);
    nb_image_free(image);
    return result;
}

static int tag_image(nb_error *err) {
    return nb_image_tag(runtime, "busybox", "tagged:1", err);
}

static void untag_image(void) {
    MUST(nb_image_remove(runtime, "tagged:1", &problem));
}

static int untag(nb_error *err) {
    return nb_image_remove(runtime, "tagged:1", err);
}

static void tag_again(void) {
    MUST(nb_image_tag(runtime, "busybox", "tagged:1", &problem));
}

static int prune_images(nb_error *err) {
    nb_image_list *removed = NULL;
    int result = nb_image_prune(runtime, false, &removed, err);
    nb_image_list_free(removed);
    return result;
}

static int save_image(nb_error *err) {
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int result = nb_image_save(runtime, "busybox", fd, err);
    (void) close(fd);
    return result;
}

/* One empty folder, ustar: a header of 512 bytes and two blocks of zeros. */
static int make_tar(void) {
    char bytes[1536] = "folder/";
    int fd = memfd_create("tar", MFD_CLOEXEC);
    (void) memcpy(bytes + 100, "0000755\0000000000\0000000000\00000000000000\00000000000000\000        5", 57);
    (void) memcpy(bytes + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (size_t i = 0; i < 512; i++)
        sum += (unsigned char) bytes[i];
    (void) snprintf(bytes + 148, 8, "%06o", sum);
    assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    return fd;
}

static int import_image(nb_error *err) {
    const char *changes[] = {"ENV A=1", "CMD [\"true\"]"};
    nb_import_options options = {.size = sizeof(options), .changes = {changes, 2}};
    nb_image_info *image = NULL;
    int fd = make_tar();
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    int result = nb_image_import(runtime, fd, "imported:1", &options, &image, err);
    nb_image_free(image);
    (void) close(fd);
    return result;
}

static void remove_imported(void) {
    MUST(nb_image_remove(runtime, "imported:1", &problem));
}

static int forget_login(nb_error *err) {
    int result = nb_registry_logout(runtime, "localhost:1", err);
    return result == -NB_E_NOT_FOUND ? 0 : result;
}

static void what_is_asked_of_images(void **state) {
    SWEEP(prepare_image, NULL);
    SWEEP(list_images, NULL);
    SWEEP(inspect_image, NULL);
    SWEEP(tag_image, untag_image);
    tag_again();
    SWEEP(untag, tag_again);
    untag_image();
    SWEEP(prune_images, NULL);
    SWEEP_SOME(save_image, NULL);
    SWEEP_SOME(import_image, remove_imported);
    SWEEP_SOME(forget_login, NULL);
}

static int create_volume(nb_error *err) {
    nb_volume_info *volume = NULL;
    int result = nb_volume_create(runtime, "made", &volume, err);
    nb_volume_free(volume);
    return result;
}

static void remove_volume(void) {
    MUST(nb_volume_remove(runtime, "made", &problem));
}

static int inspect_volume(nb_error *err) {
    nb_volume_info *volume = NULL;
    int result = nb_volume_inspect(runtime, "made", &volume, err);
    nb_volume_free(volume);
    return result;
}

static int list_volumes(nb_error *err) {
    nb_volume_list *list = NULL;
    int result = nb_volume_list_get(runtime, &list, err);
    nb_volume_list_free(list);
    return result;
}

static int drop_volume(nb_error *err) {
    return nb_volume_remove(runtime, "made", err);
}

static void create_volume_again(void) {
    MUST(create_volume(&problem));
}

static void what_is_asked_of_volumes(void **state) {
    SWEEP(create_volume, remove_volume);
    create_volume_again();
    SWEEP(inspect_volume, NULL);
    SWEEP(list_volumes, NULL);
    SWEEP(drop_volume, create_volume_again);
    remove_volume();
}

/* --------------------------------------------------------------------------------------------------------------- templates */

static char template_key[65];

static int list_templates(nb_error *err) {
    nb_template_list *list = NULL;
    int result = nb_template_list_get(runtime, &list, err);
    nb_template_list_free(list);
    return result;
}

static int build_template(nb_error *err) {
    nb_template_info *built = NULL;
    nb_template_options options = {.size = sizeof(options), .image = "busybox"};
    int result = nb_template_build(runtime, &options, &built, err);
    if (result == 0)
        (void) snprintf(template_key, sizeof(template_key), "%s", built->key);
    nb_template_free(built);
    return result;
}

static int verify_template(nb_error *err) {
    return nb_template_verify(runtime, template_key, err);
}

static int drop_template(nb_error *err) {
    return nb_template_remove(runtime, template_key, err);
}

static void build_template_again(void) {
    MUST(build_template(&problem));
}

static void what_is_asked_of_templates(void **state) {
    build_template_again();
    SWEEP_SOME(build_template, NULL); /* which is there */
    SWEEP_SOME(list_templates, NULL);
    SWEEP_SOME(verify_template, NULL);
    SWEEP_SOME(drop_template, build_template_again);
}

static nb_standby *pool;
static nb_box *taker;

static int open_pool(nb_error *err) {
    const nb_template_options machine = {.size = sizeof(machine), .image = "busybox"};
    const nb_standby_options options = {.size = sizeof(options), .machine = &machine};
    return nb_standby_open(runtime, &options, &pool, err);
}

static void close_pool(void) {
    nb_standby_close(pool);
    pool = NULL;
}

static int wait_for_pool(nb_error *err) {
    return nb_standby_wait(pool, WAIT_MS, err);
}

static int count_pool(nb_error *err) {
    uint32_t count;
    return nb_standby_count(pool, &count, err);
}

/* A new one each time: one that has run takes none. What does not start is not left. */
static int start_new_box(nb_error *err) {
    const nb_start_options how = {.size = sizeof(how), .standby = true};
    const nb_box_options options = {.size = sizeof(options), .image = "busybox", .name = "taker"};
    int result = nb_box_create(runtime, &options, &taker, err);
    if (result < 0)
        return result;
    result = nb_box_start(taker, &how, NULL, err);
    if (result < 0) {
        MUST(nb_box_remove(taker, true, &problem));
        nb_box_free(taker);
        taker = NULL;
    }
    return result;
}

static void remove_new_box(void) {
    MUST(nb_box_remove(taker, true, &problem));
    nb_box_free(taker);
    taker = NULL;
}

static void what_is_asked_of_machines_that_wait(void **state) {
    SWEEP_SOME(open_pool, close_pool);
    MUST(open_pool(&problem));
    SWEEP_SOME(wait_for_pool, NULL);
    SWEEP_SOME(count_pool, NULL);
    SWEEP_SOME(start_new_box, remove_new_box);
    close_pool();
}

/* ------------------------------------------------------------------------------------------------------------------- boxes */

static nb_box *made_box;

static int create_box(nb_error *err) {
    const char *words[] = {"sh", "-c", "echo out"}, *pairs[] = {"A=1", "B=2"}, *limits[] = {"nofile=100:200"},
               *capabilities[] = {"NET_ADMIN"};
    const char *test[] = {"CMD", "true"};
    const nb_mount mounts[] = {{.kind = NB_MOUNT_TMPFS, .target = "/held"}, {.kind = NB_MOUNT_VOLUME, .source = "volume", .target = "/v"}};
    const nb_health_check health = {.test = {test, 2}};
    nb_box_options options = {
        .size = sizeof(options),
        .image = "busybox",
        .name = "made",
        .command = {words, 3},
        .environment = {pairs, 2},
        .labels = {pairs, 2},
        .cap_add = {capabilities, 1},
        .ulimits = {limits, 1},
        .mounts = {mounts, 2},
        .health = &health,
        .detach = true,
    };
    return nb_box_create(runtime, &options, &made_box, err);
}

static void remove_box(void) {
    MUST(nb_box_remove(made_box, true, &problem));
    nb_box_free(made_box);
    made_box = NULL;
}

static size_t count_boxes(void) {
    nb_box_list *list = NULL;
    MUST(nb_box_list_get(runtime, &list, &problem));
    size_t count = list->count;
    nb_box_list_free(list);
    return count;
}

static int find_box(nb_error *err) {
    nb_box *found = NULL;
    int result = nb_box_open(runtime, "shared", &found, err);
    nb_box_free(found);
    return result;
}

static int list_boxes(nb_error *err) {
    nb_box_list *list = NULL;
    int result = nb_box_list_get(runtime, &list, err);
    nb_box_list_free(list);
    return result;
}

static int inspect_box(nb_error *err) {
    nb_box_info *info = NULL;
    int result = nb_box_inspect(made_box ? made_box : box, &info, err);
    nb_box_info_free(info);
    return result;
}

static int rename_box(nb_error *err) {
    return nb_box_rename(made_box, "renamed", err);
}

static void rename_back(void) {
    MUST(nb_box_rename(made_box, "made", &problem));
}

static int start_box(nb_error *err) {
    nb_exec *main_exec = NULL;
    int result = nb_box_start(made_box, NULL, &main_exec, err);
    nb_exec_free(main_exec);
    return result;
}

static void stop_box(void) {
    MUST(nb_box_stop(made_box, 0, &problem));
}

static int stop_it(nb_error *err) {
    return nb_box_stop(made_box, 0, err);
}

static int drop_box(nb_error *err) {
    int result = nb_box_remove(made_box, true, err);
    if (result == 0) {
        nb_box_free(made_box);
        made_box = NULL;
    }
    return result;
}

static int commit_box(nb_error *err) {
    nb_commit_options options = {.size = sizeof(options), .name = "committed:1"};
    nb_image_info *image = NULL;
    int result = nb_box_commit(made_box, &options, &image, err);
    nb_image_free(image);
    return result;
}

static void remove_committed(void) {
    MUST(nb_image_remove(runtime, "committed:1", &problem));
}

static int see_health(nb_error *err) {
    nb_health_results *results = NULL;
    int result = nb_box_health_get(made_box, &results, err);
    nb_health_results_free(results);
    return result;
}

static int count_pieces(void *user, int stream, uint64_t at_ms, const void *bytes, size_t length) {
    return 0;
}

static int read_logs(nb_error *err) {
    int result = nb_box_logs(made_box, NB_LOG_MAIN, count_pieces, NULL, err);
    if (result == 0)
        result = nb_box_logs(made_box, NB_LOG_CONSOLE, count_pieces, NULL, err);
    if (result == 0)
        result = nb_box_logs(made_box, NB_LOG_SHIM, count_pieces, NULL, err);
    return result;
}

static int follow_logs(nb_error *err) {
    return nb_box_logs_follow(made_box, count_pieces, NULL, WAIT_MS, err);
}

static void what_is_asked_of_boxes(void **state) {
    size_t before = count_boxes();
    SWEEP(create_box, remove_box);
    assert_int_equal(count_boxes(), before); /* what failed has left none */
    MUST(create_box(&problem));
    SWEEP(find_box, NULL);
    SWEEP(list_boxes, NULL);
    SWEEP(inspect_box, NULL);
    SWEEP(rename_box, rename_back);
    SWEEP_SOME(start_box, stop_box);
    SWEEP(stop_it, NULL);
    SWEEP(see_health, NULL);
    SWEEP(read_logs, NULL);
    SWEEP(follow_logs, NULL);
    SWEEP_SOME(commit_box, remove_committed);
    /* Removed once: it has to be there for each, and is gone with the first that succeeds. */
    for (unsigned n = 0; made_box; n++)
        (void) make("drop_box", n, drop_box, NULL);
    assert_int_equal(count_boxes(), before);
    MUST(nb_volume_remove(runtime, "volume", &problem));
}

/* ---------------------------------------------------------------------------------------------------------- in a running box */

static int see_stats(nb_error *err) {
    nb_box_stats stats;
    return nb_box_stats_get(box, &stats, err);
}

static int list_processes(nb_error *err) {
    nb_process_list *list = NULL;
    int result = nb_process_list_get(box, &list, err);
    nb_process_list_free(list);
    return result;
}

static int list_execs(nb_error *err) {
    nb_exec_list *list = NULL;
    int result = nb_exec_list_get(box, &list, err);
    nb_exec_list_free(list);
    return result;
}

static int mount_it(nb_error *err) {
    return nb_box_mount(box, &(nb_mount){.kind = NB_MOUNT_TMPFS, .target = "/mounted"}, err);
}

static int unmount_it(nb_error *err) {
    return nb_box_unmount(box, "/mounted", err);
}

static void mount_again(void) {
    MUST(mount_it(&problem));
}

static void unmount_again(void) {
    MUST(unmount_it(&problem));
}

static int take_all(nb_exec *exec, nb_error *err) {
    nb_event event = {0};
    int result = 0;
    while (result == 0 && event.kind != NB_EVENT_EXITED)
        result = nb_exec_next(exec, WAIT_MS, &event, err);
    return result;
}

static int run_exec(nb_error *err) {
    const char *words[] = {"sh", "-c", "cat; echo out; echo err >&2"}, *pairs[] = {"A=1"}, *limits[] = {"nofile=100"};
    nb_exec_options options = {
        .size = sizeof(options), .command = {words, 3}, .environment = {pairs, 1}, .ulimits = {limits, 1}, .open_stdin = true};
    nb_exec *exec = NULL;
    nb_exit_status status;
    size_t written = 0;
    int result = nb_exec_start(box, &options, &exec, err);
    if (result == 0)
        result = nb_exec_write(exec, "in", 2, WAIT_MS, &written, err);
    if (result == 0)
        result = nb_exec_close_stdin(exec, err);
    if (result == 0)
        result = take_all(exec, err);
    if (result == 0)
        result = nb_exec_wait(exec, WAIT_MS, &status, err);
    nb_exec_free(exec);
    return result;
}

static char lasting_id[64];

static int open_exec(nb_error *err) {
    nb_exec *exec = NULL;
    int result = nb_exec_open(box, lasting_id, NB_EXEC_STREAMS, &exec, err);
    if (result == 0)
        result = nb_exec_resize(exec, 100, 50, err);
    if (result == 0)
        result = nb_exec_signal(exec, 18, err);
    if (result == 0)
        result = nb_exec_detach(exec, err);
    nb_exec_free(exec);
    return result;
}

static int copy_out(nb_error *err) {
    nb_copy_options options = {.size = sizeof(options)};
    nb_exec *exec = NULL;
    int result = nb_copy_out(box, "/etc", &options, &exec, err);
    if (result == 0)
        result = take_all(exec, err);
    nb_exec_free(exec);
    return result;
}

static int copy_in(nb_error *err) {
    static const char end_of_tar[1024];
    nb_copy_options options = {.size = sizeof(options)};
    nb_exec *exec = NULL;
    size_t written;
    int result = nb_copy_in(box, "/tmp", &options, &exec, err);
    if (result == 0)
        result = nb_exec_write(exec, end_of_tar, sizeof(end_of_tar), WAIT_MS, &written, err);
    if (result == 0)
        result = nb_exec_close_stdin(exec, err);
    if (result == 0)
        result = take_all(exec, err);
    nb_exec_free(exec);
    return result;
}

static void what_is_asked_of_a_running_box(void **state) {
    nb_exec *lasting = start_with((nb_exec_options){.tty = true}, "exec sleep 86451");
    (void) snprintf(lasting_id, sizeof(lasting_id), "%s", nb_exec_id(lasting));
    MUST(nb_exec_detach(lasting, &problem));
    nb_exec_free(lasting);
    SWEEP(inspect_box, NULL);
    SWEEP(see_stats, NULL);
    SWEEP(list_processes, NULL);
    SWEEP(list_execs, NULL);
    SWEEP(mount_it, unmount_again);
    mount_again();
    SWEEP(unmount_it, mount_again);
    unmount_again();
    SWEEP(run_exec, NULL);
    SWEEP(open_exec, NULL);
    SWEEP(copy_out, NULL);
    SWEEP(copy_in, NULL);
    expect("echo lives", 0, "lives\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked_of_a_home),
        cmocka_unit_test(what_is_asked_of_images),
        cmocka_unit_test(what_is_asked_of_volumes),
        cmocka_unit_test(what_is_asked_of_templates),
        cmocka_unit_test(what_is_asked_of_machines_that_wait),
        cmocka_unit_test(what_is_asked_of_boxes),
        cmocka_unit_test(what_is_asked_of_a_running_box),
    };
    const char *why = find_obstacle();
    if (why) {
        (void) printf("skipped: %s\n", why);
        return 77;
    }
    return cmocka_run_group_tests(tests, open_box, close_box);
}
