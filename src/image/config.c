/* SPDX-License-Identifier: Apache-2.0
 *
 * config.c - how an image wants to be run (image-spec, config.md)
 */
#include "image/config.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/size.h"
#include "image/json.h"
#include "image/limits.h"
#include "wire/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PORT_DIGITS_MAX 5u

void image_config_done(image_config *config) {
    free(config->os);
    free(config->architecture);
    free(config->cwd);
    free(config->user);
    free(config->stop_signal);
    free(config->diff_ids);
    buf_done(&config->entrypoint);
    buf_done(&config->command);
    buf_done(&config->env);
    buf_done(&config->labels);
    buf_done(&config->exposed_ports);
    buf_done(&config->volumes);
    buf_done(&config->shell);
    buf_done(&config->health.test);
    *config = (image_config){0};
}

void image_config_init(image_config *config) {
    *config = (image_config){0};
    buf_init(&config->entrypoint, WIRE_ARGV_MAX_BYTES);
    buf_init(&config->command, WIRE_ARGV_MAX_BYTES);
    buf_init(&config->env, WIRE_ENV_MAX_BYTES);
    buf_init(&config->labels, WIRE_ENV_MAX_BYTES);
    buf_init(&config->exposed_ports, WIRE_IMAGE_LIST_MAX_BYTES);
    buf_init(&config->volumes, WIRE_IMAGE_LIST_MAX_BYTES);
    buf_init(&config->shell, WIRE_IMAGE_LIST_MAX_BYTES);
    buf_init(&config->health.test, WIRE_IMAGE_LIST_MAX_BYTES);
}

static int too_long(const char *key, nb_error *err) {
    return nb_fail(err, NB_E_IMAGE, 0, "read the image's configuration: '%s' is too long", key);
}

/* Why @length bytes more were not taken into the list. */
static int no_room(const buf *list, size_t length, const char *key, nb_error *err) {
    return length > buf_room(list) ? too_long(key, err) : nb_fail_oom(err);
}

/* A string; absent is the empty one. */
static int read_text(const json_t *object, const char *key, size_t max_bytes, char **ret_text, nb_error *err) {
    const char *text;
    int r = json_text(object, key, &text, err);
    if (r < 0)
        return r;
    if (text && strlen(text) > max_bytes)
        return too_long(key, err);
    *ret_text = strdup(text ? text : "");
    return *ret_text ? 0 : nb_fail_oom(err);
}

static int read_list(const json_t *object, const char *key, buf *list, nb_error *err) {
    json_t *array, *item;
    size_t i;
    int r = json_member(object, key, JSON_ARRAY, &array, err);
    if (r < 0)
        return r;
    json_array_foreach(array, i, item) {
        if (!json_is_string(item))
            return nb_fail(err, NB_E_IMAGE, 0, "read the image's configuration: an item of '%s' is no string", key);
        if (!strv_add(list, json_string_value(item)))
            return no_room(list, json_string_length(item) + 1, key, err);
    }
    return 0;
}

static int read_labels(const json_t *object, buf *list, nb_error *err) {
    json_t *labels, *value;
    const char *key;
    int r = json_member(object, "Labels", JSON_OBJECT, &labels, err);
    if (r < 0)
        return r;
    json_object_foreach(labels, key, value) {
        if (!json_is_string(value))
            return nb_fail(err, NB_E_IMAGE, 0, "read the image's configuration: the label '%.100s' is no string", key);
        size_t key_length = strlen(key), value_length = json_string_length(value);
        uint8_t *at = buf_reserve(list, key_length + 1 + value_length + 1);
        if (!at)
            return no_room(list, key_length + 1 + value_length + 1, "Labels", err);
        (void) snprintf((char *) at, key_length + 1 + value_length + 1, "%s=%s", key, json_string_value(value));
        buf_added(list, key_length + 1 + value_length + 1);
    }
    return 0;
}

