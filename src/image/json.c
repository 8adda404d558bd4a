/* SPDX-License-Identifier: Apache-2.0
 *
 * json.c - documents of an image, read strictly
 */
#include "image/json.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "image/limits.h"

#include <stdbool.h>
#include <stdlib.h>

/* jansson bounds its recursion too, but generously. */
static bool is_too_deep(const char *text, size_t length) {
    unsigned depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"')
            in_string = true;
        else if (c == '{' || c == '[') {
            if (++depth > IMAGE_JSON_DEPTH_MAX)
                return true;
        } else if ((c == '}' || c == ']') && depth > 0)
            depth--;
    }
    return false;
}

/* Where memory runs out while jansson reads a text, it takes the text for wrong, or loses a part of it. The workers that read documents have
 * one thread. */
static bool ran_out;

static void *allocate(size_t size) {
    void *memory = malloc(size);
    ran_out = ran_out || !memory;
    return memory;
}

int json_document(const char *text, size_t length, const char *name, json_t **ret_json, nb_error *err) {
    json_error_t error;
    if (length > IMAGE_JSON_MAX_BYTES)
        return nb_fail(err, NB_E_IMAGE, 0, "read %s: it has more than %u bytes", name, IMAGE_JSON_MAX_BYTES);
    if (is_too_deep(text, length))
        return nb_fail(err, NB_E_IMAGE, 0, "read %s: it is nested deeper than %u", name, IMAGE_JSON_DEPTH_MAX);
    json_set_alloc_funcs(allocate, free);
    ran_out = false;
    json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (ran_out) {
        json_decref(json);
        return nb_fail_oom(err);
    }
    if (!json)
        return nb_fail(err, NB_E_IMAGE, 0, "read %s: line %d: %s", name, error.line, error.text);
    *ret_json = json;
    return 0;
}

int json_user_file(const char *text, size_t length, const char *path, json_t **ret_json, nb_error *err) {
    int r = json_document(text, length, path, ret_json, err);
    if (r == -NB_E_IMAGE && err)
        err->code = NB_E_INVALID;
    return r == -NB_E_IMAGE ? -NB_E_INVALID : r;
}

char *json_to_text(const json_t *json, size_t flags) {
    size_t length = json_dumpb(json, NULL, 0, flags);
    CLEANUP(cleanup_free) char *text = length > 0 ? malloc(length + 1) : NULL;
    if (!text || json_dumpb(json, text, length, flags) != length)
        return NULL;
    text[length] = '\0';
    return take_ptr(&text);
}

int json_member(const json_t *object, const char *key, json_type type, json_t **ret_member, nb_error *err) {
    json_t *member = json_object_get(object, key); /* NULL too when it is no object */
    if (!json_is_object(object) || (member && !json_is_null(member) && json_typeof(member) != type))
        return nb_fail(err, NB_E_IMAGE, 0, "read the image's documents: '%s' is of the wrong type", key);
    *ret_member = json_is_null(member) ? NULL : member;
    return 0;
}

int json_text(const json_t *object, const char *key, const char **ret_text, nb_error *err) {
    json_t *member = NULL;
    int r = json_member(object, key, JSON_STRING, &member, err);
    if (r == 0)
        *ret_text = member ? json_string_value(member) : NULL;
    return r;
}
