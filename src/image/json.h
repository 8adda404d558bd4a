/* SPDX-License-Identifier: Apache-2.0
 *
 * json.h - documents of an image, read strictly
 */
#ifndef IMAGE_JSON_H
#define IMAGE_JSON_H

#include <nestbox/error.h>

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

static inline void cleanup_json(json_t **json) {
    json_decref(*json);
}

/* Takes one object or array, without duplicate keys, nested no deeper than IMAGE_JSON_DEPTH_MAX. @ret_json is a new reference.
 * 0, -NB_E_IMAGE, -NB_E_NO_MEMORY. @name: of the document, for messages. */
int json_document(const char *text, size_t length, const char *name, json_t **ret_json, nb_error *err);

/* The same of a file that is the user's own: what is wrong with it is -NB_E_INVALID. */
int json_user_file(const char *text, size_t length, const char *path, json_t **ret_json, nb_error *err);

/* json_dumps() in a form that can be relied on: that of jansson 2.14 does not look whether there was memory for a key, and gives a text without
 * it. The caller's; NULL: out of memory. */
char *json_to_text(const json_t *json, size_t flags);

/* A member that is a string, an object, an array or a number from 0 on; NULL or 0 where there is none or it is null. -NB_E_IMAGE when it is
 * something else. What comes back is borrowed. */
int json_text(const json_t *object, const char *key, const char **ret_text, nb_error *err);
int json_member(const json_t *object, const char *key, json_type type, json_t **ret_member, nb_error *err);

#endif
