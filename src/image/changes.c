/* SPDX-License-Identifier: Apache-2.0
 *
 * changes.c - a Dockerfile's instructions, applied to an image's configuration
 *
 * Source: the Dockerfile reference, and what BuildKit makes of it where that says nothing.
 */
#include "image/changes.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/size.h"
#include "image/json.h"
#include "wire/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BLANKS " \t\r\n"

typedef struct change {
    image_config *config;
    bool has_command; /* CMD was among the instructions: ENTRYPOINT leaves it */
    const char *instruction;
    nb_error *err;
} change;

static int refuse(const change *c, const char *why) {
    return nb_fail(c->err, NB_E_INVALID, 0, "change '%.100s': %s", c->instruction, why);
}

/* -------------------------------------------------------------------------------------------------------------- words */

/* Takes the next word of *@at into @word, without its quotes and backslashes, as a shell would. False: there is none, or with *@at NULL a
 * quote does not end. */
static bool next_word(const char **at, char *word) {
    const char *from = *at + strspn(*at, BLANKS);
    char quote = '\0';
    *at = from;
    if (!*from)
        return false;
    for (; *from && (quote || !strchr(BLANKS, *from)); from++) {
        bool escapes = *from == '\\' && from[1] && (!quote || (quote == '"' && strchr("\"\\$", from[1])));
        if (escapes)
            *word++ = *++from;
        else if (*from == quote)
            quote = '\0';
        else if (!quote && (*from == '"' || *from == '\''))
            quote = *from;
        else
            *word++ = *from;
    }
    *word = '\0';
    *at = quote ? NULL : from;
    return !quote;
}

/* All words of @text, packed. */
static int split(const change *c, const char *text, buf *words) {
    CLEANUP(cleanup_free) char *word = malloc(strlen(text) + 1);
    if (!word)
        return nb_fail_oom(c->err);
    while (next_word(&text, word)) {
        if (!strv_add(words, word))
            return refuse(c, "it is too long");
    }
    return text ? 0 : refuse(c, "a quote in it does not end");
}

/* A JSON array of strings, packed. False: it is none. */
static bool read_array(const char *text, buf *words) {
    CLEANUP(cleanup_json) json_t *array = *text == '[' ? json_loads(text, 0, NULL) : NULL;
    bool good = json_is_array(array);
    for (size_t i = 0; good && i < json_array_size(array); i++) {
        const char *word = json_string_value(json_array_get(array, i));
        good = word && strv_add(words, word);
    }
    return good;
}

/* ------------------------------------------------------------------------------------------------------- instructions */

/* CMD and ENTRYPOINT: an array of words, or a line for the image's shell. */
static int set_command(const change *c, const char *text, buf *command) {
    buf_clear(command);
    if (read_array(text, command))
        return 0;
    strv shell = strv_of(&c->config->shell);
    buf_clear(command);
    bool good = shell.bytes > 0 ? buf_append(command, shell.at, shell.bytes) : strv_add(command, "/bin/sh") && strv_add(command, "-c");
    return good && strv_add(command, text) ? 0 : refuse(c, "it is too long");
}

static int change_cmd(change *c, const char *text) {
    c->has_command = true;
    return set_command(c, text, &c->config->command);
}

/* The image's command was meant for the entrypoint before. */
static int change_entrypoint(change *c, const char *text) {
    if (!c->has_command)
        buf_clear(&c->config->command);
    return set_command(c, text, &c->config->entrypoint);
}

/* Puts each KEY=VALUE of @pairs in place of what the list has of that key. */
static int put_pairs(const change *c, buf *list, strv pairs) {
    CLEANUP(buf_done) buf merged;
    buf_init(&merged, list->max_bytes);
    if (!strv_env_merge(&merged, strv_of(list), pairs))
        return refuse(c, "there is too much of it");
    buf_clear(list);
    return buf_append(list, buf_bytes(&merged), buf_length(&merged)) ? 0 : nb_fail_oom(c->err);
}

/* ENV and LABEL: KEY=VALUE..., or KEY and the rest of the line. */
static int set_pairs(const change *c, const char *text, buf *list) {
    CLEANUP(buf_done) buf words;
    CLEANUP(cleanup_free) char *pair = NULL;
    buf_init(&words, WIRE_ENV_MAX_BYTES);
    size_t key = strcspn(text, BLANKS "=");
    if (key == 0)
        return refuse(c, "it names nothing");
    if (text[key] != '=') {
        const char *value = text + key + strspn(text + key, BLANKS);
        if (!*value)
            return refuse(c, "it gives no value");
        if (asprintf(&pair, "%.*s=%s", (int) key, text, value) < 0)
            return nb_fail_oom(c->err);
        return strv_add(&words, pair) ? put_pairs(c, list, strv_of(&words)) : refuse(c, "it is too long");
    }
    int r = split(c, text, &words);
    strv pairs = strv_of(&words);
    for (const char *word = strv_next(pairs, NULL); r == 0 && word; word = strv_next(pairs, word)) {
        if (*word == '=' || !strchr(word, '='))
            r = refuse(c, "each of its words has to be KEY=VALUE");
    }
    return r == 0 ? put_pairs(c, list, pairs) : r;
}

