/* SPDX-License-Identifier: Apache-2.0
 *
 * image-save.c - an image as an OCI archive (image-spec, image-layout.md)
 *
 * The blobs of an image from a registry are copied as they are, each under its digest; whoever loads the archive verifies them. Nothing in
 * them is looked at here. Any other image is made one of a single layer.
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/size.h"
#include "runtime/image-flatten.h"
#include "runtime/image-name.h"
#include "runtime/image.h"
#include "tar/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define COPY_BYTES ((size_t) 256 << 10)
/* As large as the fetch worker takes one. */
#define MANIFEST_MAX_BYTES ((size_t) 4 << 20)
/* What a manifest of one layer takes, or an index of one image, whose name has at most 400 bytes. */
#define DOCUMENT_SIZE 2048
#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"
#define LAYER_TYPE "application/vnd.oci.image.layer.v1.tar"

static int write_bytes(void *user, const void *bytes, size_t length, nb_error *err) {
    return fd_write_all(*(const int *) user, bytes, length) < 0 ? nb_fail(err, nb_code_of_errno(errno), errno, "write the archive") : 0;
}

/* Times are zero, so that the same image gives the same archive. */
static int begin_file(tar_writer *archive, const char *name, uint64_t size, nb_error *err) {
    return tar_put(archive, &(tar_entry){.kind = TAR_FILE, .name = name, .link = "", .mode = 0644, .size = size}, err);
}

static int write_text(tar_writer *archive, const char *name, const char *text, nb_error *err) {
    int result = begin_file(archive, name, strlen(text), err);
    return result < 0 ? result : tar_write(archive, text, strlen(text), err);
}

