/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials.c - who we are for a registry: our own logins, Docker's and Podman's files
 *
 *   {"auths": {"ghcr.io": {"auth": "dXNlcjpwYXNz"}, "quay.io/acme": {...}}, "credHelpers": {"gcr.io": "gcloud"}, "credsStore": "secretservice"}
 *
 * containers-auth.json(5) describes the file. Docker writes whole addresses as keys ("https://index.docker.io/v1/").
 */
#include "fetch/credentials.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"
#include "fetch/credential-helper.h"
#include "image/json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES ((size_t) 1 << 20)
#define DOCKER_HOST "docker.io"
#define DOCKER_KEY_HOST "index.docker.io"
/* A host and a repository. */
#define KEY_SIZE (SETTINGS_HOST_SIZE + 256)

static void free_secret(char *secret) {
    if (secret)
        OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
}

void credentials_done(credentials *c) {
    free(c->user);
    free_secret(c->password);
    free_secret(c->identity_token);
    *c = (credentials){0};
}

int credentials_decode(const char *auth, char **ret_user, char **ret_password, nb_error *err) {
    size_t length = strlen(auth);
    CLEANUP(cleanup_free) char *text = calloc(1, length + 4);
    if (!text)
        return nb_fail_oom(err);
    /* EVP_DecodeBlock gives whole groups of three; what padding stands for are zeros, which end the text. */
    int bytes = length <= INT_MAX ? EVP_DecodeBlock((unsigned char *) text, (const unsigned char *) auth, (int) length) : -1;
    char *colon = bytes > 0 ? strchr(text, ':') : NULL;
    if (!colon || colon == text)
        return nb_fail(err, NB_E_INVALID, 0, "understand a login: 'auth' is not base64 of USER:PASSWORD");
    *colon = '\0';
    CLEANUP(cleanup_free) char *user = strdup(text);
    char *password = strdup(colon + 1);
    OPENSSL_cleanse(text, length);
    if (!user || !password) {
        free_secret(password);
        return nb_fail_oom(err);
    }
    *ret_user = take_ptr(&user);
    *ret_password = password;
    return 0;
}

/* A key of the file without what Docker adds: a scheme before it, and "/v1/" or the like behind. */
static void plain_key(const char *key, char ret_key[KEY_SIZE]) {
    const char *host = strstr(key, "://");
    host = host ? host + 3 : key;
    (void) snprintf(ret_key, KEY_SIZE, "%s", host);
    if (host != key)
        ret_key[strcspn(ret_key, "/")] = '\0';
    size_t length = strlen(ret_key);
    while (length > 0 && ret_key[length - 1] == '/')
        ret_key[--length] = '\0';
    if (strcmp(ret_key, DOCKER_KEY_HOST) == 0)
        (void) snprintf(ret_key, KEY_SIZE, DOCKER_HOST);
}

/* How much of HOST/REPOSITORY the key covers, in bytes; 0: it is about something else. */
static size_t key_covers(const char *key, const char *whole) {
    char plain[KEY_SIZE];
    plain_key(key, plain);
    size_t length = strlen(plain);
    return length > 0 && strncmp(plain, whole, length) == 0 && (whole[length] == '\0' || whole[length] == '/') ? length : 0;
}

/* The member whose key covers most of HOST/REPOSITORY; NULL: none does. */
static json_t *best_member(const json_t *object, const char *whole) {
    json_t *best = NULL, *value;
    const char *key;
    size_t covered = 0;
    json_object_foreach((json_t *) object, key, value) {
        size_t now = key_covers(key, whole);
        if (now > covered) {
            covered = now;
            best = value;
        }
    }
    return best;
}

static int read_entry(const json_t *entry, credentials *ret_found, nb_error *err) {
    CLEANUP(credentials_done) credentials c = {0};
    const char *auth, *token, *user, *password;
    int r;
    if ((r = json_text(entry, "auth", &auth, err)) < 0 || (r = json_text(entry, "identitytoken", &token, err)) < 0 ||
        (r = json_text(entry, "username", &user, err)) < 0 || (r = json_text(entry, "password", &password, err)) < 0)
        return r;
    if (auth && *auth && (r = credentials_decode(auth, &c.user, &c.password, err)) < 0)
        return r;
    if (!c.user && user && *user && password) {
        c.user = strdup(user);
        c.password = strdup(password);
        if (!c.user || !c.password)
            return nb_fail_oom(err);
    }
    if (token && *token && !(c.identity_token = strdup(token)))
        return nb_fail_oom(err);
    *ret_found = c;
    c = (credentials){0};
    return 0;
}

/* Reads the file; *ret_root stays NULL where there is none. */
static int read_root(const char *path, json_t **ret_root, nb_error *err) {
    CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length;
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    /* A login that somebody else keeps for himself is no reason to fail. */
    if (fd < 0 && errno == EACCES)
        return 0;
    if (fd < 0 || fd_read_file(fd, FILE_MAX_BYTES, &text, &length) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "read '%s'", path);
    if (length == 0)
        return 0;
    int r = json_user_file(text, length, path, ret_root, err);
    OPENSSL_cleanse(text, length);
    return r;
}

static bool is_somebody(const credentials *c) {
    return c->user || c->identity_token;
}

