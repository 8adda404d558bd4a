/* SPDX-License-Identifier: Apache-2.0
 *
 * test-fetch.c - an image from a registry while memory runs out
 *
 * The registry is a child of this program with three answers, so that what it allocates is its own affair.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fail.h"
#include "test-folder.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/file.h"
#include "fetch/credentials.h"
#include "fetch/fetch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LAYER "what a layer is does not matter here"
#define CONFIG "{}"

typedef struct fake {
    pid_t pid;
    char host[32], manifest[1024], layer_digest[DIGEST_TEXT_SIZE], config_digest[DIGEST_TEXT_SIZE];
} fake;

static void name(const char *text, char into[DIGEST_TEXT_SIZE]) {
    digest d;
    assert_true(digest_of(text, strlen(text), &d));
    digest_format(&d, into);
}

static const char *body_of(const fake *r, const char *request, const char **ret_type) {
    *ret_type = "application/octet-stream";
    if (strstr(request, "/manifests/")) {
        *ret_type = "application/vnd.oci.image.manifest.v1+json";
        return r->manifest;
    }
    return strstr(request, r->layer_digest) ? LAYER : strstr(request, r->config_digest) ? CONFIG : NULL;
}

/* One request a connection. Ends with its parent. */
static _Noreturn void serve(const fake *r, int listener) {
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        char request[4096], answer[2048];
        size_t used = 0;
        int client = accept(listener, NULL, NULL);
        while (client >= 0 && used < sizeof(request) - 1) {
            ssize_t n = read(client, request + used, sizeof(request) - 1 - used);
            if (n <= 0)
                break;
            used += (size_t) n;
            request[used] = '\0';
            if (strstr(request, "\r\n\r\n"))
                break;
        }
        request[used] = '\0';
        const char *type, *body = body_of(r, request, &type);
        int length =
            snprintf(answer, sizeof(answer), "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                     body ? "200 OK" : "404 Not Found", type, body ? strlen(body) : 0, body ? body : "");
        (void) fd_write_all(client, answer, (size_t) length);
        (void) fd_close(client);
    }
}

static int set_up(void **state) {
    static fake r;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *) &address, length) | listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *) &address, &length), 0);
    (void) snprintf(r.host, sizeof(r.host), "127.0.0.1:%u", ntohs(address.sin_port));
    name(LAYER, r.layer_digest);
    name(CONFIG, r.config_digest);
    (void) snprintf(
        r.manifest, sizeof(r.manifest),
        "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%zu},"
        "\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\",\"size\":%zu}]}",
        r.config_digest, strlen(CONFIG), r.layer_digest, strlen(LAYER));
    r.pid = fork();
    assert_true(r.pid >= 0);
    if (r.pid == 0)
        serve(&r, listener);
    (void) fd_close(listener);
    *state = &r;
    return 0;
}

static int tear_down(void **state) {
    const fake *r = *state;
    (void) kill(r->pid, SIGKILL);
    assert_int_equal(waitpid(r->pid, NULL, 0), r->pid);
    return 0;
}

static bool always(void *user) {
    return true;
}

static void hear(void *user, const char *what, const digest *blob, uint64_t done_bytes, uint64_t total_bytes) {
    assert_true(done_bytes <= total_bytes);
}

static void turn(void *user) {
}

/* As the worker does it: settings, then the image. @folder: an empty one. */
static int fetch(const fake *r, const test_folder *folder, fetch_result *ret_result, nb_error *err) {
    char settings_path[128], env[256], auth_path[128];
    (void) snprintf(settings_path, sizeof(settings_path), "%s/registries.json", folder->path);
    (void) snprintf(auth_path, sizeof(auth_path), "%s/auth.json", folder->path);
    int length = snprintf(env, sizeof(env), "NESTBOX_REGISTRIES=%s", settings_path);
    static const http_watch nobody = {.fd = -1, .turn = turn};
    static const download_watch told = {.is_due = always, .tell = hear};
    CLEANUP(settings_done) settings s = {0};
    int result = settings_load((strv){env, (size_t) length + 1}, &s, err);
    if (result < 0)
        return result;
    fetch_request request = {
        .settings = &s,
        .auth_file = auth_path,
        .registry = r->host,
        .repository = "team/app",
        .reference = "1",
        .platform = {"amd64", ""},
        .limits = {.max_layers = 8, .max_bytes = 1 << 20, .max_manifest_bytes = 1 << 16, .max_entries = 1, .max_ratio = 1},
        .folder = folder->fd,
        .watch = &nobody,
        .progress = &told,
    };
    return fetch_image(&request, ret_result, err);
}

static void memory_may_run_out_at_any_allocation(void **state) {
    const fake *r = *state;
    unsigned n = 0;
    for (bool fired = true; fired; n++) {
        CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
        char text[256];
        fetch_result result = {0};
        nb_error err = {0};
        int length = snprintf(text, sizeof(text), "{\"registries\":{\"%s\":{\"plain_http\":true}}}", r->host);
        test_folder_write(&folder, "registries.json", text, (size_t) length);
        length = snprintf(text, sizeof(text), "{\"auths\":{\"%s\":{\"auth\":\"dXNlcjpzZWNyZXQ=\"}}}", r->host);
        test_folder_write(&folder, "auth.json", text, (size_t) length);
        fail_alloc_at(n);
        int code = fetch(r, &folder, &result, &err);
        fired = fail_alloc_fired();
        if (code != (fired ? -NB_E_NO_MEMORY : 0))
            fail_msg("allocation %u: %d: %s", n, code, err.message);
        if (!fired) {
            char path[DIGEST_TEXT_SIZE + 32];
            (void) snprintf(path, sizeof(path), "blobs/sha256/%s", r->layer_digest + strlen("sha256:"));
            CLEANUP(cleanup_free) char *blob = NULL;
            size_t size;
            assert_int_equal(file_read(folder.fd, path, 1024, &blob, &size), 0);
            assert_string_equal(blob, LAYER);
            buf_done(&result.blobs);
        }
    }
    if (n < 50)
        fail_msg("only %u allocations", n);
}

static void a_login_is_stored_whole_or_not_at_all(void **state) {
    CLEANUP(test_folder_remove) test_folder folder = test_folder_make();
    char path[128];
    nb_error err;
    (void) snprintf(path, sizeof(path), "%s/auth.json", folder.path);
    assert_int_equal(credentials_store(path, "one.example", "a", "b", &err), 0);
    bool fired = true;
    for (unsigned n = 0; fired; n++) {
        static const settings s = {.timeout_ms = 1000};
        fail_alloc_at(n);
        int code = credentials_store(path, "two.example", "c", "d", &err);
        fired = fail_alloc_fired();
        if (code != (fired ? -NB_E_NO_MEMORY : 0))
            fail_msg("allocation %u: %d: %s", n, code, err.message);
        credentials found;
        assert_int_equal(credentials_find(&s, path, "one.example", "", &found, &err), 0);
        assert_string_equal(found.user, "a");
        credentials_done(&found);
        assert_int_equal(credentials_find(&s, path, "two.example", "", &found, &err), 0);
        assert_true(fired ? !found.user : strcmp(found.password, "d") == 0);
        credentials_done(&found);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_may_run_out_at_any_allocation),
        cmocka_unit_test(a_login_is_stored_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
