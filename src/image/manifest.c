/* SPDX-License-Identifier: Apache-2.0
 *
 * manifest.c - which image of a source is meant, and what it consists of
 *
 * Theory of operation (image-spec, image-layout.md, image-index.md, manifest.md)
 *   An index names manifests, or more indexes, by descriptors: digest, size, perhaps a platform and a name. The outermost index is
 *   searched by name; what the name leads to is narrowed by platform until a manifest is reached. Docker's list of platforms is the same
 *   under another media type, and skopeo's folder begins at that point. docker save has a list of names and files instead.
 */
#include "image/manifest.h"

#include "base/error.h"
#include "image/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANNOTATION_NAME "org.opencontainers.image.ref.name"
/* Enough of what there is to choose from; nb_error's message is 1 KiB. */
#define CHOICES_SIZE 700

typedef struct descriptor {
    char *path;       /* owned */
    const char *name; /* borrowed from the document, or NULL */
    const char *os, *architecture;
    blob_promise promise;
} descriptor;

static void descriptor_done(descriptor *d) {
    free(d->path);
    *d = (descriptor){0};
}

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

/* The parts that every descriptor has: image-spec, descriptor.md. */
static int read_promise(const json_t *object, blob_promise *ret_promise, nb_error *err) {
    const char *text;
    json_t *size;
    blob_promise promise = {.has_digest = true, .has_size = true};
    int r;
    if (!json_is_object(object))
        return nb_fail(err, NB_E_IMAGE, 0, "read a descriptor: it is no object");
    if ((r = json_text(object, "digest", &text, err)) < 0 || (r = json_member(object, "size", JSON_INTEGER, &size, err)) < 0)
        return r;
    if (!text || !size || json_integer_value(size) < 0)
        return nb_fail(err, NB_E_IMAGE, 0, "read a descriptor: it has no digest or no size");
    promise.size = (uint64_t) json_integer_value(size);
    r = digest_parse(text, &promise.digest, err);
    if (r == 0)
        *ret_promise = promise;
    return r;
}

static int read_descriptor(const json_t *object, enum manifest_style style, descriptor *ret_descriptor, nb_error *err) {
    descriptor d = {0};
    json_t *platform, *annotations;
    int r = read_promise(object, &d.promise, err);
    if (r < 0 || (r = json_member(object, "platform", JSON_OBJECT, &platform, err)) < 0 ||
        (r = json_member(object, "annotations", JSON_OBJECT, &annotations, err)) < 0)
        return r;
    if (platform &&
        ((r = json_text(platform, "os", &d.os, err)) < 0 || (r = json_text(platform, "architecture", &d.architecture, err)) < 0))
        return r;
    if (annotations && (r = json_text(annotations, ANNOTATION_NAME, &d.name, err)) < 0)
        return r;
    d.path = blob_path(style, &d.promise.digest, true);
    if (!d.path)
        return nb_fail_oom(err);
    *ret_descriptor = d;
    return 0;
}

/* Adds "'text'" to a list for a person; what no longer fits becomes dots. */
static void add_choice(char choices[CHOICES_SIZE], const char *text) {
    size_t used = strlen(choices);
    if (used > CHOICES_SIZE - 150) {
        if (choices[used - 1] != '.')
            (void) snprintf(choices + used, CHOICES_SIZE - used, ", ...");
        return;
    }
    (void) snprintf(choices + used, CHOICES_SIZE - used, "%s'%.120s'", used ? ", " : "", text);
}

typedef struct index_view {
    const json_t *manifests;
    enum manifest_style style;
    const char *name; /* only those with this name; NULL: all */
} index_view;

/* Takes the next descriptor from @i on that the view shows. *ret_descriptor is empty at the end. */
static int next_descriptor(const index_view *view, size_t *i, descriptor *ret_descriptor, nb_error *err) {
    for (; *i < json_array_size(view->manifests); (*i)++) {
        descriptor d;
        int r = read_descriptor(json_array_get(view->manifests, *i), view->style, &d, err);
        if (r < 0)
            return r;
        if (!view->name || (d.name && strcmp(d.name, view->name) == 0)) {
            (*i)++;
            *ret_descriptor = d;
            return 0;
        }
        descriptor_done(&d);
    }
    *ret_descriptor = (descriptor){0};
    return 0;
}

