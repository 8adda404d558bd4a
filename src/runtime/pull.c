/* SPDX-License-Identifier: Apache-2.0
 *
 * pull.c - images from registries
 *
 * Theory of operation
 *   nestbox-fetch brings the image's blobs into the home's folder "layout", which is an OCI image layout without an index; then
 *   nestbox-image makes a base disk of them, as it would of any layout. The blobs stay, so that the next image with the same layers
 *   fetches only its own; the database knows which image has which, and what belongs to none any more is swept.
 *
 *   One pull at a time per home, under the layout's lock: of two programs that want the same image one fetches it and the other finds it
 *   there. A pull that was interrupted leaves its blobs and what came of the next one; the next pull goes on from there, and what
 *   nobody has gone on with for KEPT_S is swept.
 */
#include "runtime/pull.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/lock.h"
#include "base/size.h"
#include "runtime/event.h"
#include "runtime/image-import.h"
#include "runtime/image-room.h"
#include "runtime/image-worker.h"
#include "runtime/progress.h"
#include "runtime/usage.h"
#include "wire/frame.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What came of an interrupted pull is worth keeping for about as long as somebody remembers having started it. */
#define KEPT_S (24 * 3600)
#define LOCK_FILE "lock"
#define AUTH_FILE "auth.json"

extern char **environ;

