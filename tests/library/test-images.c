/* SPDX-License-Identifier: Apache-2.0
 *
 * test-images.c - images through nestbox.h: made of a box, told of while they are made, and given up half way
 */
#include "shared-box.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------------------- what is told */

typedef struct listener {
    unsigned told, parts, give_up_at; /* 0: never */
    char last[256];
    bool malformed;
} listener;

static int listen_to(void *user, const nb_progress *progress) {
    listener *l = user;
    l->told++;
    l->parts += *progress->item != '\0';
    l->malformed = l->malformed || !*progress->what || (progress->total_bytes > 0 && progress->done_bytes > progress->total_bytes);
    (void) snprintf(l->last, sizeof(l->last), "%s", progress->what);
    return l->give_up_at > 0 && l->told >= l->give_up_at;
}

/* A second runtime of the same home, which tells @l. */
static nb_runtime *open_told(listener *l) {
    nb_runtime *told = NULL;
    nb_runtime_options options = NB_RUNTIME_OPTIONS_INIT;
    options.home = home;
    options.progress = listen_to;
    options.progress_user = l;
    MUST(nb_runtime_open(&options, &told, &problem));
    return told;
}

/* Files of the home's folder @name, other than locks. */
static unsigned count_files(const char *name) {
    char path[256];
    unsigned count = 0;
    (void) snprintf(path, sizeof(path), "%s/%s", home, name);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && strcmp(entry->d_name, "lock") != 0;
    if (folder)
        (void) closedir(folder);
    return count;
}

static size_t count_images(void) {
    nb_image_list *list = NULL;
    MUST(nb_image_list_get(runtime, &list, &problem));
    size_t count = list->count;
    nb_image_list_free(list);
    return count;
}

static void an_import_that_waits_can_be_given_up_and_leaves_nothing(void **state) {
    listener l = {.give_up_at = 3};
    nb_runtime *told = open_told(&l);
    nb_image_info *image = NULL;
    nb_error err;
    int ends[2];
    unsigned files = count_files("images");
    size_t images = count_images();
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(nb_image_import(told, ends[0], "never", NULL, &image, &err), -NB_E_CANCELLED);
    assert_int_equal(l.told, 3);
    assert_string_equal(l.last, "waiting for the archive");
    assert_int_equal(close(ends[0]) | close(ends[1]), 0);
    assert_int_equal(count_files("images"), files);
    assert_int_equal(count_images(), images);
    nb_runtime_close(told);
}

typedef struct blocked {
    nb_runtime *runtime;
    int fd, result;
} blocked;

static void *import_slowly(void *user) {
    blocked *b = user;
    nb_image_info *image = NULL;
    b->result = nb_image_import(b->runtime, b->fd, "slow", NULL, &image, NULL);
    nb_image_free(image);
    return NULL;
}