/* Settles the view's name: the reference; or, without one, the only name that there is. */
static int choose_name(index_view *view, const char *reference, nb_error *err) {
    char choices[CHOICES_SIZE] = "";
    const char *first = NULL;
    bool differ = false, found = false;
    descriptor d = {0};
    int r;
    for (size_t i = 0, seen = 0; (r = next_descriptor(view, &i, &d, err)) == 0 && d.path; seen++, descriptor_done(&d)) {
        const char *name = d.name ? d.name : "";
        differ = differ || (seen > 0 && strcmp(first, name) != 0);
        first = seen > 0 ? first : name;
        found = found || (reference[0] && strcmp(name, reference) == 0);
        add_choice(choices, name);
    }
    if (r < 0)
        return r;
    if (!first)
        return nb_fail(err, NB_E_IMAGE, 0, "choose an image: the index is empty");
    if (reference[0] && !found)
        return nb_fail(err, NB_E_NOT_FOUND, 0, "choose the image '%.200s': there are %s", reference, choices);
    if (!reference[0] && differ)
        return nb_fail(err, NB_E_INVALID, 0, "choose an image: there are several, %s", choices);
    view->name = reference[0] ? reference : NULL;
    return 0;
}

static bool platform_fits(const descriptor *d, const char *architecture) {
    return d->os && strcmp(d->os, "linux") == 0 && d->architecture && (!architecture[0] || strcmp(d->architecture, architecture) == 0);
}

/* One of what the view shows. A single one needs no platform: its configuration says what it is for. Of the variants of one architecture
 * the first is taken, which is the most common by custom. */
static int choose_platform(const index_view *view, const char *architecture, descriptor *ret_descriptor, nb_error *err) {
    char choices[CHOICES_SIZE] = "", platform[128];
    CLEANUP(descriptor_done) descriptor chosen = {0};
    size_t count = 0, fitting = 0;
    descriptor d = {0};
    int r;
    for (size_t i = 0; (r = next_descriptor(view, &i, &d, err)) == 0 && d.path; count++, descriptor_done(&d)) {
        (void) snprintf(platform, sizeof(platform), "%.60s/%.60s", d.os ? d.os : "unknown", d.architecture ? d.architecture : "unknown");
        add_choice(choices, platform);
        bool fits = platform_fits(&d, architecture);
        if (count == 0 || (fits && fitting == 0)) {
            descriptor_done(&chosen);
            chosen = d;
            d = (descriptor){0};
        }
        fitting += fits;
    }
    if (r < 0)
        return r;
    if (count == 0)
        return nb_fail(err, NB_E_IMAGE, 0, "choose an image: the index is empty");
    if (count > 1 && fitting == 0)
        return nb_fail(err, NB_E_NOT_FOUND, 0, "choose the image for 'linux/%.60s': there are %s", architecture, choices);
    if (count > 1 && fitting > 1 && !architecture[0])
        return nb_fail(err, NB_E_INVALID, 0, "choose an image: there are several platforms, %s", choices);
    *ret_descriptor = chosen;
    chosen = (descriptor){0};
    return 0;
}

static int read_document(const source *s, const char *path, const blob_promise *promise, char **ret_text, size_t *ret_length,
                         nb_error *err) {
    CLEANUP(blob_done) blob b = {.fd = -1};
    int r = source_open(s, path, &b, err);
    if (r == 0)
        r = blob_read(&b, promise, IMAGE_JSON_MAX_BYTES, ret_text, ret_length, err);
    return r < 0 ? nb_fail_within(err, r, "'%.200s'", path) : 0;
}

static int read_manifest_blob(const json_t *object, enum manifest_style style, manifest_blob *ret_blob, nb_error *err) {
    manifest_blob b = {0};
    int r = read_promise(object, &b.promise, err);
    if (r < 0)
        return r;
    b.path = blob_path(style, &b.promise.digest, false);
    if (!b.path)
        return nb_fail_oom(err);
    *ret_blob = b;
    return 0;
}

