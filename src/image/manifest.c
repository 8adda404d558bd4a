/* SPDX-License-Identifier: Apache-2.0
 *
 * manifest.c - which image of a source is meant, and what it consists of
 *
 * Theory of operation (image-spec, image-layout.md)
 *   From the outermost index, document by document (document.c) down to a manifest. skopeo's folder begins at that point. docker
 *   save has a list of names and files instead.
 */
#include "image/manifest.h"

#include "base/error.h"
#include "image/document.h"
#include "image/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void manifest_done(manifest *m) {
    free(m->name);
    free(m->config.path);
    for (size_t i = 0; i < m->layer_count; i++)
        free(m->layers[i].path);
    free(m->layers);
    *m = (manifest){0};
}

static char *blob_path(enum manifest_style style, const digest *d, bool is_manifest) {
    char hex[2 * DIGEST_MAX_BYTES + 1];
    char *path;
    digest_format_hex(d, hex);
    int length = style == MANIFEST_FLAT ? asprintf(&path, "%s%s", hex, is_manifest ? ".manifest.json" : "")
                                        : asprintf(&path, "blobs/%s/%s", digest_algorithm_name(d->algorithm), hex);
    return length < 0 ? NULL : path;
}

static int read_document(const source *s, const char *path, const blob_promise *promise, char **ret_text, size_t *ret_length,
                         nb_error *err) {
    return nb_fail_within(err, source_read_document(s, path, promise, ret_text, ret_length, err), "'%.200s'", path);
}

static int place_blob(const blob_promise *promise, enum manifest_style style, manifest_blob *ret_blob, nb_error *err) {
    *ret_blob = (manifest_blob){.path = blob_path(style, &promise->digest, false), .promise = *promise};
    return ret_blob->path ? 0 : nb_fail_oom(err);
}

/* Takes @name over, on success only. */
static int place_manifest(const document *d, enum manifest_style style, char **name, manifest *ret_manifest, nb_error *err) {
    CLEANUP(manifest_done) manifest m = {0};
    m.layers = calloc(d->layer_count + 1, sizeof(*m.layers));
    if (!m.layers)
        return nb_fail_oom(err);
    int r = place_blob(&d->config, style, &m.config, err);
    for (; r == 0 && m.layer_count < d->layer_count; m.layer_count++)
        r = place_blob(&d->layers[m.layer_count], style, &m.layers[m.layer_count], err);
    if (r < 0)
        return r;
    m.name = take_ptr(name);
    *ret_manifest = m;
    m = (manifest){0};
    return 0;
}

/* Goes down from a document until it is a manifest. */
static int descend(const source *s, const char *first, blob_promise promise, enum manifest_style style, const char *reference,
                   const image_platform *platform, manifest *ret_manifest, nb_error *err) {
    CLEANUP(cleanup_free) char *path = strdup(first), *name = strdup(reference ? reference : "");
    for (unsigned depth = 0; depth < IMAGE_INDEX_DEPTH_MAX; depth++) {
        CLEANUP(cleanup_free) char *text = NULL;
        CLEANUP(document_done) document d = {0};
        size_t length;
        int r;
        if (!path || !name)
            return nb_fail_oom(err);
        if ((r = read_document(s, path, &promise, &text, &length, err)) < 0 ||
            (r = document_read(text, length, path, depth == 0 ? reference : NULL, platform, &d, err)) < 0)
            return r;
        if (!d.is_index)
            return place_manifest(&d, style, &name, ret_manifest, err);
        if (d.chosen_name && !name[0]) {
            free(name);
            name = take_ptr(&d.chosen_name);
        }
        promise = d.chosen;
        free(path);
        path = blob_path(style, &promise.digest, true);
    }
    return nb_fail(err, NB_E_IMAGE, 0, "choose an image: more than %u indexes lead to each other", IMAGE_INDEX_DEPTH_MAX);
}

/* "name" means "name:latest", as it does for docker. */
static bool tag_matches(const char *tag, const char *reference) {
    size_t length = strlen(reference);
    return strcmp(tag, reference) == 0 || (strncmp(tag, reference, length) == 0 && strcmp(tag + length, ":latest") == 0);
}

/* The entry of docker's manifest.json that is meant, and the tag it was found by. */
static int choose_docker_entry(const json_t *root, const char *reference, const json_t **ret_entry, const char **ret_tag, nb_error *err) {
    char choices[DOCUMENT_CHOICES_SIZE] = "";
    const json_t *chosen = NULL;
    const char *chosen_tag = "";
    size_t i, j;
    json_t *entry, *tags, *tag;
    json_array_foreach(root, i, entry) {
        int r = json_member(entry, "RepoTags", JSON_ARRAY, &tags, err);
        if (r < 0)
            return r;
        if (!reference[0] && json_array_size(root) == 1)
            chosen = entry;
        if (json_array_size(tags) == 0)
            document_add_choice(choices, "");
        json_array_foreach(tags, j, tag) {
            const char *text = json_is_string(tag) ? json_string_value(tag) : "";
            document_add_choice(choices, text);
            if (reference[0] ? tag_matches(text, reference) : j == 0 && chosen == entry) {
                chosen = entry;
                chosen_tag = text;
            }
        }
    }
    if (!chosen && reference[0])
        return nb_fail(err, NB_E_NOT_FOUND, 0, "choose the image '%.200s': there are %s", reference, choices[0] ? choices : "none");
    if (!chosen)
        return nb_fail(err, NB_E_INVALID, 0, "choose an image: there are several, %s", choices);
    *ret_entry = chosen;
    *ret_tag = chosen_tag;
    return 0;
}

