/* SPDX-License-Identifier: Apache-2.0
 *
 * oci-json.c - fuzzing the documents of an image: manifests and configurations
 *
 * The first byte chooses the document. Properties: whatever is accepted keeps to its limits, and every path that a digest gave stays
 * below the image's folder.
 */
#include "image/config.h"
#include "image/manifest.h"
#include "wire/limits.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_path(const char *path) {
    assert(strncmp(path, "blobs/sha", 9) == 0);
    assert(!strstr(path, ".."));
}

static void try_manifest(const char *text, size_t length, enum manifest_style style) {
    manifest m;
    if (manifest_parse(text, length, style, &m, NULL) < 0)
        return;
    assert(m.layer_count <= IMAGE_LAYERS_MAX && m.config.path && m.name);
    if (style == MANIFEST_OCI) {
        check_path(m.config.path);
        for (size_t i = 0; i < m.layer_count; i++)
            check_path(m.layers[i].path);
    }
    manifest_done(&m);
}

static void try_config(const char *text, size_t length) {
    image_config config;
    if (image_config_parse(text, length, &config, NULL) < 0)
        return;
    assert(config.diff_id_count <= IMAGE_LAYERS_MAX);
    assert(strv_is_valid(strv_of(&config.command)) && strv_is_valid(strv_of(&config.env)) && strv_is_valid(strv_of(&config.labels)));
    assert(strv_is_valid(strv_of(&config.exposed_ports)) && strv_is_valid(strv_of(&config.volumes)));
    assert(buf_length(&config.exposed_ports) <= WIRE_IMAGE_LIST_MAX_BYTES && buf_length(&config.volumes) <= WIRE_IMAGE_LIST_MAX_BYTES);
    strv volumes = strv_of(&config.volumes), test = strv_of(&config.health.test);
    for (const char *path = strv_next(volumes, NULL); path; path = strv_next(volumes, path))
        assert(path[0] == '/');
    assert(strv_is_valid(strv_of(&config.shell)) && strv_is_valid(test));
    assert(test.bytes > 0 || (config.health.interval_ns == 0 && config.health.retries == 0));
    image_config_done(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    if (length == 0)
        return 0;
    const char *text = (const char *) bytes + 1;
    if (bytes[0] == 'o')
        try_manifest(text, length - 1, MANIFEST_OCI);
    else if (bytes[0] == 'd')
        try_manifest(text, length - 1, MANIFEST_DOCKER);
    else
        try_config(text, length - 1);
    return 0;
}
