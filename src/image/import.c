/* SPDX-License-Identifier: Apache-2.0
 *
 * import.c - makes a base disk of an image
 *
 *   source -> manifest -> configuration, layers -> tree and data on the disk -> file system
 */
#include "image/import.h"

#include "base/error.h"
#include "image/changes.h"
#include "image/ext4.h"
#include "image/folder.h"
#include "image/layer.h"
#include "image/limits.h"
#include "image/manifest.h"
#include "wire/limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FLAT_VERSION "Directory Transport Version"
#define FLAT_VERSION_MAX_BYTES 256u
/* Disks carry this time, 1970-01-01 00:00:01 UTC, so that they are the same whenever they are made. */
#define DISK_TIME_S 1

void import_result_done(import_result *result) {
    free(result->name);
    image_config_done(&result->config);
    *result = (import_result){0};
}

/* What is made on the way. */
typedef struct import {
    const import_request *request;
    image_limits limits; /* the request's, complete */
    disk *disk;
    tree *tree;
    uint64_t unpacked_bytes; /* of all layers until now */
    digest id;
    import_result result;
} import;

static void import_done(import *m) {
    tree_free(m->tree);
    disk_free(m->disk);
    import_result_done(&m->result);
}

static int import_begin(import *m, nb_error *err) {
    int r = image_limits_take(&m->request->limits, &m->limits, err);
    if (r < 0)
        return r;
    m->disk = disk_new(m->request->disk_fd, m->limits.max_bytes);
    m->tree = m->disk ? tree_new(m->disk, m->limits.max_entries) : NULL;
    return m->tree ? 0 : nb_fail_oom(err);
}

static int import_end(import *m, nb_error *err) {
    ext4_identity identity = {.time_s = DISK_TIME_S};
    memcpy(identity.uuid, m->id.bytes, sizeof(identity.uuid));
    identity.uuid[6] = (uint8_t) ((identity.uuid[6] & 0x0f) | 0x80); /* version 8, "custom" (RFC 9562) */
    identity.uuid[8] = (uint8_t) ((identity.uuid[8] & 0x3f) | 0x80);
    digest_format(&m->id, m->result.id);
    if (m->request->watch->progress)
        m->request->watch->progress(m->request->watch->user, "writing the file system", "", 0, 0);
    return ext4_write(m->tree, m->disk, &identity, &m->result.disk_bytes, &m->result.content_bytes, err);
}

/* Applies one archive to the tree. @ret_unpacked: the digest of the archive without its compression. */
static int apply_archive(import *m, const blob *b, const blob_promise *promise, const char *what, bool is_layer, digest *ret_unpacked,
                         nb_error *err) {
    CLEANUP(layer_stream_freep) layer_stream *stream = NULL;
    int r = layer_stream_new(b, promise, m->request->watch, what, &m->limits, m->unpacked_bytes, &stream, err);
    if (r < 0)
        return r;
    CLEANUP(tar_reader_freep) tar_reader *reader = tar_reader_new((tar_input){.read = layer_stream_read, .user = stream});
    if (!reader)
        return nb_fail_oom(err);
    r = layer_apply(m->tree, reader, is_layer, err);
    if (r < 0)
        return r;
    /* A layer has a digest; here only the mark at the end tells that the writer of a pipe did not die half way. */
    if (!is_layer && !tar_end_was_marked(reader))
        return nb_fail(err, NB_E_IMAGE, 0, "read a tar archive: it is cut short (there is no mark at its end)");
    r = layer_stream_finish(stream, ret_unpacked, err);
    m->unpacked_bytes += layer_stream_unpacked_bytes(stream);
    return r;
}

/* The configuration that the owner gives to an image that has none: a root file system, which is one layer. */
static int import_given_config(import *m, const digest *content, nb_error *err) {
    CLEANUP(cleanup_free) char *text = NULL;
    image_config *config = &m->result.config;
    int r = image_config_decode(m->request->config.at, m->request->config.length, config, err);
    if (r == 0)
        r = image_config_change(config, m->request->changes, err);
    if (r == 0)
        r = image_config_text(config, content, &text, err);
    if (r < 0)
        return r;
    m->result.name = strdup("");
    return m->result.name && digest_of(text, strlen(text), &m->id) ? 0 : nb_fail_oom(err);
}

