/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch.c - brings an image from a registry into a folder of blobs
 *
 *   reference -> document -> (index: the document for the platform) ... -> manifest -> configuration, layers
 */
#include "fetch/fetch.h"

#include "base/error.h"
#include "fetch/blobs.h"
#include "wire/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "library/"
#define DOCKER_HOST "docker.io"

static bool keep_name(fetch_result *result, const digest *d, nb_error *err) {
    char text[DIGEST_TEXT_SIZE];
    digest_format(d, text);
    if (strv_add(&result->blobs, text))
        return true;
    (void) nb_fail_oom(err);
    return false;
}

static bool is_digest(const char *reference) {
    return strchr(reference, ':');
}

/* What a document must be, where that is known before it comes. */
static int promise_of(const char *reference, blob_promise *ret_promise, nb_error *err) {
    *ret_promise = (blob_promise){0};
    if (!is_digest(reference))
        return 0;
    ret_promise->has_digest = true;
    return digest_parse(reference, &ret_promise->digest, err);
}

static int verify_document(const char *text, size_t length, const blob_promise *promise, digest *ret_found, nb_error *err) {
    enum digest_algorithm algorithm = promise->has_digest ? promise->digest.algorithm : DIGEST_SHA256;
    CLEANUP(hasher_freep) hasher *h = hasher_new(algorithm);
    char expected[DIGEST_TEXT_SIZE], seen[DIGEST_TEXT_SIZE];
    digest found;
    if (!h)
        return nb_fail_oom(err);
    hasher_add(h, text, length);
    hasher_finish(h, &found);
    if (promise->has_digest && !digest_equal(&promise->digest, &found)) {
        digest_format(&promise->digest, expected);
        digest_format(&found, seen);
        return nb_fail(err, NB_E_IMAGE, 0, "verify the manifest: expected %s, the registry sent %s", expected, seen);
    }
    *ret_found = found;
    return 0;
}

/* @packed: the bytes of all layers. */
static int check_bytes(const fetch_request *request, uint64_t packed, nb_error *err) {
    uint64_t max = image_layers_max_bytes(&request->limits), store_max = request->store_max_bytes;
    if (packed > max)
        return image_limit_hint(err,
                                nb_fail(err, NB_E_EXHAUSTED, 0,
                                        "take the image's layers: packed, they have more than %llu bytes, %u times %llu",
                                        (unsigned long long) max, IMAGE_LAYERS_PER_DISK, (unsigned long long) request->limits.max_bytes),
                                "max_bytes");
    if (store_max > 0 && packed > store_max)
        return nb_fail_hint(err,
                            nb_fail(err, NB_E_EXHAUSTED, 0,
                                    "take the image's layers: packed, they have more than the %llu bytes that all images may",
                                    (unsigned long long) store_max),
                            "raise store_max_bytes in images.json (docs/images.md)");
    return 0;
}

/* What a manifest promises is held against the limits before a layer comes. */
static int check_size(const fetch_request *request, const document *d, nb_error *err) {
    uint64_t packed = 0;
    int code = image_check_layers(&request->limits, d->layer_count, err);
    for (size_t i = 0; code == 0 && i < d->layer_count; i++) {
        if (__builtin_add_overflow(packed, d->layers[i].size, &packed))
            packed = UINT64_MAX;
        code = check_bytes(request, packed, err);
    }
    return code;
}

/* Gets a document, verifies and keeps it, and says what it leads to. */
static int take_document(const fetch_request *request, registry *r, const char *reference, const blob_promise *promise,
                         document *ret_document, fetch_result *result, nb_error *err) {
    CLEANUP(cleanup_free) char *text = NULL;
    char type[128], title[256];
    size_t length;
    int code = registry_manifest(r, reference, request->limits.max_manifest_bytes, &text, &length, type, err);
    if (code < 0)
        return code;
    (void) snprintf(title, sizeof(title), "the manifest '%.150s' (%.80s)", reference, type[0] ? type : "of no type");
    if ((code = verify_document(text, length, promise, &result->manifest, err)) < 0 ||
        (code = document_read(text, length, title, NULL, &request->platform, ret_document, err)) < 0 ||
        (code = check_size(request, ret_document, err)) < 0)
        return nb_fail_within(err, code, "%s/%s", r->endpoint.host, r->repository);
    code = blobs_put(request->folder, &result->manifest, text, length, err);
    return code < 0 || keep_name(result, &result->manifest, err) ? code : -NB_E_NO_MEMORY;
}