static int find_in_file(const settings *s, const char *path, const char *whole, const char *host, credentials *ret_found, nb_error *err) {
    CLEANUP(cleanup_json) json_t *root = NULL;
    int r = read_root(path, &root, err);
    if (r < 0 || !root)
        return r;
    const json_t *entry = best_member(json_object_get(root, "auths"), whole);
    if (entry && (r = read_entry(entry, ret_found, err)) < 0)
        return nb_fail_within(err, r, "'%s'", path);
    if (is_somebody(ret_found))
        return 0;
    const char *helper = json_string_value(best_member(json_object_get(root, "credHelpers"), host));
    const char *asked_for = host;
    if (!helper && (helper = json_string_value(json_object_get(root, "credsStore"))) && strcmp(host, DOCKER_HOST) == 0)
        asked_for = "https://" DOCKER_KEY_HOST "/v1/"; /* the name under which docker login gives it to its store */
    return helper ? credential_helper_ask(s, helper, asked_for, ret_found, err) : 0;
}

/* One of the places: @folder, where it is known, and the rest of the path. */
static int find_below(const settings *s, const char *folder, const char *rest, const char *whole, const char *host, credentials *ret_found,
                      nb_error *err) {
    char path[PATH_MAX];
    if (is_somebody(ret_found) || !folder || snprintf(path, sizeof(path), "%s%s", folder, rest) >= (int) sizeof(path))
        return 0;
    return find_in_file(s, path, whole, host, ret_found, err);
}

int credentials_find(const settings *s, const char *own_file, const char *host, const char *repository, credentials *ret_found,
                     nb_error *err) {
    CLEANUP(credentials_done) credentials c = {0};
    const char *home = settings_variable(s, "HOME"), *docker = settings_variable(s, "DOCKER_CONFIG");
    char whole[KEY_SIZE];
    int r;
    (void) snprintf(whole, sizeof(whole), "%s/%s", host, repository);
    if ((r = find_below(s, own_file, "", whole, host, &c, err)) < 0 ||
        (r = find_below(s, settings_variable(s, "REGISTRY_AUTH_FILE"), "", whole, host, &c, err)) < 0 ||
        (r = find_below(s, settings_variable(s, "XDG_RUNTIME_DIR"), "/containers/auth.json", whole, host, &c, err)) < 0 ||
        (r = find_below(s, home, "/.config/containers/auth.json", whole, host, &c, err)) < 0 ||
        (r = docker ? find_below(s, docker, "/config.json", whole, host, &c, err)
                    : find_below(s, home, "/.docker/config.json", whole, host, &c, err)) < 0)
        return r;
    *ret_found = c;
    c = (credentials){0};
    return 0;
}

/* ------------------------------------------------------------------------------------------------- our own file of logins */

static int write_root(const char *path, const json_t *root, nb_error *err) {
    CLEANUP(cleanup_free) char *text = json_to_text(root, JSON_INDENT(2) | JSON_SORT_KEYS), *copy = strdup(path);
    if (!text || !copy)
        return nb_fail_oom(err);
    char *slash = strrchr(copy, '/');
    if (!slash)
        return nb_fail(err, NB_E_INVALID, 0, "write '%s': it is no absolute path", path);
    *slash = '\0';
    CLEANUP(cleanup_fd) int folder = open(*copy ? copy : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = folder < 0 ? -1 : file_write_atomic(folder, slash + 1, text, strlen(text), true);
    int error = errno;
    OPENSSL_cleanse(text, strlen(text));
    return r < 0 ? nb_fail(err, nb_code_of_errno(error), error, "write '%s'", path) : 0;
}

/* USER:PASSWORD in base64; a secret, the caller's. */
static char *encode(const char *user, const char *password) {
    char *plain;
    int length = asprintf(&plain, "%s:%s", user, password);
    if (length < 0)
        return NULL;
    char *text = malloc(4 * ((size_t) length + 2) / 3 + 4);
    if (text)
        (void) EVP_EncodeBlock((unsigned char *) text, (const unsigned char *) plain, length);
    free_secret(plain);
    return text;
}

int credentials_store(const char *file, const char *host, const char *user, const char *password, nb_error *err) {
    CLEANUP(cleanup_json) json_t *root = NULL;
    int r = read_root(file, &root, err);
    if (r < 0)
        return r;
    if (!root)
        root = json_object();
    json_t *auths = json_object_get(root, "auths");
    if (root && !json_is_object(auths)) {
        auths = json_object();
        if (json_object_set_new(root, "auths", auths) < 0)
            return nb_fail_oom(err);
    }
    char *auth = encode(user, password);
    json_t *entry = auth ? json_pack("{s:s}", "auth", auth) : NULL;
    free_secret(auth);
    if (!entry || json_object_set_new(auths, host, entry) < 0)
        return nb_fail_oom(err);
    return write_root(file, root, err);
}

int credentials_remove(const char *file, const char *host, nb_error *err) {
    CLEANUP(cleanup_json) json_t *root = NULL;
    int r = read_root(file, &root, err);
    if (r < 0)
        return r;
    if (json_object_del(json_object_get(root, "auths"), host) < 0)
        return nb_fail(err, NB_E_NOT_FOUND, 0, "log out of '%s': there is no login", host);
    return write_root(file, root, err);
}