static int import_rootfs(import *m, nb_error *err) {
    struct stat stat;
    digest unpacked;
    if (fstat(m->request->source_fd, &stat) < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "look at the archive");
    blob b = {.fd = m->request->source_fd};
    if (S_ISREG(stat.st_mode)) {
        b.seekable = true;
        b.size = (uint64_t) stat.st_size;
    }
    int r = apply_archive(m, &b, &(blob_promise){0}, "the archive", false, &unpacked, err);
    return r < 0 ? r : import_given_config(m, &unpacked, err);
}

static int import_layer(import *m, const source *s, const manifest *chosen, size_t i, nb_error *err) {
    CLEANUP(blob_done) blob b = {.fd = -1};
    char what[64], expected[DIGEST_TEXT_SIZE], found[DIGEST_TEXT_SIZE];
    const manifest_blob *layer = &chosen->layers[i];
    const digest *diff_id = &m->result.config.diff_ids[i];
    digest unpacked;
    (void) snprintf(what, sizeof(what), "layer %zu of %zu", i + 1, chosen->layer_count);
    m->tree->layer = (uint32_t) i + 1;
    int r = source_open(s, layer->path, &b, err);
    if (r == 0)
        r = apply_archive(m, &b, &layer->promise, what, true, &unpacked, err);
    if (r == 0 && !digest_equal(diff_id, &unpacked)) {
        digest_format(diff_id, expected);
        digest_format(&unpacked, found);
        r = nb_fail(err, NB_E_IMAGE, 0, "verify the unpacked layer: expected %s, found %s", expected, found);
    }
    return r < 0 ? nb_fail_within(err, r, "%s", what) : 0;
}

static int check_platform(const import *m, nb_error *err) {
    const image_config *config = &m->result.config;
    const char *wanted = m->request->architecture;
    if (strcmp(config->os, "linux") != 0)
        return nb_fail(err, NB_E_IMAGE, 0, "import the image: it is for '%.60s', not for linux", config->os);
    if (wanted[0] && strcmp(config->architecture, wanted) != 0)
        return nb_fail(err, NB_E_NOT_FOUND, 0, "import the image for 'linux/%.60s': it is for 'linux/%.60s'", wanted, config->architecture);
    return 0;
}

static int import_config(import *m, const source *s, const manifest *chosen, nb_error *err) {
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length;
    int r = source_read_document(s, chosen->config.path, &chosen->config.promise, &text, &length, err);
    if (r < 0)
        return nb_fail_within(err, r, "the image's configuration");
    r = image_config_parse(text, length, &m->result.config, err);
    if (r < 0 || (r = check_platform(m, err)) < 0)
        return r;
    if (m->result.config.diff_id_count != chosen->layer_count)
        return nb_fail(err, NB_E_IMAGE, 0, "import the image: its manifest has %zu layers, its configuration %zu", chosen->layer_count,
                       m->result.config.diff_id_count);
    /* The image's id is always SHA-256, whatever the manifest names it by. */
    if (!digest_of(text, length, &m->id))
        return nb_fail_oom(err);
    return 0;
}

/* Takes @chosen's name over. */
static int import_manifest(import *m, const source *s, manifest *chosen, nb_error *err) {
    int r = image_check_layers(&m->limits, chosen->layer_count, err);
    if (r == 0)
        r = import_config(m, s, chosen, err);
    for (size_t i = 0; r == 0 && i < chosen->layer_count; i++)
        r = import_layer(m, s, chosen, i, err);
    if (r == 0)
        m->result.name = take_ptr(&chosen->name);
    return r;
}

static int import_image(import *m, const source *s, enum manifest_style style, nb_error *err) {
    CLEANUP(manifest_done) manifest chosen = {0};
    image_platform platform = {m->request->architecture, ""};
    int r = manifest_select(s, style, m->request->reference, &platform, &chosen, err);
    return r < 0 ? r : import_manifest(m, s, &chosen, err);
}

static int import_layout(import *m, nb_error *err) {
    CLEANUP(source_freep) source *s = NULL;
    int r = source_open_folder(m->request->source_fd, m->limits.max_manifest_bytes, &s, err);
    return r < 0 ? r : import_image(m, s, MANIFEST_OCI, err);
}

