/* SPDX-License-Identifier: Apache-2.0
 *
 * document.c - indexes and manifests (OCI image-spec; Docker's manifest list and schema 2)
 *
 * Theory of operation (image-spec, image-index.md, manifest.md, descriptor.md)
 *   An index names manifests, or more indexes, by descriptors: digest, size, perhaps a platform and a name. It is searched by name
 *   first, where a name counts, and what is left is narrowed by platform. Docker's list of platforms is the same under another media
 *   type.
 */
#include "image/document.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "image/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANNOTATION_NAME "org.opencontainers.image.ref.name"
/* The whole name, where the other is often a tag alone: docker and containerd write and read it. */
#define ANNOTATION_IMAGE_NAME "io.containerd.image.name"

/* Everything in it is borrowed from the document. */
typedef struct descriptor {
    blob_promise promise;
    const char *name, *image_name; /* or NULL, as the next three */
    const char *os, *architecture, *variant;
} descriptor;

void document_done(document *d) {
    free(d->chosen_name);
    free(d->layers);
    *d = (document){0};
}

void document_add_choice(char choices[DOCUMENT_CHOICES_SIZE], const char *text) {
    size_t used = strlen(choices);
    if (used > DOCUMENT_CHOICES_SIZE - 150) {
        if (choices[used - 1] != '.')
            (void) snprintf(choices + used, DOCUMENT_CHOICES_SIZE - used, ", ...");
        return;
    }
    (void) snprintf(choices + used, DOCUMENT_CHOICES_SIZE - used, "%s'%.120s'", used ? ", " : "", text);
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

static int read_descriptor(const json_t *object, descriptor *ret_descriptor, nb_error *err) {
    descriptor d = {0};
    json_t *platform, *annotations;
    int r = read_promise(object, &d.promise, err);
    if (r < 0 || (r = json_member(object, "platform", JSON_OBJECT, &platform, err)) < 0 ||
        (r = json_member(object, "annotations", JSON_OBJECT, &annotations, err)) < 0)
        return r;
    if (platform &&
        ((r = json_text(platform, "os", &d.os, err)) < 0 || (r = json_text(platform, "architecture", &d.architecture, err)) < 0 ||
         (r = json_text(platform, "variant", &d.variant, err)) < 0))
        return r;
    if (annotations && ((r = json_text(annotations, ANNOTATION_NAME, &d.name, err)) < 0 ||
                        (r = json_text(annotations, ANNOTATION_IMAGE_NAME, &d.image_name, err)) < 0))
        return r;
    *ret_descriptor = d;
    return 0;
}

typedef struct index_view {
    const json_t *manifests;
    const char *name; /* only those with this name; NULL: all */
} index_view;

static bool is_called(const descriptor *d, const char *name) {
    return (d->name && strcmp(d->name, name) == 0) || (d->image_name && strcmp(d->image_name, name) == 0);
}

/* Takes the next descriptor from @i on that the view shows. 1, 0 at the end, or a negative code. */
static int next_descriptor(const index_view *view, size_t *i, descriptor *ret_descriptor, nb_error *err) {
    while (*i < json_array_size(view->manifests)) {
        int r = read_descriptor(json_array_get(view->manifests, (*i)++), ret_descriptor, err);
        if (r < 0)
            return r;
        if (!view->name || is_called(ret_descriptor, view->name))
            return 1;
    }
    return 0;
}

static int index_is_empty(nb_error *err) {
    return nb_fail(err, NB_E_IMAGE, 0, "choose an image: the index is empty");
}

/* Settles the view's name: the reference; or, without one, the only name that there is. */
static int choose_name(index_view *view, const char *reference, nb_error *err) {
    char choices[DOCUMENT_CHOICES_SIZE] = "";
    const char *first = NULL;
    bool differ = false, found = false;
    descriptor d;
    size_t i = 0;
    int r;
    while ((r = next_descriptor(view, &i, &d, err)) == 1) {
        const char *name = d.name ? d.name : "";
        differ = differ || (first && strcmp(first, name) != 0);
        first = first ? first : name;
        found = found || (reference[0] && (strcmp(name, reference) == 0 || is_called(&d, reference)));
        document_add_choice(choices, name);
    }
    if (r < 0)
        return r;
    if (!first)
        return index_is_empty(err);
    if (reference[0] && !found)
        return nb_fail(err, NB_E_NOT_FOUND, 0, "choose the image '%.200s': there are %s", reference, choices);
    if (!reference[0] && differ)
        return nb_fail(err, NB_E_INVALID, 0, "choose an image: there are several, %s", choices);
    view->name = reference[0] ? reference : NULL;
    return 0;
}

/* What an index means where it names no variant: containerd's defaults, which all engines share. */
static const char *default_variant(const char *architecture) {
    return strcmp(architecture, "arm64") == 0 ? "v8" : strcmp(architecture, "arm") == 0 ? "v7" : "";
}

static bool platform_fits(const descriptor *d, const image_platform *wanted) {
    if (!d->os || strcmp(d->os, "linux") != 0 || !d->architecture)
        return false;
    if (wanted->architecture[0] && strcmp(d->architecture, wanted->architecture) != 0)
        return false;
    return !wanted->variant[0] || strcmp(d->variant ? d->variant : default_variant(d->architecture), wanted->variant) == 0;
}

/* One of what the view shows. A single one needs no platform: its configuration says what it is for. Of the variants of one architecture
 * the first is taken, which is the most common by custom. */
static int choose_platform(const index_view *view, const image_platform *wanted, descriptor *ret_descriptor, nb_error *err) {
    char choices[DOCUMENT_CHOICES_SIZE] = "", text[192];
    descriptor d, chosen = {0};
    size_t count = 0, fitting = 0, i = 0;
    int r;
    for (; (r = next_descriptor(view, &i, &d, err)) == 1; count++) {
        (void) snprintf(text, sizeof(text), "%.60s/%.60s%s%.60s", d.os ? d.os : "unknown", d.architecture ? d.architecture : "unknown",
                        d.variant ? "/" : "", d.variant ? d.variant : "");
        document_add_choice(choices, text);
        bool fits = platform_fits(&d, wanted);
        if (count == 0 || (fits && fitting == 0))
            chosen = d;
        fitting += fits;
    }
    if (r < 0)
        return r;
    if (count == 0)
        return index_is_empty(err);
    if (count > 1 && fitting == 0)
        return nb_fail(err, NB_E_NOT_FOUND, 0, "choose the image for 'linux/%.60s%s%.60s': there are %s", wanted->architecture,
                       wanted->variant[0] ? "/" : "", wanted->variant, choices);
    if (count > 1 && fitting > 1 && !wanted->architecture[0])
        return nb_fail(err, NB_E_INVALID, 0, "choose an image: there are several platforms, %s", choices);
    *ret_descriptor = chosen;
    return 0;
}

static int read_index(const json_t *manifests, const char *title, const char *reference, const image_platform *platform,
                      document *ret_document, nb_error *err) {
    index_view view = {.manifests = manifests};
    descriptor chosen = {0};
    int r;
    if (json_array_size(manifests) > IMAGE_MANIFESTS_MAX)
        return nb_fail(err, NB_E_IMAGE, 0, "read %s: it names more than %u manifests", title, IMAGE_MANIFESTS_MAX);
    if ((reference && (r = choose_name(&view, reference, err)) < 0) || (r = choose_platform(&view, platform, &chosen, err)) < 0)
        return r;
    const char *name = chosen.image_name ? chosen.image_name : chosen.name;
    document d = {.is_index = true, .chosen = chosen.promise, .chosen_name = name ? strdup(name) : NULL};
    if (name && !d.chosen_name)
        return nb_fail_oom(err);
    *ret_document = d;
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

static int read_manifest(const json_t *root, document *ret_document, nb_error *err) {
    CLEANUP(document_done) document d = {0};
    json_t *config, *layers;
    int r;
    if ((r = json_member(root, "config", JSON_OBJECT, &config, err)) < 0 || (r = json_member(root, "layers", JSON_ARRAY, &layers, err)) < 0)
        return r;
    if (!config || !layers)
        return nb_fail(err, NB_E_IMAGE, 0, "read the manifest: it has no 'config' or no 'layers' (Docker's schema 1 is not supported)");
    if ((r = check_config_type(config, err)) < 0 || (r = read_promise(config, &d.config, err)) < 0)
        return r;
    size_t count = json_array_size(layers);
    if (count > IMAGE_LAYERS_MAX)
        return nb_fail(err, NB_E_IMAGE, 0, "read the manifest: it has %zu layers, more than %u", count, IMAGE_LAYERS_MAX);
    d.layers = calloc(count + 1, sizeof(*d.layers));
    if (!d.layers)
        return nb_fail_oom(err);
    for (; d.layer_count < count; d.layer_count++) {
        r = read_promise(json_array_get(layers, d.layer_count), &d.layers[d.layer_count], err);
        if (r < 0)
            return r;
    }
    *ret_document = d;
    d = (document){0};
    return 0;
}

int document_read(const char *text, size_t length, const char *title, const char *reference, const image_platform *platform,
                  document *ret_document, nb_error *err) {
    CLEANUP(cleanup_json) json_t *root = NULL;
    json_t *manifests;
    int r;
    if ((r = json_document(text, length, title, &root, err)) < 0 || (r = json_member(root, "manifests", JSON_ARRAY, &manifests, err)) < 0)
        return r;
    return manifests ? read_index(manifests, title, reference, platform, ret_document, err) : read_manifest(root, ret_document, err);
}