/* The keys of an object that stands for a set: its values are empty objects, or null. */
static int read_set(const json_t *object, const char *key, int (*add)(const char *item, buf *list, nb_error *err), buf *list,
                    nb_error *err) {
    json_t *set, *value;
    const char *item;
    int r = json_member(object, key, JSON_OBJECT, &set, err);
    if (r < 0)
        return r;
    json_object_foreach(set, item, value) {
        if (!json_is_null(value) && !(json_is_object(value) && json_object_size(value) == 0))
            return nb_fail(err, NB_E_IMAGE, 0, "read the image's configuration: '%.100s' of '%s' is no empty object", item, key);
        if ((r = add(item, list, err)) < 0)
            return nb_fail_within(err, r, "read the image's configuration: '%s'", key);
    }
    return 0;
}

/* A port at the beginning of @text. @ret_rest: what follows it. */
static bool read_port(const char *text, unsigned *ret_port, const char **ret_rest) {
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > PORT_DIGITS_MAX)
        return false;
    unsigned port = 0;
    for (size_t i = 0; i < digits; i++)
        port = port * 10 + (unsigned) (text[i] - '0');
    *ret_port = port;
    *ret_rest = text + digits;
    return port > 0 && port <= UINT16_MAX;
}

int image_config_add_port(const char *item, buf *list, nb_error *err) {
    static const char *const protocols[] = {"/tcp", "/udp", "/sctp"};
    char text[sizeof("65535-65535/sctp")];
    const char *rest = item, *protocol = NULL;
    unsigned first, last;
    bool good = read_port(item, &first, &rest);
    last = first;
    if (good && *rest == '-')
        good = read_port(rest + 1, &last, &rest) && first <= last;
    for (size_t i = 0; good && i < ARRAY_LENGTH(protocols); i++) {
        if (strcasecmp(rest, protocols[i]) == 0 || (!*rest && i == 0))
            protocol = protocols[i];
    }
    if (!protocol)
        return nb_fail(err, NB_E_IMAGE, 0, "exposed port '%.100s': it is no PORT[-LAST][/tcp|udp|sctp]", item);
    if (first == last)
        (void) snprintf(text, sizeof(text), "%u%s", first, protocol);
    else
        (void) snprintf(text, sizeof(text), "%u-%u%s", first, last, protocol);
    return strv_add(list, text) ? 0 : no_room(list, strlen(text) + 1, "ExposedPorts", err);
}

int image_config_add_volume(const char *item, buf *list, nb_error *err) {
    if (item[0] != '/' || strlen(item) > WIRE_PATH_MAX_BYTES)
        return nb_fail(err, NB_E_IMAGE, 0, "volume '%.100s': it is no absolute path of at most %u bytes", item, WIRE_PATH_MAX_BYTES);
    return strv_add(list, item) ? 0 : no_room(list, strlen(item) + 1, "Volumes", err);
}

/* A whole number from 0 to @max; absent is 0. */
static int read_count(const json_t *object, const char *key, uint64_t max, uint64_t *ret_count, nb_error *err) {
    json_t *number;
    int r = json_member(object, key, JSON_INTEGER, &number, err);
    if (r < 0)
        return r;
    json_int_t count = json_integer_value(number); /* 0 where there is none */
    if (count < 0 || (uint64_t) count > max)
        return nb_fail(err, NB_E_IMAGE, 0, "read the image's configuration: '%s' is %lld, not 0 to %llu", key, (long long) count,
                       (unsigned long long) max);
    *ret_count = (uint64_t) count;
    return 0;
}

/* Whether the first word says how the rest is meant, and the rest is there. */
static bool health_test_is_good(strv test) {
    const char *word = strv_next(test, NULL);
    size_t count = strv_count(test);
    if (strcmp(word, "NONE") == 0)
        return count == 1;
    return (strcmp(word, "CMD") == 0 || strcmp(word, "CMD-SHELL") == 0) && count > 1;
}