static int open_layout(nb_runtime *rt, nb_error *err) {
    if (mkdirat(rt->folder, HOME_LAYOUT, 0700) < 0 && errno != EEXIST)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make the folder '%s/" HOME_LAYOUT "'", rt->home);
    int fd = openat(rt->folder, HOME_LAYOUT, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? nb_fail(err, nb_code_of_errno(errno), errno, "open '%s/" HOME_LAYOUT "'", rt->home) : fd;
}

static int lock_layout(nb_runtime *rt, int layout, int64_t timeout_ms, nb_error *err) {
    CLEANUP(cleanup_fd) int fd = openat(layout, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "open the lock of '%s/" HOME_LAYOUT "'", rt->home);
    int result = progress_wait_for_lock(rt, fd, timeout_ms, "another program's pull", err);
    return result < 0 ? result : take_fd(&fd);
}

int pull_lock(nb_runtime *rt, int64_t wait_ms, nb_error *err) {
    CLEANUP(cleanup_fd) int layout = open_layout(rt, err);
    return layout < 0 ? layout : lock_layout(rt, layout, wait_ms, err);
}

/* ------------------------------------------------------------------------------------------------------------- sweeping */

typedef struct sweep {
    enum sweep_what what;
    strv needed, forgotten; /* digests */
    time_t now, since;      /* since: what came from then on goes too, whatever there is of it; 0: nothing */
} sweep;

static bool is_in(strv digests, const char *algorithm, const char *hex) {
    char text[sizeof("sha256:") + NAME_MAX];
    (void) snprintf(text, sizeof(text), "%s:%s", algorithm, hex);
    for (const char *digest = strv_next(digests, NULL); digest; digest = strv_next(digests, digest)) {
        if (strcmp(digest, text) == 0)
            return true;
    }
    return false;
}

/* @algorithm NULL: what has come of blobs until now. */
static void sweep_folder(nb_runtime *rt, const sweep *s, int layout, const char *path, const char *algorithm) {
    int fd = openat(layout, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    struct stat status;
    if (fd >= 0 && !folder)
        (void) fd_close(fd);
    while (folder && (entry = readdir(folder))) {
        if (entry->d_name[0] == '.' && entry->d_name[1 + (entry->d_name[1] == '.')] == '\0')
            continue;
        if (algorithm && is_in(s->needed, algorithm, entry->d_name))
            continue;
        bool forgotten = algorithm && (s->what == SWEEP_ALL || is_in(s->forgotten, algorithm, entry->d_name));
        if (!forgotten && fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (!forgotten && s->now - status.st_mtime < KEPT_S && (s->since == 0 || status.st_mtime < s->since))
            continue;
        log_info(&rt->log, "image: removing the blob '%s', which no image has", entry->d_name);
        (void) unlinkat(dirfd(folder), entry->d_name, 0);
    }
    if (folder)
        (void) closedir(folder);
}

static void sweep_layout(nb_runtime *rt, int layout, const sweep *wanted) {
    arena a = {0};
    sweep s = *wanted;
    s.now = time(NULL);
    if (store_list_blobs(rt->store, NULL, &a, &s.needed, NULL) == 0) {
        sweep_folder(rt, &s, layout, "blobs/sha256", "sha256");
        sweep_folder(rt, &s, layout, "blobs/sha512", "sha512");
        sweep_folder(rt, &s, layout, "parts", NULL);
    }
    arena_done(&a);
}

void pull_sweep_held(nb_runtime *rt, strv forgotten, enum sweep_what what) {
    CLEANUP(cleanup_fd) int layout = openat(rt->folder, HOME_LAYOUT, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (layout >= 0)
        sweep_layout(rt, layout, &(sweep){.what = what, .forgotten = forgotten});
}

static void sweep_unless_busy(nb_runtime *rt, const sweep *wanted) {
    CLEANUP(cleanup_fd) int layout = openat(rt->folder, HOME_LAYOUT, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    CLEANUP(cleanup_fd) int lock = layout < 0 ? -1 : lock_layout(rt, layout, 0, NULL);
    if (lock >= 0)
        sweep_layout(rt, layout, wanted);
}

void pull_sweep(nb_runtime *rt, strv forgotten) {
    sweep_unless_busy(rt, &(sweep){.what = SWEEP_FORGOTTEN, .forgotten = forgotten});
}

/* -------------------------------------------------------------------------------------------------------------- pulling */

static char *auth_path(const nb_runtime *rt) {
    char *path;
    return asprintf(&path, "%s/" AUTH_FILE, rt->home) < 0 ? NULL : path;
}

/* The worker looks for logins, settings and proxies as this process would. */
static int pack_environment(buf *packed, nb_error *err) {
    buf_init(packed, WIRE_ENV_MAX_BYTES);
    for (char **variable = environ; variable && *variable; variable++) {
        if (!strv_add(packed, *variable))
            return nb_fail(err, NB_E_EXHAUSTED, 0, "this program's environment has more than %u bytes", WIRE_ENV_MAX_BYTES);
    }
    return 0;
}

/* How a pull is bounded. */
typedef struct pull_bounds {
    const image_settings *settings;
    deadline until;
} pull_bounds;

/* What the worker said, in the arena. */
typedef struct fetched {
    const char *manifest, *config;
    strv blobs;
} fetched;

static int fetch(nb_runtime *rt, const image_name *name, const image_wish *wish, const pull_bounds *bounds, int layout, arena *a,
                 fetched *ret_fetched, nb_error *err) {
    CLEANUP(cleanup_free) char *auth_file = auth_path(rt);
    CLEANUP(buf_done) buf env = {0}, bytes;
    const uint8_t *answer;
    size_t length;
    msg_fetched m;
    buf_init(&bytes, WIRE_READ_BUFFER_BYTES);
    if (!auth_file)
        return nb_fail_oom(err);
    int result = pack_environment(&env, err);
    if (result < 0)
        return result;
    msg_fetch request = {.registry = wire_str(name->registry),
                         .repository = wire_str(name->repository),
                         .reference = wire_str(name->digest ? name->digest : name->tag),
                         .fetch_flags = name->unqualified ? WIRE_FETCH_UNQUALIFIED : 0,
                         .architecture = wire_str(wish->architecture[0] ? wish->architecture : host_architecture()),
                         .variant = wire_str(wish->variant),
                         .auth_file = wire_str(auth_file),
                         .env = strv_of(&env),
                         .max_layers = bounds->settings->limits.max_layers,
                         .max_bytes = bounds->settings->limits.max_bytes,
                         .max_manifest_bytes = bounds->settings->limits.max_manifest_bytes,
                         .store_max_bytes = bounds->settings->store_max_bytes};
    if (!wire_control(&bytes, wire_encode_fetch, &request))
        return nb_fail_oom(err);
    result = image_worker_ask(rt, &embedded_fetch, &layout, 1, &bytes, NULL, bounds->until, &answer, &length, err);
    if (result == -NB_E_TIMEOUT && deadline_passed(bounds->until))
        return image_settings_time_is_over(bounds->settings, err);
    if (result < 0)
        return result;
    if (wire_decode_fetched(answer, length, &m) < 0)
        return nb_fail(err, NB_E_PROTOCOL, 0, "understand the answer of 'nestbox-fetch'");
    *ret_fetched = (fetched){
        .manifest = arena_text(a, m.manifest.at, m.manifest.length),
        .config = arena_text(a, m.config.at, m.config.length),
        .blobs = arena_list(a, m.blobs),
    };
    return a->failed ? nb_fail_oom(err) : 0;
}

/* What the image's blobs take on the home's file system; one that is there twice counts once. */
static uint64_t count_blobs(int layout, strv digests) {
    uint64_t bytes = 0;
    for (const char *digest = strv_next(digests, NULL); digest; digest = strv_next(digests, digest)) {
        char path[sizeof("blobs/") + NAME_MAX];
        struct stat status;
        bool seen = false;
        for (const char *other = strv_next(digests, NULL); other != digest && !seen; other = strv_next(digests, other))
            seen = strcmp(other, digest) == 0;
        (void) snprintf(path, sizeof(path), "blobs/%s", digest);
        char *colon = strchr(path, ':');
        if (colon)
            *colon = '/';
        if (!seen && fstatat(layout, path, &status, AT_SYMLINK_NOFOLLOW) == 0)
            bytes += (uint64_t) status.st_blocks * USAGE_BLOCK_BYTES;
    }
    return bytes;
}

/* The image may be here under another name, or as it is: then its disk is. */
static bool is_here(nb_runtime *rt, const char *id, arena *a, image_record *ret_image) {
    return store_find_image(rt->store, id, a, ret_image, NULL) == 0 && strcmp(ret_image->id, id) == 0 && image_disk_exists(rt, id);
}

static int import(nb_runtime *rt, const fetched *f, const char *name, const char *source, const pull_bounds *bounds, int layout, arena *a,
                  image_record *ret_image, nb_error *err) {
    CLEANUP(cleanup_fd) int lock = image_import_lock(rt, deadline_left_ms(bounds->until), err);
    if (lock < 0)
        return lock;
    image_record image;
    if (is_here(rt, f->config, a, &image)) {
        image.name = name;
        image.source = source;
        int result = store_name_image(rt->store, &image, err);
        if (result == 0)
            *ret_image = image;
        return result;
    }
    import_order order = {.kind = WIRE_IMAGE_STORED,
                          .source = layout,
                          .tag = f->manifest,
                          .architecture = "",
                          .settings = bounds->settings,
                          .until = bounds->until,
                          .blobs_bytes = count_blobs(layout, f->blobs)};
    return image_import_named(rt, &order, name, source, a, ret_image, err);
}

/* @ret_fetched: what came, also where no image could be made of it. */
static int pull(nb_runtime *rt, const image_name *name, const char *recorded_name, const image_wish *wish, const image_settings *settings,
                arena *a, fetched *ret_fetched, image_record *ret_image, nb_error *err) {
    CLEANUP(cleanup_fd) int layout = open_layout(rt, err);
    if (layout < 0)
        return layout;
    CLEANUP(cleanup_fd) int lock = lock_layout(rt, layout, image_settings_time_ms(settings), err);
    if (lock < 0)
        return lock;
    pull_bounds bounds = {settings, deadline_in(image_settings_time_ms(settings))};
    log_info(&rt->log, "image: pulling '%s' from '%s'", recorded_name, name->registry);
    fetched f = {0};
    int result = fetch(rt, name, wish, &bounds, layout, a, &f, err);
    if (result < 0)
        return result;
    *ret_fetched = f;
    char source[sizeof(IMAGE_SOURCE_REGISTRY) + 256];
    (void) snprintf(source, sizeof(source), IMAGE_SOURCE_REGISTRY "%s", f.manifest);
    const char *kept_name = arena_string(a, recorded_name), *kept_source = arena_string(a, source);
    if (a->failed)
        return nb_fail_oom(err);
    result = import(rt, &f, kept_name, kept_source, &bounds, layout, a, ret_image, err);
    return result < 0 ? result : store_set_image_blobs(rt->store, ret_image->id, f.blobs, err);
}

int image_pull(nb_runtime *rt, const image_name *name, const char *recorded_name, const image_wish *wish, arena *a, image_record *ret_image,
               nb_error *err) {
    fetched f = {0};
    image_settings settings;
    time_t began = time(NULL);
    int result = image_settings_load(&settings, err);
    if (result == 0)
        result = pull(rt, name, recorded_name, wish, &settings, a, &f, ret_image, err);
    (void) nb_fail_within(err, result, "pull the image '%s'", recorded_name);
    /* What a limit refuses is not gone on with by the next pull, as what broke off is. */
    if (result == 0 || result == -NB_E_EXHAUSTED)
        pull_sweep(rt, result == 0 ? (strv){0} : f.blobs);
    else if (result == -NB_E_CANCELLED)
        sweep_unless_busy(rt, &(sweep){.since = began});
    if (result == 0) {
        event_tell_one(rt, EVENT_IMAGE, "pull", ret_image->id, EVENT_NAME, ret_image->name);
        image_make_room(rt, &settings, ret_image->id);
    }
    return result;
}

/* --------------------------------------------------------------------------------------------------------------- logins */

/* Sends a request that is answered by DONE; nothing but the socket goes along. */
static int ask_done(nb_runtime *rt, buf *bytes, nb_error *err) {
    const uint8_t *answer;
    size_t length;
    CLEANUP(cleanup_fd) int layout = open_layout(rt, err);
    return layout < 0 ? layout
                      : image_worker_ask(rt, &embedded_fetch, &layout, 1, bytes, NULL, IMAGE_WORKER_FOR_EVER, &answer, &length, err);
}

int nb_registry_login(nb_runtime *rt, const char *registry, const char *user, const char *password, nb_error *err) {
    if (!rt || !registry || !user || !*user || !password || strchr(user, ':'))
        return nb_fail(err, NB_E_INVALID, 0, "log in: it needs a registry, a password, and a user without a colon");
    CLEANUP(cleanup_free) char *auth_file = auth_path(rt);
    CLEANUP(buf_done) buf env = {0}, bytes;
    buf_init(&bytes, WIRE_READ_BUFFER_BYTES);
    int result = auth_file ? pack_environment(&env, err) : nb_fail_oom(err);
    if (result < 0)
        return result;
    msg_login request = {.registry = wire_str(registry),
                         .user = wire_str(user),
                         .password = wire_str(password),
                         .auth_file = wire_str(auth_file),
                         .env = strv_of(&env)};
    if (!wire_control(&bytes, wire_encode_login, &request))
        return nb_fail_full(err, &bytes, "log in to '%.200s': a text is too long", registry);
    result = ask_done(rt, &bytes, err);
    explicit_bzero(buf_bytes(&bytes), buf_length(&bytes));
    return result;
}

int nb_registry_logout(nb_runtime *rt, const char *registry, nb_error *err) {
    if (!rt || !registry)
        return nb_fail(err, NB_E_INVALID, 0, "log out: an argument is NULL");
    CLEANUP(cleanup_free) char *auth_file = auth_path(rt);
    CLEANUP(buf_done) buf bytes;
    buf_init(&bytes, WIRE_READ_BUFFER_BYTES);
    if (!auth_file)
        return nb_fail_oom(err);
    msg_logout request = {.registry = wire_str(registry), .auth_file = wire_str(auth_file)};
    if (!wire_control(&bytes, wire_encode_logout, &request))
        return nb_fail_full(err, &bytes, "log out of '%.200s': its name is too long", registry);
    return ask_done(rt, &bytes, err);
}
