/* SPDX-License-Identifier: Apache-2.0
 *
 * worker.c - nestbox-fetch: talks to registries, and ends
 *
 * Theory of operation
 *   This program stands between the network and the process of whoever wants an image. It takes blobs as they come and verifies them; what
 *   is in a layer it never looks at: that is nestbox-image's part, which has no use for a network. It is born with two descriptors
 *   (wire/limits.h): the owner's socket, and the folder of blobs. It opens the user's settings and logins by path, and writes a login
 *   where it is told to.
 *
 *   FETCH in; PROGRESS, then FETCHED or FAILED out. Or LOGIN or LOGOUT in, DONE or FAILED out (owner.h).
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/size.h"
#include "fetch/credentials.h"
#include "fetch/fetch.h"
#include "image/owner.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Documents of some MiB each, and libraries that reserve more than they use. */
#define MEMORY_MAX_BYTES GIB(1)
#define DESCRIPTORS_MAX 256u

/* Ends with the owner; and tells it that we are alive where nothing else does. */
static void on_turn(void *user) {
    owner *o = user;
    if (owner_is_left_waiting(o))
        owner_send_progress(o, "waiting for the registry", "", 0, 0);
    else
        (void) owner_wait(0, -1);
}

static bool on_is_due(void *user) {
    return owner_progress_is_due(user);
}

static void on_tell(void *user, const char *what, const digest *blob, uint64_t done_bytes, uint64_t total_bytes) {
    char item[DIGEST_TEXT_SIZE];
    digest_format(blob, item);
    owner_send_progress(user, what, item, done_bytes, total_bytes);
}

/* libcurl finds its proxies in the environment, and ours is empty. */
static void take_proxies(strv env) {
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        const char *value = strv_env_get(env, names[i]);
        if (value)
            (void) setenv(names[i], value, true);
    }
}

static void answer_fetched(owner *o, const fetch_result *result) {
    char manifest[DIGEST_TEXT_SIZE], config[DIGEST_TEXT_SIZE];
    digest_format(&result->manifest, manifest);
    digest_format(&result->config, config);
    msg_fetched message = {.registry = wire_str(result->registry),
                           .manifest = wire_str(manifest),
                           .config = wire_str(config),
                           .blobs = strv_of(&result->blobs)};
    if (wire_control(&o->out, wire_encode_fetched, &message))
        owner_send(o);
}

/* The strings of a request, as C has them. */
typedef struct texts {
    char *registry, *repository, *reference, *architecture, *variant, *auth_file, *user, *password;
} texts;

static void texts_done(texts *t) {
    free(t->registry);
    free(t->repository);
    free(t->reference);
    free(t->architecture);
    free(t->variant);
    free(t->auth_file);
    free(t->user);
    free(t->password);
}

static int fetch(owner *o, const msg_fetch *message, nb_error *err) {
    CLEANUP(texts_done)
    texts t = {.registry = wire_str_copy(message->registry),
               .repository = wire_str_copy(message->repository),
               .reference = wire_str_copy(message->reference),
               .architecture = wire_str_copy(message->architecture),
               .variant = wire_str_copy(message->variant),
               .auth_file = wire_str_copy(message->auth_file)};
    CLEANUP(settings_done) settings s = {0};
    http_watch watch = {.fd = WIRE_WORKER_SOCKET_FD, .turn = on_turn, .user = o};
    if (!t.registry || !t.repository || !t.reference || !t.architecture || !t.variant || !t.auth_file)
        return nb_fail_oom(err);
    take_proxies(message->env);
    image_limits wanted = {
        .max_layers = message->max_layers, .max_bytes = message->max_bytes, .max_manifest_bytes = message->max_manifest_bytes};
    image_limits limits;
    int r = image_limits_take(&wanted, &limits, err);
    if (r < 0 || (r = settings_load(message->env, &s, err)) < 0)
        return r;
    download_watch progress = {.is_due = on_is_due, .tell = on_tell, .user = o};
    fetch_request request = {.settings = &s,
                             .auth_file = t.auth_file,
                             .registry = t.registry,
                             .repository = t.repository,
                             .reference = t.reference,
                             .unqualified = message->fetch_flags & WIRE_FETCH_UNQUALIFIED,
                             .platform = {t.architecture, t.variant},
                             .limits = limits,
                             .store_max_bytes = message->store_max_bytes,
                             .folder = WIRE_WORKER_SOURCE_FD,
                             .watch = &watch,
                             .progress = &progress};
    fetch_result result;
    r = fetch_image(&request, &result, err);
    if (r < 0)
        return r;
    answer_fetched(o, &result);
    buf_done(&result.blobs);
    return 0;
}

static void answer_done(owner *o) {
    if (wire_control(&o->out, wire_encode_done, &(msg_done){0}))
        owner_send(o);
}

static int log_in(owner *o, const msg_login *message, nb_error *err) {
    CLEANUP(texts_done)
    texts t = {.registry = wire_str_copy(message->registry),
               .user = wire_str_copy(message->user),
               .password = wire_str_copy(message->password),
               .auth_file = wire_str_copy(message->auth_file)};
    CLEANUP(settings_done) settings s = {0};
    http_watch watch = {.fd = WIRE_WORKER_SOCKET_FD, .turn = on_turn, .user = o};
    CLEANUP(registry_done) registry there = {0};
    int r;
    if (!t.registry || !t.user || !t.password || !t.auth_file)
        return nb_fail_oom(err);
    take_proxies(message->env);
    if ((r = settings_load(message->env, &s, err)) < 0 || (r = registry_open(&s, t.auth_file, t.registry, "", &watch, &there, err)) < 0 ||
        (r = registry_check_login(&there, t.user, t.password, err)) < 0 ||
        (r = credentials_store(t.auth_file, t.registry, t.user, t.password, err)) < 0)
        return r;
    answer_done(o);
    return 0;
}

static int log_out(owner *o, const msg_logout *message, nb_error *err) {
    CLEANUP(texts_done) texts t = {.registry = wire_str_copy(message->registry), .auth_file = wire_str_copy(message->auth_file)};
    if (!t.registry || !t.auth_file)
        return nb_fail_oom(err);
    int r = credentials_remove(t.auth_file, t.registry, err);
    if (r == 0)
        answer_done(o);
    return r;
}

/* False: the request is not what its id says. */
static bool serve(owner *o, const uint8_t *bytes, size_t length) {
    msg_fetch wanted;
    msg_login login;
    msg_logout logout;
    nb_error err = {0};
    int r;
    if (wire_decode_fetch(bytes, length, &wanted) == 0)
        r = fetch(o, &wanted, &err);
    else if (wire_decode_login(bytes, length, &login) == 0)
        r = log_in(o, &login, &err);
    else if (wire_decode_logout(bytes, length, &logout) == 0)
        r = log_out(o, &logout, &err);
    else
        return false;
    if (r < 0)
        owner_send_failed(o, &err);
    return true;
}

int main(void) {
    owner o;
    const uint8_t *message;
    size_t length;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void) sigaction(SIGPIPE, &ignore, NULL);
    if (!owner_drop_rights(MEMORY_MAX_BYTES, DESCRIPTORS_MAX))
        return EXIT_FAILURE;
    owner_init(&o);
    bool good = owner_receive_request(&o, &message, &length) && serve(&o, message, length);
    owner_done(&o);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