static int read_layers(const json_t *layers, enum manifest_style style, manifest *m, nb_error *err) {
    size_t count = json_array_size(layers);
    if (count > IMAGE_LAYERS_MAX)
        return nb_fail(err, NB_E_IMAGE, 0, "read the manifest: it has %zu layers, more than %u", count, IMAGE_LAYERS_MAX);
    m->layers = calloc(count + 1, sizeof(*m->layers));
    if (!m->layers)
        return nb_fail_oom(err);
    for (; m->layer_count < count; m->layer_count++) {
        int r = read_manifest_blob(json_array_get(layers, m->layer_count), style, &m->layers[m->layer_count], err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Artifacts use manifests for anything; what an image's configuration is called is fixed. */
static int check_config_type(const json_t *config, nb_error *err) {
    const char *type;
    int r = json_text(config, "mediaType", &type, err);
    if (r < 0)
        return r;
    if (type && strcmp(type, "application/vnd.oci.image.config.v1+json") != 0 &&
        strcmp(type, "application/vnd.docker.container.image.v1+json") != 0)
        return nb_fail(err, NB_E_IMAGE, 0, "read the manifest: it is of no container image but of '%.200s'", type);
    return 0;
}

static int manifest_read(const json_t *root, enum manifest_style style, manifest *ret_manifest, nb_error *err) {
    CLEANUP(manifest_done) manifest m = {0};
    json_t *config, *layers;
    int r;
    if ((r = json_member(root, "config", JSON_OBJECT, &config, err)) < 0 || (r = json_member(root, "layers", JSON_ARRAY, &layers, err)) < 0)
        return r;
    if (!config || !layers)
        return nb_fail(err, NB_E_IMAGE, 0, "read the manifest: it has no 'config' or no 'layers' (Docker's schema 1 is not supported)");
    if ((r = check_config_type(config, err)) < 0 || (r = read_manifest_blob(config, style, &m.config, err)) < 0 ||
        (r = read_layers(layers, style, &m, err)) < 0)
        return r;
    m.name = strdup("");
    if (!m.name)
        return nb_fail_oom(err);
    *ret_manifest = m;
    m = (manifest){0};
    return 0;
}

/* Goes down from a document until it is a manifest. */
static int descend(const source *s, const char *path, blob_promise promise, enum manifest_style style, const char *reference,
                   const char *architecture, manifest *ret_manifest, nb_error *err) {
    CLEANUP(descriptor_done) descriptor d = {.path = strdup(path), .promise = promise};
    CLEANUP(cleanup_free) char *name = strdup(reference ? reference : "");
    for (unsigned depth = 0; depth < IMAGE_INDEX_DEPTH_MAX; depth++) {
        CLEANUP(cleanup_free) char *text = NULL;
        CLEANUP(cleanup_json) json_t *root = NULL;
        size_t length;
        index_view view = {.style = style};
        json_t *manifests;
        int r;
        if (!d.path || !name)
            return nb_fail_oom(err);
        if ((r = read_document(s, d.path, &d.promise, &text, &length, err)) < 0 ||
            (r = json_document(text, length, d.path, &root, err)) < 0 ||
            (r = json_member(root, "manifests", JSON_ARRAY, &manifests, err)) < 0)
            return r;
        if (!manifests) {
            r = manifest_read(root, style, ret_manifest, err);
            if (r == 0) {
                free(ret_manifest->name);
                ret_manifest->name = take_ptr(&name);
            }
            return r;
        }
        if (json_array_size(manifests) > IMAGE_MANIFESTS_MAX)
            return nb_fail(err, NB_E_IMAGE, 0, "read '%s': it names more than %u manifests", d.path, IMAGE_MANIFESTS_MAX);
        view.manifests = manifests;
        if (depth == 0 && reference && (r = choose_name(&view, reference, err)) < 0)
            return r;
        descriptor_done(&d);
        if ((r = choose_platform(&view, architecture, &d, err)) < 0)
            return r;
        if (d.name && !name[0]) {
            free(name);
            name = strdup(d.name);
        }
        d.name = d.os = d.architecture = NULL; /* they go with the document */
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
    char choices[CHOICES_SIZE] = "";
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
            add_choice(choices, "");
        json_array_foreach(tags, j, tag) {
            const char *text = json_is_string(tag) ? json_string_value(tag) : "";
            add_choice(choices, text);
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

int manifest_select(const source *s, enum manifest_style style, const char *reference, const char *architecture, manifest *ret_manifest,
                    nb_error *err) {
    switch (style) {
    case MANIFEST_DOCKER:
        return select_docker(s, reference, ret_manifest, err);
    case MANIFEST_FLAT: /* holds one image, without a name */
        return descend(s, "manifest.json", (blob_promise){0}, style, NULL, architecture, ret_manifest, err);
    case MANIFEST_OCI:
        break;
    }
    return descend(s, "index.json", (blob_promise){0}, style, reference, architecture, ret_manifest, err);
}

int manifest_parse(const char *text, size_t length, enum manifest_style style, manifest *ret_manifest, nb_error *err) {
    CLEANUP(cleanup_json) json_t *root = NULL;
    int r = json_document(text, length, "the manifest", &root, err);
    if (r < 0)
        return r;
    return style == MANIFEST_DOCKER ? parse_docker(root, "", ret_manifest, err) : manifest_read(root, style, ret_manifest, err);
}