static int change_env(change *c, const char *text) {
    return set_pairs(c, text, &c->config->env);
}

static int change_label(change *c, const char *text) {
    return set_pairs(c, text, &c->config->labels);
}

/* EXPOSE and VOLUME: each word once. */
static int add_items(const change *c, strv items, int (*add)(const char *item, buf *list, nb_error *err), buf *list) {
    for (const char *item = strv_next(items, NULL); item; item = strv_next(items, item)) {
        CLEANUP(buf_done) buf one;
        nb_error why = {0};
        buf_init(&one, list->max_bytes);
        if (add(item, &one, &why) < 0)
            return refuse(c, why.message);
        bool there = false;
        for (const char *other = strv_next(strv_of(list), NULL); other && !there; other = strv_next(strv_of(list), other))
            there = strcmp(other, (const char *) buf_bytes(&one)) == 0;
        if (!there && !buf_append(list, buf_bytes(&one), buf_length(&one)))
            return refuse(c, "there is too much of it");
    }
    return 0;
}

static int change_expose(change *c, const char *text) {
    CLEANUP(buf_done) buf words;
    buf_init(&words, WIRE_IMAGE_LIST_MAX_BYTES);
    int r = split(c, text, &words);
    return r == 0 ? add_items(c, strv_of(&words), image_config_add_port, &c->config->exposed_ports) : r;
}

static int change_volume(change *c, const char *text) {
    CLEANUP(buf_done) buf words;
    buf_init(&words, WIRE_IMAGE_LIST_MAX_BYTES);
    if (!read_array(text, &words)) {
        buf_clear(&words);
        int r = split(c, text, &words);
        if (r < 0)
            return r;
    }
    return add_items(c, strv_of(&words), image_config_add_volume, &c->config->volumes);
}

/* @value  taken over; NULL: out of memory */
static int put_text(const change *c, char **text, char *value, size_t max_bytes) {
    if (!value)
        return nb_fail_oom(c->err);
    if (strlen(value) > max_bytes) {
        free(value);
        return refuse(c, "it is too long");
    }
    free(*text);
    *text = value;
    return 0;
}

static int change_user(change *c, const char *text) {
    return put_text(c, &c->config->user, strdup(text), WIRE_NAME_MAX_BYTES);
}

static int change_stop_signal(change *c, const char *text) {
    return put_text(c, &c->config->stop_signal, strdup(text), WIRE_NAME_MAX_BYTES);
}

/* One that is relative goes on from the one before. */
static int change_workdir(change *c, const char *text) {
    char *path;
    const char *before = c->config->cwd;
    size_t length = strlen(before);
    if (*text == '/')
        path = strdup(text);
    else if (asprintf(&path, "%s%s%s", before, length > 0 && before[length - 1] == '/' ? "" : "/", text) < 0)
        path = NULL;
    return put_text(c, &c->config->cwd, path, WIRE_PATH_MAX_BYTES);
}

static const struct {
    const char *name;
    int (*apply)(change *c, const char *text);
} instructions[] = {
    {"CMD", change_cmd},       {"ENTRYPOINT", change_entrypoint}, {"ENV", change_env},
    {"EXPOSE", change_expose}, {"LABEL", change_label},           {"STOPSIGNAL", change_stop_signal},
    {"USER", change_user},     {"VOLUME", change_volume},         {"WORKDIR", change_workdir},
};

static int apply(change *c) {
    const char *name = c->instruction + strspn(c->instruction, BLANKS);
    size_t length = strcspn(name, BLANKS);
    CLEANUP(cleanup_free) char *text = strdup(name + length + strspn(name + length, BLANKS));
    if (!text)
        return nb_fail_oom(c->err);
    size_t end = strlen(text);
    while (end > 0 && strchr(BLANKS, text[end - 1]))
        text[--end] = '\0';
    for (size_t i = 0; i < ARRAY_LENGTH(instructions); i++) {
        if (strlen(instructions[i].name) == length && strncasecmp(instructions[i].name, name, length) == 0)
            return *text ? instructions[i].apply(c, text) : refuse(c, "it needs an argument");
    }
    return nb_fail_hint(c->err, refuse(c, "there is no such instruction"),
                        "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR can be changed");
}

int image_config_change(image_config *config, strv changes, nb_error *err) {
    change c = {.config = config, .err = err};
    int r = 0;
    for (c.instruction = strv_next(changes, NULL); r == 0 && c.instruction; c.instruction = strv_next(changes, c.instruction))
        r = apply(&c);
    return r;
}