static int write_layout(tar_writer *archive, nb_error *err) {
    return write_text(archive, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", err);
}

/* "blobs/sha256/..." of "sha256:...", both in the home's layout and in the archive. */
static void blob_path(const char *digest, char ret_path[NAME_MAX]) {
    const char *colon = strchr(digest, ':');
    (void) snprintf(ret_path, NAME_MAX, "blobs/%.*s/%s", (int) (colon - digest), digest, colon + 1);
}

static int copy_exactly(int from, tar_writer *archive, uint64_t size, const char *path, nb_error *err) {
    CLEANUP(cleanup_free) char *block = malloc(COPY_BYTES);
    if (!block)
        return nb_fail_oom(err);
    for (uint64_t done = 0; done < size;) {
        size_t wanted = size - done < COPY_BYTES ? (size_t) (size - done) : COPY_BYTES;
        ssize_t n = fd_read_full(from, block, wanted);
        if (n != (ssize_t) wanted)
            return nb_fail(err, NB_E_STORAGE, n < 0 ? errno : 0, "read the blob '%s'", path);
        int result = tar_write(archive, block, wanted, err);
        if (result < 0)
            return result;
        done += wanted;
    }
    return 0;
}

static int write_file(int from, tar_writer *archive, uint64_t size, const char *path, nb_error *err) {
    if (size >= GIB(8))
        return nb_fail(err, NB_E_UNSUPPORTED, 0, "write the blob '%s': it has more than the 8 GiB that every reader of archives takes",
                       path);
    int result = begin_file(archive, path, size, err);
    return result < 0 ? result : copy_exactly(from, archive, size, path, err);
}

static int write_blob(int layout, tar_writer *archive, const char *digest, nb_error *err) {
    char path[NAME_MAX];
    struct stat status;
    blob_path(digest, path);
    CLEANUP(cleanup_fd) int blob = openat(layout, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (blob < 0 || fstat(blob, &status) < 0)
        return nb_fail_hint(err, nb_fail(err, NB_E_STORAGE, errno, "open the blob '%s'", path), "nestbox pull fetches it again");
    return write_file(blob, archive, (uint64_t) status.st_size, path, err);
}

/* A registry's manifest names its own type; one that does not is of OCI's. */
static const char *type_of(const char *manifest) {
    static const char docker[] = "application/vnd.docker.distribution.manifest.v2+json";
    return strstr(manifest, docker) ? docker : MANIFEST_TYPE;
}

/* @name: the image's, "" where it has none that a registry could have: nothing in it then means anything to JSON. */
static int write_index(tar_writer *archive, const char *type, const flat_blob *manifest, const char *name, nb_error *err) {
    char text[DOCUMENT_SIZE], names[DOCUMENT_SIZE / 2] = "";
    const char *slash = strrchr(name, '/'), *tag = strrchr(slash ? slash : name, ':');
    int length = 0;
    if (*name)
        length = snprintf(names, sizeof(names),
                          ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"%s\",\"io.containerd.image.name\":\"%s\"}",
                          tag ? tag + 1 : name, name);
    if (length >= (int) sizeof(names))
        return nb_fail(err, NB_E_INVALID, 0, "write the index of '%s': its name is too long", name);
    (void) snprintf(text, sizeof(text), "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%ju%s}]}",
                    type, manifest->digest, (uintmax_t) manifest->size, names);
    return write_text(archive, "index.json", text, err);
}

/* ------------------------------------------------------------------------------------------------------- from a registry */

static int write_index_of_pulled(int layout, tar_writer *archive, const char *manifest, const char *name, nb_error *err) {
    char path[NAME_MAX];
    CLEANUP(cleanup_free) char *document = NULL;
    size_t size;
    flat_blob blob;
    blob_path(manifest, path);
    if (file_read(layout, path, MANIFEST_MAX_BYTES, &document, &size) < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "read the blob '%s'", path);
    blob.size = size;
    (void) snprintf(blob.digest, sizeof(blob.digest), "%s", manifest);
    return write_index(archive, type_of(document), &blob, name, err);
}

static int save_pulled(nb_runtime *rt, const image_record *image, strv blobs, tar_writer *archive, nb_error *err) {
    CLEANUP(cleanup_fd) int layout = openat(rt->folder, HOME_LAYOUT, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (layout < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "open '%s/" HOME_LAYOUT "'", rt->home);
    int result = write_layout(archive, err);
    for (const char *digest = strv_next(blobs, NULL); result == 0 && digest; digest = strv_next(blobs, digest))
        result = write_blob(layout, archive, digest, err);
    return result == 0 ? write_index_of_pulled(layout, archive, image->source + strlen(IMAGE_SOURCE_REGISTRY), image->name, err) : result;
}

/* ------------------------------------------------------------------------------------------------------------- any other */

static int write_named_text(tar_writer *archive, const flat_blob *blob, const char *text, nb_error *err) {
    char path[NAME_MAX];
    blob_path(blob->digest, path);
    return write_text(archive, path, text, err);
}

static int save_flat(nb_runtime *rt, const image_record *image, tar_writer *archive, nb_error *err) {
    CLEANUP(flat_image_done) flat_image flat = {.layer_file = -1};
    char text[DOCUMENT_SIZE], path[NAME_MAX];
    flat_blob manifest;
    int result = image_flatten(rt, image, &flat, err);
    if (result < 0)
        return result;
    int length =
        snprintf(text, sizeof(text),
                 "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE "\",\"config\":{\"mediaType\":\"" CONFIG_TYPE
                 "\",\"digest\":\"%s\",\"size\":%ju},\"layers\":[{\"mediaType\":\"" LAYER_TYPE "\",\"digest\":\"%s\",\"size\":%ju}]}",
                 flat.config.digest, (uintmax_t) flat.config.size, flat.layer.digest, (uintmax_t) flat.layer.size);
    flat_blob_of(text, (size_t) length, &manifest);
    blob_path(flat.layer.digest, path);
    CLEANUP(image_name_done) image_name name = {0};
    bool named = image_name_parse(image->name, &name, NULL) == 0 && !name.digest;
    if ((result = write_layout(archive, err)) < 0 || (result = write_file(flat.layer_file, archive, flat.layer.size, path, err)) < 0 ||
        (result = write_named_text(archive, &flat.config, flat.config_text, err)) < 0 ||
        (result = write_named_text(archive, &manifest, text, err)) < 0)
        return result;
    return write_index(archive, MANIFEST_TYPE, &manifest, named ? image->name : "", err);
}

/* ---------------------------------------------------------------------------------------------------------------- either */

static bool is_pulled(const image_record *image) {
    return strncmp(image->source, IMAGE_SOURCE_REGISTRY, strlen(IMAGE_SOURCE_REGISTRY)) == 0;
}

/* An image that was found by id, or has a name of another making besides, has the name that it was pulled by; or any name before none. */
static int find_name(nb_runtime *rt, arena *a, image_record *image, nb_error *err) {
    image_record *images = NULL;
    size_t count = 0;
    if (is_pulled(image))
        return 0;
    int result = store_list_images(rt->store, a, &images, &count, err);
    for (size_t i = 0; result == 0 && i < count; i++) {
        if (strcmp(images[i].id, image->id) == 0 && (is_pulled(&images[i]) || !*image->name))
            *image = images[i];
    }
    return result;
}

static int save(nb_runtime *rt, const image_record *image, arena *a, int fd, nb_error *err) {
    CLEANUP(tar_writer_freep) tar_writer *archive = tar_writer_new((tar_output){write_bytes, &fd});
    strv blobs = {0};
    if (!archive)
        return nb_fail_oom(err);
    int result = is_pulled(image) ? store_list_blobs(rt->store, image->id, a, &blobs, err) : 0;
    if (result == 0)
        result = is_pulled(image) ? save_pulled(rt, image, blobs, archive, err) : save_flat(rt, image, archive, err);
    return result < 0 ? result : tar_finish(archive, err);
}

int nb_image_save(nb_runtime *rt, const char *name_or_id, int fd, nb_error *err) {
    if (!rt || !name_or_id || fd < 0)
        return nb_fail(err, NB_E_INVALID, 0, "save an image: an argument is NULL or no descriptor");
    arena a = {0};
    image_record image;
    int result = image_find(rt, name_or_id, &a, &image, err);
    if (result == 0)
        result = find_name(rt, &a, &image, err);
    if (result == 0)
        result = save(rt, &image, &a, fd, err);
    arena_done(&a);
    return nb_fail_within(err, result, "save the image '%s'", name_or_id);
}