static int read_health(const json_t *process, image_health *health, nb_error *err) {
    json_t *check;
    uint64_t retries = 0;
    int r = json_member(process, "Healthcheck", JSON_OBJECT, &check, err);
    if (r < 0 || !check)
        return r;
    if ((r = read_list(check, "Test", &health->test, err)) < 0 ||
        (r = read_count(check, "Interval", INT64_MAX, &health->interval_ns, err)) < 0 ||
        (r = read_count(check, "Timeout", INT64_MAX, &health->timeout_ns, err)) < 0 ||
        (r = read_count(check, "StartPeriod", INT64_MAX, &health->start_period_ns, err)) < 0 ||
        (r = read_count(check, "Retries", INT32_MAX, &retries, err)) < 0)
        return r;
    health->retries = (uint32_t) retries;
    /* Without a test it is the base image's that counts, and an image that is whole has none under it. */
    if (buf_length(&health->test) == 0)
        *health = (image_health){.test = health->test};
    else if (!health_test_is_good(strv_of(&health->test)))
        return nb_fail(err, NB_E_IMAGE, 0,
                       "read the image's configuration: 'Test' of 'Healthcheck' is neither NONE nor CMD or CMD-SHELL with a command");
    return 0;
}

static int read_diff_ids(const json_t *root, image_config *config, nb_error *err) {
    json_t *rootfs, *ids, *id;
    size_t i;
    int r = json_member(root, "rootfs", JSON_OBJECT, &rootfs, err);
    if (r == 0 && !rootfs)
        r = nb_fail(err, NB_E_IMAGE, 0, "read the image's configuration: it has no 'rootfs', so it is not that of a container image");
    if (r == 0)
        r = json_member(rootfs, "diff_ids", JSON_ARRAY, &ids, err);
    if (r < 0)
        return r;
    size_t count = json_array_size(ids);
    if (count > IMAGE_LAYERS_MAX)
        return nb_fail(err, NB_E_IMAGE, 0, "read the image's configuration: it has %zu layers, more than %u", count, IMAGE_LAYERS_MAX);
    config->diff_ids = calloc(count + 1, sizeof(*config->diff_ids));
    if (!config->diff_ids)
        return nb_fail_oom(err);
    json_array_foreach(ids, i, id) {
        if (!json_is_string(id))
            return nb_fail(err, NB_E_IMAGE, 0, "read the image's configuration: an item of 'diff_ids' is no string");
        r = digest_parse(json_string_value(id), &config->diff_ids[i], err);
        if (r < 0)
            return r;
    }
    config->diff_id_count = count;
    return 0;
}

static int read_process(const json_t *root, image_config *config, nb_error *err) {
    json_t *process;
    CLEANUP(cleanup_json) json_t *none = json_object();
    int r = json_member(root, "config", JSON_OBJECT, &process, err);
    if (r < 0)
        return r;
    if (!none)
        return nb_fail_oom(err);
    if (!process)
        process = none;
    if ((r = read_list(process, "Entrypoint", &config->entrypoint, err)) < 0 ||
        (r = read_list(process, "Cmd", &config->command, err)) < 0 || (r = read_list(process, "Env", &config->env, err)) < 0 ||
        (r = read_labels(process, &config->labels, err)) < 0 ||
        (r = read_text(process, "WorkingDir", WIRE_PATH_MAX_BYTES, &config->cwd, err)) < 0 ||
        (r = read_text(process, "User", WIRE_NAME_MAX_BYTES, &config->user, err)) < 0 ||
        (r = read_set(process, "ExposedPorts", image_config_add_port, &config->exposed_ports, err)) < 0 ||
        (r = read_set(process, "Volumes", image_config_add_volume, &config->volumes, err)) < 0 ||
        (r = read_list(process, "Shell", &config->shell, err)) < 0 || (r = read_health(process, &config->health, err)) < 0)
        return r;
    return read_text(process, "StopSignal", WIRE_NAME_MAX_BYTES, &config->stop_signal, err);
}

int image_config_parse(const char *text, size_t length, image_config *ret_config, nb_error *err) {
    CLEANUP(cleanup_json) json_t *root = NULL;
    CLEANUP(image_config_done) image_config config;
    image_config_init(&config);
    int r = json_document(text, length, "the image's configuration", &root, err);
    if (r < 0 || (r = read_text(root, "os", WIRE_NAME_MAX_BYTES, &config.os, err)) < 0 ||
        (r = read_text(root, "architecture", WIRE_NAME_MAX_BYTES, &config.architecture, err)) < 0 ||
        (r = read_diff_ids(root, &config, err)) < 0 || (r = read_process(root, &config, err)) < 0)
        return r;
    *ret_config = config;
    config = (image_config){0};
    return 0;
}
