/* SPDX-License-Identifier: Apache-2.0
 *
 * config.c - how an image wants to be run (image-spec, config.md)
 */
#include "image/config.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "image/json.h"
#include "image/limits.h"
#include "wire/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

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
    *config = (image_config){0};
}

static void config_init(image_config *config) {
    *config = (image_config){0};
    buf_init(&config->entrypoint, WIRE_ARGV_MAX_BYTES);
    buf_init(&config->command, WIRE_ARGV_MAX_BYTES);
    buf_init(&config->env, WIRE_ENV_MAX_BYTES);
    buf_init(&config->labels, WIRE_ENV_MAX_BYTES);
}

static int too_long(const char *key, nb_error *err) {
    return nb_fail(err, NB_E_IMAGE, 0, "read the image's configuration: '%s' is too long", key);
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
            return too_long(key, err);
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
            return too_long("Labels", err);
        (void) snprintf((char *) at, key_length + 1 + value_length + 1, "%s=%s", key, json_string_value(value));
        buf_added(list, key_length + 1 + value_length + 1);
    }
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
        (r = read_text(process, "User", WIRE_NAME_MAX_BYTES, &config->user, err)) < 0)
        return r;
    return read_text(process, "StopSignal", WIRE_NAME_MAX_BYTES, &config->stop_signal, err);
}

int image_config_parse(const char *text, size_t length, image_config *ret_config, nb_error *err) {
    CLEANUP(cleanup_json) json_t *root = NULL;
    CLEANUP(image_config_done) image_config config;
    config_init(&config);
    int r = json_document(text, length, "the image's configuration", &root, err);
    if (r < 0 || (r = read_text(root, "os", WIRE_NAME_MAX_BYTES, &config.os, err)) < 0 ||
        (r = read_text(root, "architecture", WIRE_NAME_MAX_BYTES, &config.architecture, err)) < 0 ||
        (r = read_diff_ids(root, &config, err)) < 0 || (r = read_process(root, &config, err)) < 0)
        return r;
    *ret_config = config;
    config = (image_config){0};
    return 0;
}

static json_t *json_of_list(strv list) {
    json_t *array = json_array();
    for (const char *item = strv_next(list, NULL); array && item; item = strv_next(list, item)) {
        /* Bytes that are not UTF-8 stand for themselves one by one: the text only has to differ where the list does. */
        json_t *text = json_string(item);
        if (!text) {
            text = json_array();
            for (const char *c = item; text && *c; c++)
                (void) json_array_append_new(text, json_integer((unsigned char) *c));
        }
        if (json_array_append_new(array, text) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

int image_config_make(const char *architecture, strv command, const digest *content, image_config *ret_config, digest *ret_id,
                      nb_error *err) {
    CLEANUP(image_config_done) image_config config;
    config_init(&config);
    config.os = strdup("linux");
    config.architecture = strdup(architecture);
    config.cwd = strdup("");
    config.user = strdup("");
    config.stop_signal = strdup("");
    if (!config.os || !config.architecture || !config.cwd || !config.user || !config.stop_signal || !strv_add(&config.env, DEFAULT_PATH))
        return nb_fail_oom(err);
    int r = image_config_set_command(&config, command, err);
    if (r < 0)
        return r;

    char diff_id[DIGEST_TEXT_SIZE];
    digest_format(content, diff_id);
    CLEANUP(cleanup_json)
    json_t *root = json_pack("{s:s, s:s, s:{s:o*, s:[s]}, s:{s:s, s:[s]}}", "architecture", architecture, "os", "linux", "config", "Cmd",
                             json_of_list(command), "Env", DEFAULT_PATH, "rootfs", "type", "layers", "diff_ids", diff_id);
    CLEANUP(cleanup_free) char *text = root ? json_dumps(root, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    if (!text || !digest_of(text, strlen(text), ret_id))
        return nb_fail_oom(err);
    *ret_config = config;
    config = (image_config){0};
    return 0;
}

int image_config_set_command(image_config *config, strv command, nb_error *err) {
    buf_clear(&config->command);
    return buf_append(&config->command, command.at, command.bytes) ? 0 : nb_fail_oom(err);
}
