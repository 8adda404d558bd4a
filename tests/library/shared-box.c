/* SPDX-License-Identifier: Apache-2.0
 *
 * shared-box.c - one box that all tests of a program share
 */
#include "shared-box.h"

#include <dirent.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUTPUT_MAX_BYTES ((size_t) 8 << 20)

nb_runtime *runtime;
nb_box *box;
char home[] = "/tmp/nestbox-library-XXXXXX";
nb_error problem;

/* -------------------------------------------------------------------------------------------------------------- boxes */

static nb_box *start_named(const char *name) {
    nb_box *made = NULL;
    nb_box_options options = NB_BOX_OPTIONS_INIT;
    options.image = "busybox";
    options.name = name;
    options.keep = true;
    MUST(nb_box_create(runtime, &options, &made, &problem));
    MUST(nb_box_start(made, NULL, NULL, &problem));
    return made;
}

int open_box(void **state) {
    nb_runtime_options options = NB_RUNTIME_OPTIONS_INIT;
    options.home = mkdtemp(home);
    MUST(nb_runtime_open(&options, &runtime, &problem));
    box = start_named("shared");
    return 0;
}

int close_box(void **state) {
    (void) nb_box_remove(box, true, NULL);
    nb_box_free(box);
    nb_runtime_close(runtime);
    remove_home(home);
    return 0;
}

int restart_box(void **state) {
    MUST(nb_box_start(box, NULL, NULL, &problem));
    return 0;
}

nb_box *start_another_box(void) {
    return start_named(NULL);
}

void remove_another_box(nb_box *other) {
    MUST(nb_box_remove(other, true, &problem));
    nb_box_free(other);
}

/* -------------------------------------------------------------------------------------------------------------- execs */

nb_exec *start_in(nb_box *where, nb_exec_options options, const char *script) {
    const char *words[] = {"sh", "-c", script};
    nb_exec *exec = NULL;
    options.size = sizeof(options);
    options.command = (nb_strings){words, 3};
    MUST(nb_exec_start(where, &options, &exec, &problem));
    return exec;
}

nb_exec *start_with(nb_exec_options options, const char *script) {
    return start_in(box, options, script);
}

nb_exec *start(const char *script) {
    return start_with((nb_exec_options){0}, script);
}

void output_free(output *o) {
    free(o->bytes[0]);
    free(o->bytes[1]);
}

static void take(output *o, const nb_event *event) {
    int i = event->kind == NB_EVENT_STDOUT ? 0 : 1;
    assert_false(o->ended[i]);
    o->ended[i] = event->length == 0;
    assert_true(o->length[i] + event->length < OUTPUT_MAX_BYTES);
    char *larger = realloc(o->bytes[i], o->length[i] + event->length + 1);
    assert_non_null(larger);
    o->bytes[i] = larger;
    if (event->length > 0)
        memcpy(larger + o->length[i], event->bytes, event->length);
    o->length[i] += event->length;
    larger[o->length[i]] = '\0';
}

bool collect(nb_exec *exec, int64_t timeout_ms, output *o) {
    for (;;) {
        nb_event event = {0};
        MUST(nb_exec_next(exec, timeout_ms, &event, &problem));
        if (event.kind == NB_EVENT_NONE)
            return false;
        if (event.kind == NB_EVENT_EXITED) {
            o->status = event.status;
            return true;
        }
        if (event.kind != NB_EVENT_STDIN_ROOM)
            take(o, &event);
    }
}

int collect_to_end(nb_exec *exec, output *o, nb_error *err) {
    for (;;) {
        nb_event event = {0};
        int result = nb_exec_next(exec, WAIT_MS, &event, err);
        if (result < 0)
            return result;
        assert_int_not_equal(event.kind, NB_EVENT_NONE);
        if (event.kind == NB_EVENT_EXITED) {
            o->status = event.status;
            return 0;
        }
        if (event.kind != NB_EVENT_STDIN_ROOM)
            take(o, &event);
    }
}

void expect(const char *script, int code, const char *out) {
    nb_exec *exec = start(script);
    output o = {0};
    assert_true(collect(exec, WAIT_MS, &o));
    assert_int_equal(o.status.code, code);
    assert_string_equal(o.bytes[0] ? o.bytes[0] : "", out);
    output_free(&o);
    nb_exec_free(exec);
}

nb_exit_status wait_and_free(nb_exec *exec) {
    nb_exit_status status = {0};
    MUST(nb_exec_wait(exec, WAIT_MS, &status, &problem));
    nb_exec_free(exec);
    return status;
}

void await_output(nb_exec *exec, const char *out) {
    char seen[64];
    size_t length = 0, wanted = strlen(out);
    assert_true(wanted < sizeof(seen));
    while (length < wanted) {
        nb_event event = {0};
        MUST(nb_exec_next(exec, WAIT_MS, &event, &problem));
        assert_int_equal(event.kind, NB_EVENT_STDOUT);
        assert_true(length + event.length <= wanted);
        memcpy(seen + length, event.bytes, event.length);
        length += event.length;
    }
    assert_memory_equal(seen, out, wanted);
}

unsigned rounds(unsigned few, unsigned soaking) {
    const char *soak = getenv("NESTBOX_SOAK");
    return soak && strcmp(soak, "1") == 0 ? soaking : few;
}

/* ---------------------------------------------------------------------------------------------------------- processes */

unsigned count_fds(int64_t pid) {
    char path[64];
    (void) snprintf(path, sizeof(path), "/proc/%lld/fd", (long long) pid);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    unsigned count = 0;
    while (readdir(folder))
        count++;
    (void) closedir(folder);
    return count;
}

static bool read_file(const char *path, char *text, size_t size) {
    FILE *file = fopen(path, "re");
    size_t length = file ? fread(text, 1, size - 1, file) : 0;
    if (file)
        (void) fclose(file);
    text[length] = '\0';
    return length > 0;
}

size_t resident_bytes(int64_t pid) {
    char path[64], text[4096];
    (void) snprintf(path, sizeof(path), "/proc/%lld/status", (long long) pid);
    assert_true(read_file(path, text, sizeof(text)));
    const char *line = strstr(text, "VmRSS:");
    assert_non_null(line);
    return strtoul(line + 6, NULL, 10) << 10;
}

unsigned count_zombies(int64_t parent) {
    unsigned count = 0;
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    assert_non_null(processes);
    while ((entry = readdir(processes))) {
        char path[300], text[512], state = 0;
        long long its_parent = 0;
        (void) snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9' || !read_file(path, text, sizeof(text)))
            continue;
        const char *behind_name = strrchr(text, ')');
        if (behind_name && sscanf(behind_name, ") %c %lld", &state, &its_parent) == 2)
            count += state == 'Z' && its_parent == parent;
    }
    (void) closedir(processes);
    return count;
}

/* -------------------------------------------------------------------------------------------------------------- homes */

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place) {
    return remove(path);
}

void remove_home(const char *path) {
    (void) nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *find_obstacle(void) {
    nb_runtime_options options = NB_RUNTIME_OPTIONS_INIT;
    nb_runtime *probe = NULL;
    nb_info *info = NULL;
    char folder[] = "/tmp/nestbox-library-XXXXXX";
    options.home = mkdtemp(folder);
    const char *why = "the library cannot say what it would use";
    if (nb_runtime_open(&options, &probe, NULL) == 0 && nb_runtime_info(probe, &info, NULL) == 0)
        why = !info->qemu ? "there is no QEMU" : !info->kernel ? "there is no guest kernel" : NULL;
    nb_info_free(info);
    nb_runtime_close(probe);
    remove_home(folder);
    return why;
}