/* docker names a configuration after its digest, in either of two ways: then that can be verified. */
static void promise_from_name(const char *path, blob_promise *promise) {
    char text[DIGEST_TEXT_SIZE];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t length = strcspn(name, ".");
    (void) snprintf(text, sizeof(text), "sha256:%.*s", (int) (length < 64 ? length : 64), name);
    promise->has_digest = length == 64 && digest_parse(text, &promise->digest, NULL) == 0;
}

static int read_docker_entry(const json_t *entry, const char *tag, manifest *ret_manifest, nb_error *err) {
    CLEANUP(manifest_done) manifest m = {0};
    const char *config;
    json_t *layers, *layer;
    size_t i;
    int r;
    if ((r = json_text(entry, "Config", &config, err)) < 0 || (r = json_member(entry, "Layers", JSON_ARRAY, &layers, err)) < 0)
        return r;
    if (!config || json_array_size(layers) > IMAGE_LAYERS_MAX)
        return nb_fail(err, NB_E_IMAGE, 0, "read manifest.json: an image has no 'Config', or more than %u layers", IMAGE_LAYERS_MAX);
    m.name = strdup(tag);
    m.config.path = strdup(config);
    m.layers = calloc(json_array_size(layers) + 1, sizeof(*m.layers));
    if (!m.name || !m.config.path || !m.layers)
        return nb_fail_oom(err);
    promise_from_name(config, &m.config.promise);
    json_array_foreach(layers, i, layer) {
        if (!json_is_string(layer))
            return nb_fail(err, NB_E_IMAGE, 0, "read manifest.json: the name of a layer is no string");
        m.layers[i].path = strdup(json_string_value(layer));
        if (!m.layers[i].path)
            return nb_fail_oom(err);
        m.layer_count++;
    }
    *ret_manifest = m;
    m = (manifest){0};
    return 0;
}

static int parse_docker(const json_t *root, const char *reference, manifest *ret_manifest, nb_error *err) {
    const json_t *entry;
    const char *tag;
    if (!json_is_array(root) || json_array_size(root) == 0)
        return nb_fail(err, NB_E_IMAGE, 0, "read manifest.json: it is no list of images");
    int r = choose_docker_entry(root, reference, &entry, &tag, err);
    return r < 0 ? r : read_docker_entry(entry, tag, ret_manifest, err);
}

static int select_docker(const source *s, const char *reference, manifest *ret_manifest, nb_error *err) {
    CLEANUP(cleanup_free) char *text = NULL;
    CLEANUP(cleanup_json) json_t *root = NULL;
    size_t length;
    int r;
    if ((r = read_document(s, "manifest.json", &(blob_promise){0}, &text, &length, err)) < 0 ||
        (r = json_document(text, length, "manifest.json", &root, err)) < 0)
        return r;
    return parse_docker(root, reference, ret_manifest, err);
}

int manifest_select(const source *s, enum manifest_style style, const char *reference, const image_platform *platform,
                    manifest *ret_manifest, nb_error *err) {
    switch (style) {
    case MANIFEST_DOCKER:
        return select_docker(s, reference, ret_manifest, err);
    case MANIFEST_FLAT: /* holds one image, without a name */
        return descend(s, "manifest.json", (blob_promise){0}, style, NULL, platform, ret_manifest, err);
    case MANIFEST_OCI:
        break;
    }
    return descend(s, "index.json", (blob_promise){0}, style, reference, platform, ret_manifest, err);
}

int manifest_find(const source *s, const digest *of_manifest, manifest *ret_manifest, nb_error *err) {
    CLEANUP(cleanup_free) char *path = blob_path(MANIFEST_OCI, of_manifest, true);
    if (!path)
        return nb_fail_oom(err);
    blob_promise promise = {.has_digest = true, .digest = *of_manifest};
    return descend(s, path, promise, MANIFEST_OCI, NULL, &(image_platform){"", ""}, ret_manifest, err);
}

int manifest_parse(const char *text, size_t length, enum manifest_style style, manifest *ret_manifest, nb_error *err) {
    CLEANUP(cleanup_json) json_t *root = NULL;
    CLEANUP(document_done) document d = {0};
    CLEANUP(cleanup_free) char *name = strdup("");
    int r;
    if (!name)
        return nb_fail_oom(err);
    if (style == MANIFEST_DOCKER)
        return (r = json_document(text, length, "the manifest", &root, err)) < 0 ? r : parse_docker(root, "", ret_manifest, err);
    r = document_read(text, length, "the manifest", NULL, &(image_platform){"", ""}, &d, err);
    if (r == 0 && d.is_index)
        r = nb_fail(err, NB_E_IMAGE, 0, "read the manifest: it is an index");
    return r < 0 ? r : place_manifest(&d, style, &name, ret_manifest, err);
}