/* What was fetched from a registry: a layout without an index, and the digest of the manifest. */
static int import_stored(import *m, nb_error *err) {
    CLEANUP(source_freep) source *s = NULL;
    CLEANUP(manifest_done) manifest chosen = {0};
    digest of_manifest;
    int r = digest_parse(m->request->reference, &of_manifest, err);
    if (r < 0 || (r = source_open_folder(m->request->source_fd, m->limits.max_manifest_bytes, &s, err)) < 0 ||
        (r = manifest_find(s, &of_manifest, &chosen, err)) < 0)
        return r;
    return import_manifest(m, s, &chosen, err);
}

/* A file that names an archive's style by being there. */
static int archive_has(const source *s, const char *name, bool *ret_found, nb_error *err) {
    blob b;
    return source_find(s, name, ret_found, &b, err);
}

static int import_archive(import *m, nb_error *err) {
    CLEANUP(source_freep) source *s = NULL;
    bool docker = m->request->kind == WIRE_IMAGE_DOCKER_ARCHIVE, oci = m->request->kind == WIRE_IMAGE_OCI_ARCHIVE;
    int r = source_open_archive(m->request->source_fd, m->limits.max_manifest_bytes, m->request->watch, &s, err);
    if (r == 0 && !docker && !oci)
        r = archive_has(s, "manifest.json", &docker, err);
    if (r == 0 && !docker && !oci)
        r = archive_has(s, "index.json", &oci, err);
    if (r < 0)
        return r;
    if (!docker && !oci)
        return nb_fail_hint(err, nb_fail(err, NB_E_IMAGE, 0, "read the archive: it holds no image (neither manifest.json nor index.json)"),
                            "import a root file system as one: 'rootfs:FILE'");
    return import_image(m, s, docker ? MANIFEST_DOCKER : MANIFEST_OCI, err);
}

/* Whether a folder is what skopeo writes for "dir:". */
static bool folder_is_flat(const source *s) {
    CLEANUP(blob_done) blob b = {.fd = -1};
    CLEANUP(cleanup_free) char *text = NULL;
    size_t length;
    bool found;
    /* In a root file system "version" may be anything. */
    if (source_find(s, "version", &found, &b, NULL) < 0 || !found ||
        blob_read(&b, &(blob_promise){0}, FLAT_VERSION_MAX_BYTES, &text, &length, NULL) < 0)
        return false;
    return strncmp(text, FLAT_VERSION, strlen(FLAT_VERSION)) == 0;
}

static int import_folder(import *m, nb_error *err) {
    CLEANUP(source_freep) source *s = NULL;
    int r = source_open_folder(m->request->source_fd, m->limits.max_manifest_bytes, &s, err);
    if (r < 0)
        return r;
    if (folder_is_flat(s))
        return import_image(m, s, MANIFEST_FLAT, err);
    digest content;
    r = folder_read(m->tree, m->request->source_fd, m->request->watch, &content, err);
    return r < 0 ? r : import_given_config(m, &content, err);
}

static int import_kind(import *m, nb_error *err) {
    switch (m->request->kind) {
    case WIRE_IMAGE_ROOTFS:
        return import_rootfs(m, err);
    case WIRE_IMAGE_OCI_LAYOUT:
        return import_layout(m, err);
    case WIRE_IMAGE_OCI_ARCHIVE:
    case WIRE_IMAGE_DOCKER_ARCHIVE:
    case WIRE_IMAGE_ARCHIVE:
        return import_archive(m, err);
    case WIRE_IMAGE_DIRECTORY:
        return import_folder(m, err);
    case WIRE_IMAGE_STORED:
        return import_stored(m, err);
    }
    return nb_fail(err, NB_E_INVALID, 0, "import an image: there is no kind %d", m->request->kind);
}

int image_import(const import_request *request, import_result *ret_result, nb_error *err) {
    CLEANUP(import_done) import m = {.request = request};
    int r;
    if ((r = import_begin(&m, err)) < 0 || (r = import_kind(&m, err)) < 0 || (r = import_end(&m, err)) < 0)
        return r;
    *ret_result = m.result;
    m.result = (import_result){0};
    return 0;
}