static void who_waits_for_another_import_is_told_so_and_can_give_up(void **state) {
    listener slow = {0}, l = {.give_up_at = 2};
    nb_runtime *first = open_told(&slow), *second = open_told(&l);
    nb_image_info *image = NULL;
    nb_error err;
    pthread_t thread;
    int ends[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    blocked b = {.runtime = first, .fd = ends[0]};
    assert_int_equal(pthread_create(&thread, NULL, import_slowly, &b), 0);
    for (unsigned i = 0; i < 600 && __atomic_load_n(&slow.told, __ATOMIC_RELAXED) == 0; i++)
        (void) usleep(100000);
    assert_true(__atomic_load_n(&slow.told, __ATOMIC_RELAXED) > 0);
    assert_int_equal(nb_image_import(second, null, "second", NULL, &image, &err), -NB_E_CANCELLED);
    assert_string_equal(l.last, "waiting for another program's import");
    assert_int_equal(close(ends[1]) | close(null), 0); /* an empty archive is an error of its own */
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(b.result, -NB_E_IMAGE);
    assert_int_equal(close(ends[0]), 0);
    nb_runtime_close(first);
    nb_runtime_close(second);
}

/* ------------------------------------------------------------------------------------------------------------------ commits */

static nb_box *stopped_box(const char *script) {
    nb_box *made = start_another_box();
    nb_exec_options options = NB_EXEC_OPTIONS_INIT;
    assert_int_equal(wait_and_free(start_in(made, options, script)).code, 0);
    MUST(nb_box_stop(made, 0, &problem));
    return made;
}

static void a_commit_is_told_of_and_gives_an_image(void **state) {
    listener l = {0};
    nb_runtime *told = open_told(&l);
    nb_box *made = stopped_box("head -c 20000000 /dev/urandom >/big"), *same = NULL;
    nb_image_info *image = NULL, *found = NULL;
    const char *changes[] = {"CMD [\"true\"]", "LABEL by=test"};
    nb_commit_options options = NB_COMMIT_OPTIONS_INIT;
    options.name = "mine:1";
    options.changes = (nb_strings){changes, 2};
    MUST(nb_box_open(told, nb_box_id(made), &same, &problem));
    MUST(nb_box_commit(same, &options, &image, &problem));
    assert_string_equal(image->name, "mine:1");
    assert_int_equal(image->labels.count, 1);
    assert_string_equal(image->labels.items[0], "by=test");
    assert_true(image->size_bytes > 20000000);
    assert_true(l.parts > 0 && !l.malformed);
    MUST(nb_image_inspect(runtime, "mine:1", &found, &problem));
    assert_string_equal(found->id, image->id);
    nb_image_free(image);
    nb_image_free(found);
    nb_box_free(same);
    MUST(nb_image_remove(runtime, "mine:1", &problem));
    remove_another_box(made);
    nb_runtime_close(told);
}

static void a_commit_that_is_given_up_leaves_the_box_and_nothing_else(void **state) {
    listener l = {.give_up_at = 1};
    nb_runtime *told = open_told(&l);
    nb_box *made = stopped_box("head -c 50000000 /dev/urandom >/big"), *same = NULL;
    nb_image_info *image = NULL;
    nb_box_info *info = NULL;
    nb_error err;
    unsigned files = count_files("images");
    MUST(nb_box_open(told, nb_box_id(made), &same, &problem));
    assert_int_equal(nb_box_commit(same, NULL, &image, &err), -NB_E_CANCELLED);
    assert_int_equal(count_files("images"), files);
    MUST(nb_box_inspect(made, &info, &problem));
    assert_int_equal(info->state, NB_BOX_STOPPED);
    nb_box_info_free(info);
    nb_box_free(same);
    nb_runtime_close(told);
    MUST(nb_box_commit(made, NULL, &image, &problem));
    MUST(nb_image_remove(runtime, image->id, &problem));
    nb_image_free(image);
    remove_another_box(made);
}

static void a_running_box_is_neither_committed_nor_visited(void **state) {
    nb_image_info *image = NULL;
    nb_start_options visit = NB_START_OPTIONS_INIT;
    nb_error err;
    visit.visit = true;
    assert_int_equal(nb_box_commit(box, NULL, &image, &err), -NB_E_INVALID_STATE);
    assert_int_equal(nb_box_start(box, &visit, NULL, &err), -NB_E_INVALID_STATE);
    expect("echo alive", 0, "alive\n");
}

static void a_save_can_be_given_up_and_its_box_goes(void **state) {
    listener l = {.give_up_at = 1};
    nb_runtime *told = open_told(&l);
    nb_box *made = stopped_box("head -c 20000000 /dev/urandom >/big");
    nb_image_info *image = NULL;
    nb_box_list *before = NULL, *after = NULL;
    nb_error err;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    MUST(nb_box_commit(made, NULL, &image, &problem));
    MUST(nb_box_list_get(runtime, &before, &problem));
    assert_int_equal(nb_image_save(told, image->id, null, &err), -NB_E_CANCELLED);
    assert_string_equal(l.last, "reading the image's disk");
    MUST(nb_box_list_get(runtime, &after, &problem));
    assert_int_equal(before->count, after->count);
    nb_box_list_free(before);
    nb_box_list_free(after);
    assert_int_equal(close(null), 0);
    MUST(nb_image_remove(runtime, image->id, &problem));
    nb_image_free(image);
    remove_another_box(made);
    nb_runtime_close(told);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_import_that_waits_can_be_given_up_and_leaves_nothing),
        cmocka_unit_test(who_waits_for_another_import_is_told_so_and_can_give_up),
        cmocka_unit_test(a_commit_is_told_of_and_gives_an_image),
        cmocka_unit_test(a_commit_that_is_given_up_leaves_the_box_and_nothing_else),
        cmocka_unit_test(a_running_box_is_neither_committed_nor_visited),
        cmocka_unit_test(a_save_can_be_given_up_and_its_box_goes),
    };
    const char *why = find_obstacle();
    if (why) {
        (void) printf("skipped: %s\n", why);
        return 77;
    }
    return cmocka_run_group_tests(tests, open_box, close_box);
}
