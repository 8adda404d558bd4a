/* SPDX-License-Identifier: Apache-2.0
 *
 * settings.c - what the host's user says of registries: registries.json, and a few variables
 *
 * Everything is checked when it is read, so that a slip of the pen is told at once and not when that registry is needed.
 */
#include "fetch/settings.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/size.h"
#include "image/json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYSTEM_FILE "/etc/nestbox/registries.json"
#define FILE_MAX_BYTES ((size_t) 1 << 20)
#define TIMEOUT_DEFAULT_S 60
#define TIMEOUT_MAX_S 3600
#define DEFAULT_REGISTRY "docker.io"

void settings_done(settings *s) {
    json_decref(s->root);
    *s = (settings){0};
}

const char *settings_variable(const settings *s, const char *name) {
    const char *value = strv_env_get(s->env, name);
    return value && *value ? value : NULL;
}

/* Whether "HOST[:PORT]" can stand in a URL as it is. */
static bool host_is_good(const char *host) {
    size_t length = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]");
    return length > 0 && length < SETTINGS_HOST_SIZE && host[length] == '\0' && host[0] != '-';
}

static int wrong(const char *path, const char *key, const char *want, nb_error *err) {
    return nb_fail(err, NB_E_INVALID, 0, "read '%s': '%s' must be %s", path, key, want);
}

static int check_hosts(const json_t *list, const char *path, const char *key, nb_error *err) {
    size_t i;
    json_t *host;
    if (list && !json_is_array(list))
        return wrong(path, key, "a list of hosts", err);
    json_array_foreach(list, i, host) {
        if (!json_is_string(host) || !host_is_good(json_string_value(host)))
            return wrong(path, key, "a list of hosts", err);
    }
    return 0;
}

static int check_registry(const char *host, const json_t *registry, const char *path, nb_error *err) {
    const char *key;
    json_t *value;
    if (!host_is_good(host) || !json_is_object(registry))
        return nb_fail(err, NB_E_INVALID, 0, "read '%s': the registry '%.100s' must be HOST[:PORT] with an object", path, host);
    json_object_foreach((json_t *) registry, key, value) {
        bool is_flag = strcmp(key, "plain_http") == 0 || strcmp(key, "skip_verify") == 0;
        if (is_flag && !json_is_boolean(value))
            return wrong(path, key, "true or false", err);
        if (strcmp(key, "ca_file") == 0 && !(json_is_string(value) && json_string_value(value)[0] == '/'))
            return wrong(path, key, "an absolute path", err);
        if (strcmp(key, "mirrors") == 0 && check_hosts(value, path, key, err) < 0)
            return -NB_E_INVALID;
        if (!is_flag && strcmp(key, "ca_file") != 0 && strcmp(key, "mirrors") != 0)
            return nb_fail(err, NB_E_INVALID, 0, "read '%s': there is no '%.100s' of a registry", path, key);
    }
    return 0;
}

static int check_file(const json_t *root, const char *path, nb_error *err) {
    const char *key, *host;
    json_t *value, *registry;
    if (!json_is_object(root))
        return nb_fail(err, NB_E_INVALID, 0, "read '%s': it must be an object", path);
    json_object_foreach((json_t *) root, key, value) {
        int r = 0;
        if (strcmp(key, "unqualified_search") == 0) {
            r = check_hosts(value, path, key, err);
        } else if (strcmp(key, "timeout_seconds") == 0) {
            if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > TIMEOUT_MAX_S)
                return wrong(path, key, "1 to 3600", err);
        } else if (strcmp(key, "registries") == 0) {
            if (!json_is_object(value))
                return wrong(path, key, "an object", err);
            json_object_foreach(value, host, registry) {
                if ((r = check_registry(host, registry, path, err)) < 0)
                    return r;
            }
        } else {
            return nb_fail(err, NB_E_INVALID, 0, "read '%s': there is no setting '%.100s'", path, key);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

/* 1: read; 0: there is no such file. */
static int read_file(const char *path, json_t **ret_root, nb_error *err) {
    CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    CLEANUP(cleanup_free) char *text = NULL;
    CLEANUP(cleanup_json) json_t *root = NULL;
    size_t length;
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0 || fd_read_file(fd, FILE_MAX_BYTES, &text, &length) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "read '%s'", path);
    int r = json_user_file(text, length, path, &root, err);
    if (r < 0 || (r = check_file(root, path, err)) < 0)
        return r;
    *ret_root = take_ptr(&root);
    return 1;
}

/* Reads one of the places: "FOLDER/REST", where FOLDER is known. */
static int read_below(const char *folder, const char *rest, json_t **ret_root, nb_error *err) {
    char path[PATH_MAX];
    if (!folder || snprintf(path, sizeof(path), "%s%s", folder, rest) >= (int) sizeof(path))
        return 0;
    return read_file(path, ret_root, err);
}

int settings_load(strv env, settings *ret_settings, nb_error *err) {
    CLEANUP(settings_done) settings s = {.env = env};
    const char *given = settings_variable(&s, "NESTBOX_REGISTRIES");
    int r;
    if (given) {
        r = read_file(given, &s.root, err);
        if (r == 0)
            return nb_fail(err, NB_E_NOT_FOUND, ENOENT, "read '%s' ($NESTBOX_REGISTRIES)", given);
    } else {
        r = read_below(settings_variable(&s, "XDG_CONFIG_HOME"), "/nestbox/registries.json", &s.root, err);
        if (r == 0)
            r = read_below(settings_variable(&s, "HOME"), "/.config/nestbox/registries.json", &s.root, err);
        if (r == 0)
            r = read_file(SYSTEM_FILE, &s.root, err);
        if (r == 0)
            s.root = json_object();
    }
    if (r < 0)
        return r;
    if (!s.root)
        return nb_fail_oom(err);
    const json_t *timeout = json_object_get(s.root, "timeout_seconds");
    s.timeout_ms = 1000u * (timeout ? (uint32_t) json_integer_value(timeout) : TIMEOUT_DEFAULT_S);
    *ret_settings = s;
    s.root = NULL;
    return 0;
}

static const json_t *registry_of(const settings *s, const char *host) {
    return json_object_get(json_object_get(s->root, "registries"), host);
}

int settings_endpoint(const settings *s, const char *host, endpoint *ret_endpoint, nb_error *err) {
    const json_t *registry = registry_of(s, host);
    if (!host_is_good(host))
        return nb_fail(err, NB_E_INVALID, 0, "use the registry '%.200s': that is no HOST[:PORT]", host);
    endpoint e = {
        .plain_http = json_is_true(json_object_get(registry, "plain_http")),
        .skip_verify = json_is_true(json_object_get(registry, "skip_verify")),
        .ca_file = json_string_value(json_object_get(registry, "ca_file")),
    };
    (void) snprintf(e.host, sizeof(e.host), "%s", host);
    *ret_endpoint = e;
    return 0;
}

const char *settings_mirror(const settings *s, const char *host, size_t at) {
    return json_string_value(json_array_get(json_object_get(registry_of(s, host), "mirrors"), at));
}

const char *settings_search(const settings *s, size_t at) {
    const json_t *list = json_object_get(s->root, "unqualified_search");
    if (list)
        return json_string_value(json_array_get(list, at));
    return at == 0 ? DEFAULT_REGISTRY : NULL;
}
