/* SPDX-License-Identifier: Apache-2.0
 *
 * config-text.c - an image's configuration as text (image-spec, config.md), and as a message
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/size.h"
#include "base/utf8.h"
#include "image/config.h"
#include "image/json.h"
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------------------------------------------------- message */

bool image_config_encode(const image_config *config, buf *to) {
    msg_image_config message = {
        .architecture = wire_str(config->architecture),
        .os = wire_str(config->os),
        .entrypoint = strv_of(&config->entrypoint),
        .command = strv_of(&config->command),
        .env = strv_of(&config->env),
        .labels = strv_of(&config->labels),
        .cwd = wire_str(config->cwd),
        .user = wire_str(config->user),
        .stop_signal = wire_str(config->stop_signal),
        .exposed_ports = strv_of(&config->exposed_ports),
        .volumes = strv_of(&config->volumes),
        .shell = strv_of(&config->shell),
        .health_test = strv_of(&config->health.test),
        .health_interval_ns = config->health.interval_ns,
        .health_timeout_ns = config->health.timeout_ns,
        .health_start_period_ns = config->health.start_period_ns,
        .health_retries = config->health.retries,
    };
    return wire_encode_image_config(to, &message);
}

static bool take_list(buf *list, strv items) {
    return buf_append(list, items.at, items.bytes);
}

static bool take(const msg_image_config *m, image_config *config) {
    config->architecture = wire_str_copy(m->architecture);
    config->os = wire_str_copy(m->os);
    config->cwd = wire_str_copy(m->cwd);
    config->user = wire_str_copy(m->user);
    config->stop_signal = wire_str_copy(m->stop_signal);
    config->health.interval_ns = m->health_interval_ns;
    config->health.timeout_ns = m->health_timeout_ns;
    config->health.start_period_ns = m->health_start_period_ns;
    config->health.retries = m->health_retries;
    return config->architecture && config->os && config->cwd && config->user && config->stop_signal &&
           take_list(&config->entrypoint, m->entrypoint) && take_list(&config->command, m->command) && take_list(&config->env, m->env) &&
           take_list(&config->labels, m->labels) && take_list(&config->exposed_ports, m->exposed_ports) &&
           take_list(&config->volumes, m->volumes) && take_list(&config->shell, m->shell) &&
           take_list(&config->health.test, m->health_test);
}

int image_config_decode(const uint8_t *bytes, size_t length, image_config *ret_config, nb_error *err) {
    msg_image_config message;
    CLEANUP(image_config_done) image_config config;
    image_config_init(&config);
    if (wire_decode_image_config(bytes, length, &message) < 0)
        return nb_fail(err, NB_E_INVALID, 0, "understand an image's configuration");
    if (!take(&message, &config))
        return nb_fail_oom(err);
    *ret_config = config;
    config = (image_config){0};
    return 0;
}

/* ----------------------------------------------------------------------------------------------------------------- text */

/* Sets @key, or nothing where there is nothing to say. @value is taken over; NULL: memory is out. */
static bool set(json_t *object, const char *key, json_t *value) {
    return value && json_object_set_new(object, key, value) == 0;
}

static bool set_text(json_t *object, const char *key, const char *text) {
    return !*text || set(object, key, json_string(text));
}

static bool set_count(json_t *object, const char *key, uint64_t count) {
    return count == 0 || set(object, key, json_integer((json_int_t) count));
}

static bool set_list(json_t *object, const char *key, strv list) {
    json_t *array = list.bytes > 0 ? json_array() : NULL;
    for (const char *item = strv_next(list, NULL); array && item; item = strv_next(list, item)) {
        if (json_array_append_new(array, json_string(item)) < 0) {
            json_decref(array);
            return false;
        }
    }
    return list.bytes == 0 || set(object, key, array);
}

/* Each item is a key; what stands behind its '=' is the value, or with @as_set an empty object. */
static bool set_map(json_t *object, const char *key, strv list, bool as_set) {
    json_t *map = list.bytes > 0 ? json_object() : NULL;
    for (const char *item = strv_next(list, NULL); map && item; item = strv_next(list, item)) {
        size_t length = as_set ? strlen(item) : strcspn(item, "=");
        CLEANUP(cleanup_free) char *name = strndup(item, length);
        if (!name || !set(map, name, as_set ? json_object() : json_string(item[length] ? item + length + 1 : ""))) {
            json_decref(map);
            return false;
        }
    }
    return list.bytes == 0 || set(object, key, map);
}

static bool set_health(json_t *object, const image_health *health) {
    if (buf_length(&health->test) == 0)
        return true;
    json_t *check = json_object();
    if (check && set_list(check, "Test", strv_of(&health->test)) && set_count(check, "Interval", health->interval_ns) &&
        set_count(check, "Timeout", health->timeout_ns) && set_count(check, "StartPeriod", health->start_period_ns) &&
        set_count(check, "Retries", health->retries))
        return set(object, "Healthcheck", check);
    json_decref(check);
    return false;
}

static bool set_process(json_t *process, const image_config *config) {
    return process && set_list(process, "Entrypoint", strv_of(&config->entrypoint)) &&
           set_list(process, "Cmd", strv_of(&config->command)) && set_list(process, "Env", strv_of(&config->env)) &&
           set_map(process, "Labels", strv_of(&config->labels), false) && set_text(process, "WorkingDir", config->cwd) &&
           set_text(process, "User", config->user) && set_text(process, "StopSignal", config->stop_signal) &&
           set_map(process, "ExposedPorts", strv_of(&config->exposed_ports), true) &&
           set_map(process, "Volumes", strv_of(&config->volumes), true) && set_list(process, "Shell", strv_of(&config->shell)) &&
           set_health(process, &config->health);
}

/* JSON has no way to say what is no UTF-8. */
static bool is_sayable(const image_config *config) {
    const char *const texts[] = {config->architecture, config->os, config->cwd, config->user, config->stop_signal};
    const buf *const lists[] = {&config->entrypoint,    &config->command, &config->env,   &config->labels,
                                &config->exposed_ports, &config->volumes, &config->shell, &config->health.test};
    bool good = true;
    for (size_t i = 0; good && i < ARRAY_LENGTH(texts); i++)
        good = utf8_is_valid(texts[i]);
    for (size_t i = 0; good && i < ARRAY_LENGTH(lists); i++) {
        strv list = strv_of(lists[i]);
        for (const char *item = strv_next(list, NULL); good && item; item = strv_next(list, item))
            good = utf8_is_valid(item);
    }
    return good;
}

int image_config_text(const image_config *config, const digest *layer, char **ret_text, nb_error *err) {
    char diff_id[DIGEST_TEXT_SIZE];
    if (!is_sayable(config))
        return nb_fail(err, NB_E_INVALID, 0, "write the image's configuration: a text in it is no UTF-8");
    CLEANUP(cleanup_json) json_t *process = json_object();
    digest_format(layer, diff_id);
    bool good = set_process(process, config);
    CLEANUP(cleanup_json)
    json_t *root = good ? json_pack("{s:s, s:s, s:O, s:{s:s, s:[s]}}", "architecture", config->architecture, "os", config->os, "config",
                                    process, "rootfs", "type", "layers", "diff_ids", diff_id)
                        : NULL;
    *ret_text = root ? json_to_text(root, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    return *ret_text ? 0 : nb_fail_oom(err);
}