/* From document to document until one is a manifest. */
static int find_manifest(const fetch_request *request, registry *r, document *ret_manifest, fetch_result *result, nb_error *err) {
    char reference[DIGEST_TEXT_SIZE + 1];
    blob_promise promise;
    if (snprintf(reference, sizeof(reference), "%s", request->reference) >= (int) sizeof(reference))
        return nb_fail(err, NB_E_INVALID, 0, "use the tag '%.200s': it is too long", request->reference);
    int code = promise_of(reference, &promise, err);
    for (unsigned depth = 0; code == 0 && depth < IMAGE_INDEX_DEPTH_MAX; depth++) {
        CLEANUP(document_done) document d = {0};
        code = take_document(request, r, reference, &promise, &d, result, err);
        if (code < 0)
            return code;
        if (!d.is_index) {
            *ret_manifest = d;
            d = (document){0};
            return 0;
        }
        promise = d.chosen;
        digest_format(&promise.digest, reference);
    }
    return code < 0 ? code : nb_fail(err, NB_E_IMAGE, 0, "choose an image: more than %u indexes lead to each other", IMAGE_INDEX_DEPTH_MAX);
}

/* The configuration first: it is small, and says early what is wrong. */
static int take_blobs(const fetch_request *request, registry *r, const document *manifest, fetch_result *result, nb_error *err) {
    size_t count = manifest->layer_count + 1;
    CLEANUP(cleanup_free) blob_promise *all = calloc(count, sizeof(*all));
    if (!all)
        return nb_fail_oom(err);
    all[0] = manifest->config;
    memcpy(all + 1, manifest->layers, manifest->layer_count * sizeof(*all));
    for (size_t i = 0; i < count; i++) {
        if (!keep_name(result, &all[i].digest, err))
            return -NB_E_NO_MEMORY;
    }
    result->config = manifest->config.digest;
    return download_blobs(r, request->folder, all, count, request->progress, err);
}

static void result_done(fetch_result *result) {
    buf_done(&result->blobs);
}

/* From one host. */
static int fetch_from(const fetch_request *request, const char *host, const char *repository, fetch_result *ret_result, nb_error *err) {
    CLEANUP(registry_done) registry r = {0};
    CLEANUP(document_done) document manifest = {0};
    CLEANUP(result_done) fetch_result result = {0};
    buf_init(&result.blobs, WIRE_BLOBS_MAX_BYTES);
    int code;
    if ((code = registry_open(request->settings, request->auth_file, host, repository, request->watch, &r, err)) < 0 ||
        (code = find_manifest(request, &r, &manifest, &result, err)) < 0 || (code = take_blobs(request, &r, &manifest, &result, err)) < 0)
        return code;
    *ret_result = result;
    result = (fetch_result){0};
    return 0;
}

/* From the registry's mirrors, then from itself. */
static int fetch_by_way_of(const fetch_request *request, const char *host, const char *repository, fetch_result *ret_result,
                           nb_error *err) {
    const char *mirror;
    int code = -NB_E_NOT_FOUND;
    for (size_t i = 0; code < 0 && (mirror = settings_mirror(request->settings, host, i)); i++) {
        code = fetch_from(request, mirror, repository, ret_result, err);
        if (code == -NB_E_STORAGE || code == -NB_E_NO_MEMORY)
            return code;
    }
    if (code < 0)
        code = fetch_from(request, host, repository, ret_result, err);
    if (code == 0)
        (void) snprintf(ret_result->registry, sizeof(ret_result->registry), "%s", host);
    return code;
}

/* "library/" is docker.io's own way to say that an image has no owner. */
static const char *repository_at(const char *host, const char *repository) {
    bool official = strncmp(repository, LIBRARY, strlen(LIBRARY)) == 0;
    return official && strcmp(host, DOCKER_HOST) != 0 ? repository + strlen(LIBRARY) : repository;
}

int fetch_image(const fetch_request *request, fetch_result *ret_result, nb_error *err) {
    const char *host;
    int code = blobs_prepare(request->folder, err);
    if (code < 0)
        return code;
    if (!request->unqualified)
        return fetch_by_way_of(request, request->registry, request->repository, ret_result, err);
    code = nb_fail_hint(err, nb_fail(err, NB_E_NOT_FOUND, 0, "find it: the list of registries to search is empty"),
                        "name its registry, HOST/PATH:TAG; or use busybox, oci:DIR, docker-archive:FILE, rootfs:FILE or dir:PATH");
    for (size_t i = 0; code < 0 && (host = settings_search(request->settings, i)); i++) {
        code = fetch_by_way_of(request, host, repository_at(host, request->repository), ret_result, err);
        if (code == -NB_E_STORAGE || code == -NB_E_NO_MEMORY)
            break;
    }
    return code;
}
